"""What struck which CPU, when and for how long, from the events of a trace.

On each CPU, interrupts and softirqs lie on a stack above a thread. An occurrence's duration is its own: what ran on
top of it is taken off, as osnoise does. A thread's occurrence lasts from its wake-up until it sleeps, and counts what
it ran meanwhile; without its waking it is not counted. Where events were lost, everything under way is dropped.

Read `whole`, all that threads ran is an occurrence: also from where a CPU's events begin, and up to the end.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from rtsim.profile.calibration.naming import (
    MEASURING,
    irq_of_thread,
    is_workload,
    policy_of,
    runs_softirqs,
    thread_name,
)
from rtsim.profile.calibration.timeline import Occurrences, Source, Timeline
from rtsim.traces.events import LOST, MISSING, EventChunk

__all__ = ["EVENTS", "read_occurrences"]

TOLD_WITHIN_NS = 1_000_000_000
OF_TICK = ("TIMER", "SCHED", "HRTIMER", "RCU")
"""Softirqs that belong to the tick where a timer interrupt has raised them."""


@dataclass
class _Frame:
    """An interruption under way, and how much of its time others took (ns)."""

    kind: str
    source: Source | None
    begin: int
    taken: int = 0


@dataclass
class _Running:
    """A thread on a CPU since `begin`."""

    pid: int
    begin: int
    taken: int = 0


@dataclass
class _Job:
    """What a woken thread has run so far, and the CPU that it left last."""

    begin: int
    ran: int = 0
    pieces: int = 0
    cpu: int = 0


Row = tuple[int, ...]


class _Reader:
    def __init__(self, workload: Iterable[str], *, whole: bool) -> None:
        self.timeline = Timeline()
        self.whole = whole
        self.begun: set[int] = set()
        """CPUs whose events have begun, read `whole`."""
        self.known: dict[int, tuple[str, int]] = {}
        """Name and priority of each thread as it left a CPU last, read `whole`."""
        self.patterns = tuple(re.compile(fnmatch.translate(name)) for name in (*MEASURING, *workload))
        self.names: list[str] = []
        self.stacks: dict[int, list[_Frame]] = {}
        self.running: dict[int, _Running] = {}
        self.on_cpus: set[int] = set()
        """Threads in `running`."""
        self.jobs: dict[int, _Job] = {}
        self.again: dict[int, int] = {}
        """Wake-ups of threads that still run, by thread."""
        self.put_aside: dict[int, tuple[int, list[_Frame]]] = {}
        """Softirqs within threads that were preempted in them, with the time of it."""
        self.own: set[tuple[int, int]] = set()
        """CPU and vector of softirqs that a tick has raised: its cost includes them."""
        self.handlers: dict[int, Source] = {}
        """By interrupt: the handler met last."""
        self.now = 0
        """Time of the last event, read `whole`."""
        self.fine = False

    def read(self, chunk: EventChunk) -> None:
        self.names = chunk.names
        handle = {
            code: handler for code, name in enumerate(chunk.names) if (handler := _HANDLERS.get(name)) is not None
        }
        columns = [chunk.column(name).tolist() for name in _COLUMNS]
        if not self.fine:
            self.fine = bool((chunk.column("time_ns") % 1000).any())
        first = self.timeline.first_ns
        for row in zip(*columns, strict=True):
            handler = handle.get(row[2])
            first.setdefault(row[1], row[0])
            if self.whole and row[1] not in self.begun:
                self._begin(*row)
            if handler is not None:
                handler(self, *row)
            if self.whole:
                self.now = row[0]
        if len(chunk):
            self.timeline.last_ns = max(self.timeline.last_ns, int(chunk.column("time_ns").max()))

    def add(self, source: Source, begin: int, duration: int, pieces: int, cpu: int) -> None:
        self.timeline.sources.setdefault(source, Occurrences()).add(begin, duration, pieces, cpu)

    # ---- interrupts, softirqs --------------------------------------------------------------------------------

    def irq_entry(self, time: int, cpu: int, *rest: int) -> None:
        number, name = rest[_NUMBER], self._text(rest[_NAME])
        source = Source("irq", name or f"irq{number}", cpu)
        self.handlers[number] = source
        self._enter("irq", source, time, cpu)

    def irq_exit(self, time: int, cpu: int, *_: int) -> None:
        self._leave("irq", time, cpu)

    def softirq_raise(self, _: int, cpu: int, *rest: int) -> None:
        stack = self.stacks.get(cpu)
        if stack and stack[-1].kind == "vector" and self._text(rest[_NAME]) in OF_TICK:
            self.own.add((cpu, rest[_NUMBER]))

    def softirq_entry(self, time: int, cpu: int, *rest: int) -> None:
        vector, action = rest[_NUMBER], self._text(rest[_NAME])
        raised = (cpu, vector)
        source = None if raised in self.own else Source("softirq", action.lower() or f"softirq{vector}", cpu)
        self.own.discard(raised)
        self._enter("softirq", source, time, cpu)

    def softirq_exit(self, time: int, cpu: int, *_: int) -> None:
        self._leave("softirq", time, cpu)

    def vector_entry(self, time: int, cpu: int, *_: int) -> None:
        """Begin a timer interrupt or an IPI: the model's own, but they take time from what they interrupt."""
        self._enter("vector", None, time, cpu)

    def vector_exit(self, time: int, cpu: int, *_: int) -> None:
        self._leave("vector", time, cpu)

    def nmi_noise(self, time: int, cpu: int, *rest: int) -> None:
        self._stall(Source("nmi", "nmi", cpu), time, cpu, rest)

    def sample_threshold(self, time: int, cpu: int, *rest: int) -> None:
        """Take osnoise's gaps that no interrupt and no thread explains for the hardware's."""
        if rest[_NUMBER] == 0:
            self._stall(Source("hardware", "hardware", cpu), time, cpu, rest)

    def _stall(self, source: Source, time: int, cpu: int, rest: Row) -> None:
        """Add what osnoise tells shortly after; damaged lines tell of other times."""
        begin, duration = rest[_START], rest[_VALUE]
        if duration >= 0 and 0 <= time - (begin + duration) <= TOLD_WITHIN_NS:
            self.add(source, begin, duration, 0, cpu)
            self._take(cpu, duration)

    def _enter(self, kind: str, source: Source | None, time: int, cpu: int) -> None:
        self.stacks.setdefault(cpu, []).append(_Frame(kind, source, time))

    def _leave(self, kind: str, time: int, cpu: int) -> None:
        stack = self.stacks.get(cpu)
        if not stack:
            return
        frame = stack.pop()
        if frame.kind != kind:  # an entry or exit is missing
            stack.clear()
            return
        if frame.source is not None:
            self.add(frame.source, frame.begin, time - frame.begin - frame.taken, 0, cpu)
        self._take(cpu, time - frame.begin)

    def _take(self, cpu: int, duration: int) -> None:
        """Take time from what is interrupted."""
        stack = self.stacks.get(cpu)
        below = stack[-1] if stack else self.running.get(cpu)
        if below is not None:
            below.taken += duration

    # ---- threads ---------------------------------------------------------------------------------------------

    def waking(self, time: int, _cpu: int, *rest: int) -> None:
        pid = rest[_OTHER_PID]
        if pid in self.on_cpus:
            self.again[pid] = time
        else:
            self.jobs.setdefault(pid, _Job(time))

    def _begin(self, time: int, cpu: int, *rest: int) -> None:
        """Let the thread that a CPU's first event tells of run since then."""
        self.begun.add(cpu)
        pid = rest[_PID]
        if pid not in (0, MISSING):
            self.known.setdefault(pid, (self._text(rest[_COMM]), MISSING))
            self._runs(time, cpu, pid)

    def _runs(self, time: int, cpu: int, pid: int) -> None:
        self.running[cpu] = _Running(pid, time)
        self.on_cpus.add(pid)
        if self.whole:
            self.jobs.setdefault(pid, _Job(time))

    def finish(self) -> None:
        """Take what threads have run up to the last event for occurrences."""
        for cpu, running in self.running.items():
            job = self.jobs.get(running.pid)
            if job is not None:
                job.ran += self.now - running.begin - running.taken
                job.pieces, job.cpu = job.pieces + 1, cpu
        for pid, job in self.jobs.items():
            if job.pieces and pid in self.known:
                self._ended(*self.known[pid], job, job.cpu)

    def switch(self, time: int, cpu: int, *rest: int) -> None:
        previous = self.running.pop(cpu, None)
        if previous is not None:
            self.on_cpus.discard(previous.pid)
        if previous is not None and previous.pid == rest[_PID]:
            self._stops(previous, time, cpu, rest)
        self._change_stack(time, cpu, rest[_PID], rest[_OTHER_PID])
        if rest[_OTHER_PID] != 0:
            self._runs(time, cpu, rest[_OTHER_PID])

    def _stops(self, running: _Running, time: int, cpu: int, rest: Row) -> None:
        pid, job = running.pid, self.jobs.get(running.pid)
        if job is not None:
            job.ran += time - running.begin - running.taken
            job.pieces, job.cpu = job.pieces + 1, cpu
        if self.whole:
            self.known[pid] = (self._text(rest[_COMM]), rest[_PRIO])
        if self._text(rest[_STATE]).startswith("R"):
            return
        self.jobs.pop(pid, None)
        if pid in self.again:
            self.jobs[pid] = _Job(self.again.pop(pid))
        if job is not None:
            self._ended(self._text(rest[_COMM]), rest[_PRIO], job, cpu)

    def _ended(self, comm: str, prio: int, job: _Job, cpu: int) -> None:
        irq = irq_of_thread(comm)
        if irq is not None and irq in self.handlers:
            self._lengthen(self.handlers[irq], job)
        elif not runs_softirqs(comm) and not is_workload(comm, self.patterns):
            name = thread_name(comm)
            policy, priority = policy_of(comm, None if prio == MISSING else prio)
            source = Source("thread", name.name, name.cpu, policy, priority)
            self.add(source, job.begin, job.ran, job.pieces, cpu)

    def _lengthen(self, handler: Source, job: _Job) -> None:
        """Count a handler's thread with the handler: a profile gives their time together."""
        found = self.timeline.sources.get(handler)
        if found is not None:
            found.duration_ns[-1] += job.ran
            found.pieces[-1] += job.pieces

    def _change_stack(self, time: int, cpu: int, left: int, came: int) -> None:
        """Put aside the softirq that a thread was preempted in (PREEMPT_RT), and go on with another's."""
        stack = self.stacks.pop(cpu, None)
        if stack and left != 0:
            self.put_aside[left] = (time, stack)
        if came in self.put_aside:
            since, stack = self.put_aside.pop(came)
            stack[-1].taken += time - since
            self.stacks[cpu] = stack

    def lost(self, time: int, *_: int) -> None:
        self.timeline.gaps_ns.append(time)
        if self.whole:
            self.finish()
        for under_way in (
            self.stacks, self.running, self.on_cpus, self.jobs, self.again, self.put_aside, self.own, self.begun,
        ):  # fmt: skip
            under_way.clear()

    def _text(self, code: int) -> str:
        return "" if code == MISSING else self.names[code]


_COLUMNS = (
    "time_ns", "cpu", "event", "pid", "comm", "prio", "state", "other_pid", "number", "name", "value_ns", "start_ns",
)  # fmt: skip
_PID, _COMM, _PRIO, _STATE, _OTHER_PID, _NUMBER, _NAME, _VALUE, _START = range(1, 10)
"""Places behind time and CPU; 0 is the event itself."""

_VECTORS = ("local_timer", "reschedule", "call_function", "call_function_single", "irq_work", "x86_platform_ipi")
_HANDLERS: dict[str, Callable[..., Any]] = {
    "irq_handler_entry": _Reader.irq_entry, "irq_handler_exit": _Reader.irq_exit,
    "softirq_raise": _Reader.softirq_raise, "softirq_entry": _Reader.softirq_entry,
    "softirq_exit": _Reader.softirq_exit,
    **{f"{vector}_entry": _Reader.vector_entry for vector in _VECTORS},
    **{f"{vector}_exit": _Reader.vector_exit for vector in _VECTORS},
    "nmi_noise": _Reader.nmi_noise, "sample_threshold": _Reader.sample_threshold,
    "sched_waking": _Reader.waking, "sched_switch": _Reader.switch, LOST: _Reader.lost,
}  # fmt: skip

EVENTS = tuple(_HANDLERS)
"""What is looked at; a trace may hold more."""


def read_occurrences(chunks: Iterable[EventChunk], workload: Iterable[str] = (), *, whole: bool = False) -> Timeline:
    """Return what struck, from the chunks of one trace in order of time.

    Parameters
    ----------
    workload
        Names or patterns (``redis*``) of threads that are no noise, beside `MEASURING`.
    whole
        Count all that threads ran, not only what is seen from a wake-up until the thread sleeps.
    """
    reader = _Reader(workload, whole=whole)
    for chunk in chunks:
        reader.read(chunk)
    if whole:
        reader.finish()
    reader.timeline.resolution_ns = 1 if reader.fine else 1000
    return reader.timeline
