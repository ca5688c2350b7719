"""What a simulation did, as ftrace would have printed it: the same events, in the layout of ``trace-cmd report -t``.

The engine records when an interrupt begins and ends and which noise struck; which handler ran when follows from how
the engine orders them: timers first, then handlers, then wake-ups. Time is the simulation's, in ns. What ftrace has no
event for is printed as osnoise prints it: NMIs as ``nmi_noise``, stalls of the hardware as ``sample_threshold`` without
interference. Only the host's CPUs are told.

An interrupt reads the clock between `irq_entry` and `timer_irq` (hrtimer_interrupt), which the engine spends as one: of
the time that they took together, each interrupt's ``now=`` leaves the profile's share to the former.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rtsim.engine.clock import ready, run_until
from rtsim.engine.constants import (
    IRQ_NOISE,
    IRQ_RESCHED,
    IRQ_TIMER,
    IRQ_WAKE,
    NOISE_IRQ,
    NOISE_SOFTIRQ,
    NONE,
    TR_BLOCK,
    TR_HARDWARE,
    TR_IRQ,
    TR_IRQ_EXIT,
    TR_MIGRATE,
    TR_NMI,
    TR_NOISE,
    TR_SOFTIRQ,
    TR_SWITCH,
    TR_TICK,
    TR_TIMER,
    TR_WAKING,
)
from rtsim.inputs.errors import RtsimError
from rtsim.kernel.softirqs import SOFTIRQ_VECTORS
from rtsim.scenario.assemble import Assembly, assemble
from rtsim.scenario.scenario import Scenario

__all__ = ["simulated_ftrace"]

TRACE_LENGTH = 2**16
STEP_NS = 1_000_000
"""Records are fetched so often that the engine's ring holds them all."""
FIRST_IRQ = 24
LOCAL_TIMER, RESCHEDULE = 236, 253
"""Interrupt vectors on x86."""
TIMER_BITS = IRQ_TIMER | IRQ_WAKE


def simulated_ftrace(scenario: Scenario) -> Iterator[str]:
    """Yield the lines of a trace of one run, warm-up included, in the order of their times.

    Raises
    ------
    InputError
        The scenario is wrong.
    NovaRefusal
        Nova refuses one of its guests.
    """
    assembly = assemble(scenario, trace_length=TRACE_LENGTH)
    ready()
    writer = _Writer(assembly)
    for record in _records(assembly):
        writer.take(*record)
    yield f"cpus={writer.n_cpus}\n"
    yield from (line for _, line in sorted(writer.lines, key=lambda item: item[0]) if line)


def _records(assembly: Assembly) -> Iterator[tuple[int, int, int, int, int]]:
    """Run to the end; yield (time, kind, cpu, task, value) of every record."""
    s, seen = assembly.state, 0
    ring = np.asarray(s.trace).view(np.ndarray)
    end = assembly.warmup_ns + assembly.duration_ns
    for until in range(STEP_NS, end + STEP_NS, STEP_NS):
        run_until(s, min(until, end))
        new = int(s.m[0]["trace_next"]) - seen
        if new > TRACE_LENGTH:
            raise RtsimError(f"{new} trace records within {STEP_NS} ns, expected at most {TRACE_LENGTH}")
        yield from ring[np.arange(seen, seen + new) % TRACE_LENGTH].tolist()
        seen += new


@dataclass
class _Softirq:
    """A vector that runs: its work left (ns) and since when it works it off, None while interrupted."""

    vector: int
    left: int
    since: int | None


@dataclass
class _Irq:
    """An interrupt under way."""

    begun: int
    bits: int
    first_wake: int | None = None
    """When the first wake-up that is no timer's came: handlers are over."""
    timer_wakes: int = 0
    read: int | None = None
    """When it read the clock."""


@dataclass
class _Cpu:
    current: int = NONE
    irq: _Irq | None = None
    softirq: _Softirq | None = None
    struck: deque[tuple[int, int, int]] = field(default_factory=deque)
    """Interrupts that wait for their handler: time, source, duration."""
    raised: dict[int, int] = field(default_factory=dict)
    """Work of sources by softirq vector (ns)."""


class _Writer:
    def __init__(self, assembly: Assembly) -> None:
        self.names = assembly.names
        self.s = assembly.state
        self.n_cpus = int(self.s.m[0]["n_host_cpus"])
        self.cpus = [_Cpu() for _ in range(self.n_cpus)]
        self.lines: list[tuple[int, str]] = []
        self.asleep: set[int] = set()
        self.left_softirqs: dict[int, _Softirq] = {}
        """Of threads that were preempted within one."""
        self.sleeps: dict[int, tuple[int, str]] = {}
        """By task: the place among the lines, and the start of the line, of the timer that it may sleep on."""
        costs = assembly.host.profile.costs
        entry_ns, timer_ns = (cost.distribution().mean_ns for cost in (costs.irq_entry, costs.timer_irq))
        self.entry_share = entry_ns / (entry_ns + timer_ns) if entry_ns else 0.0
        irqs = dict.fromkeys(_handler(name) for name in self.names.sources if name.startswith("host/irq/"))
        self.irqs = {name: FIRST_IRQ + number for number, name in enumerate(irqs)}
        self.comms = [self._comm(name) for name in self.names.tasks]

    def take(self, time: int, kind: int, cpu: int, task: int, value: int) -> None:
        """Write what one record tells."""
        told = _TOLD.get(kind)
        if kind == TR_NOISE and cpu < 0:  # stalls of the whole machine have a record on each CPU
            return
        if told is not None and 0 <= cpu < self.n_cpus:
            self._end_softirq(time, cpu)
            told(self, time, cpu, task, value)

    # ---- interrupts -----------------------------------------------------------------------------------------

    def _irq(self, time: int, cpu: int, _: int, bits: int) -> None:
        self._pause(cpu, time)
        self.cpus[cpu].irq = _Irq(time, bits)
        if bits & IRQ_TIMER or bits & (TIMER_BITS | IRQ_NOISE) == IRQ_WAKE:
            self._write(time, cpu, f"local_timer_entry: vector={LOCAL_TIMER}")
        elif bits == IRQ_RESCHED:
            self._write(time, cpu, f"reschedule_entry: vector={RESCHEDULE}")

    def _irq_exit(self, time: int, cpu: int, *_: int) -> None:
        c = self.cpus[cpu]
        irq, c.irq = c.irq, None
        if irq is None:
            return
        handlers_end = time if irq.first_wake is None else irq.first_wake
        begin = self._handlers(irq, handlers_end, cpu)
        if irq.bits & IRQ_TIMER or irq.bits & (TIMER_BITS | IRQ_NOISE) == IRQ_WAKE:
            self._write(begin if begin is not None else time, cpu, f"local_timer_exit: vector={LOCAL_TIMER}")
        elif irq.bits == IRQ_RESCHED:
            self._write(time, cpu, f"reschedule_exit: vector={RESCHEDULE}")
        if c.softirq is not None:
            c.softirq.since = time

    def _handlers(self, irq: _Irq, end: int, cpu: int) -> int | None:
        """Write the handlers that ran one after the other up to `end`; return when the first began."""
        struck, total = self.cpus[cpu].struck, 0
        ran = []
        while irq.bits & IRQ_NOISE and struck and struck[0][0] <= end - total - struck[0][2]:
            _, source, duration = struck.popleft()
            ran.append((source, duration))
            total += duration
        begin = time = end - total
        for source, duration in ran:
            name = _handler(self.names.sources[source])
            self._write(time, cpu, f"irq_handler_entry: irq={self.irqs[name]} name={name}")
            time += duration
            self._write(time, cpu, f"irq_handler_exit: irq={self.irqs[name]} ret=handled")
        return begin if ran else None

    def _noise(self, time: int, cpu: int, source: int, duration: int) -> None:
        row = self.s.sources[source]
        kind, thread = int(row["kind"]), int(row["task"])
        if kind == NOISE_IRQ:
            # of a threaded handler, only the thread's part is known
            self.cpus[cpu].struck.append((time, source, 0 if thread >= 0 else duration))
        elif kind == NOISE_SOFTIRQ:
            vector = int(row["vector"])
            raised = self.cpus[cpu].raised
            raised[vector] = raised.get(vector, 0) + duration
            self._write(time, cpu, f"softirq_raise: vec={vector} [action={SOFTIRQ_VECTORS[vector].upper()}]")

    def _tick(self, time: int, cpu: int, *_: int) -> None:
        read = self._clock_read(time, cpu)
        self._write(time, cpu, f"hrtimer_expire_entry: hrtimer={cpu + 1:016x} function=tick_sched_timer now={read}")

    def _timer(self, time: int, cpu: int, task: int, release: int) -> None:
        irq = self.cpus[cpu].irq
        if irq is not None:
            irq.timer_wakes += 1
        what = f"hrtimer={self.n_cpus + task + 1:016x} function=hrtimer_wakeup"
        if task in self.sleeps:
            place, head = self.sleeps.pop(task)
            expiry = release + int(self.s.tasks[task]["slack"])
            event = f"hrtimer_start: {what} expires={expiry} softexpires={release}"
            self.lines[place] = (self.lines[place][0], f"{head}{event}\n")
        read = self._clock_read(time, cpu)
        self._write(time, cpu, f"hrtimer_expire_entry: {what} now={time if release > read else read}")

    def _clock_read(self, time: int, cpu: int) -> int:
        """Return when the interrupt read the clock whose first timer runs now; later ones run by the same reading."""
        irq = self.cpus[cpu].irq
        if irq is None:
            return time
        if irq.read is None:
            irq.read = irq.begun + round((time - irq.begun) * self.entry_share)
        return irq.read

    def _stall(self, time: int, cpu: int, _: int, duration: int) -> None:
        self._write(time + duration, cpu, f"sample_threshold: {_since(time, duration)} interference 0")
        self._delay(cpu, duration)

    def _nmi(self, time: int, cpu: int, _: int, duration: int) -> None:
        self._write(time + duration, cpu, f"nmi_noise: {_since(time, duration)}")
        self._delay(cpu, duration)

    def _delay(self, cpu: int, duration: int) -> None:
        running = self.cpus[cpu].softirq
        if running is not None and running.since is not None:
            running.since += duration

    # ---- softirqs -------------------------------------------------------------------------------------------

    def _softirq(self, time: int, cpu: int, vector: int, work: int) -> None:
        """Begin a vector; what exceeds the sources' work is the way there."""
        c = self.cpus[cpu]
        own = c.raised.pop(vector, work)
        action = SOFTIRQ_VECTORS[vector].upper()
        self._write(time + max(work - own, 0), cpu, f"softirq_entry: vec={vector} [action={action}]")
        c.softirq = _Softirq(vector, work, time)

    def _end_softirq(self, time: int, cpu: int) -> None:
        running = self.cpus[cpu].softirq
        if running is None or running.since is None or running.since + running.left > time:
            return
        action = SOFTIRQ_VECTORS[running.vector].upper()
        self._write(running.since + running.left, cpu, f"softirq_exit: vec={running.vector} [action={action}]")
        self.cpus[cpu].softirq = None

    def _pause(self, cpu: int, time: int) -> None:
        running = self.cpus[cpu].softirq
        if running is not None and running.since is not None:
            running.left -= max(time - running.since, 0)
            running.since = None

    # ---- tasks ----------------------------------------------------------------------------------------------

    def _waking(self, time: int, cpu: int, task: int, _: int) -> None:
        irq = self.cpus[cpu].irq
        if irq is not None and irq.timer_wakes:
            irq.timer_wakes -= 1
        elif irq is not None and irq.first_wake is None:
            irq.first_wake = time
        self._write(time, cpu, f"sched_waking: {self._who(task)} target_cpu={cpu:03}")

    def _switch(self, time: int, cpu: int, picked: int, previous: int) -> None:
        c = self.cpus[cpu]
        left = "S" if previous in self.asleep else "R"
        self.asleep.discard(previous)
        came = self._who(picked, cpu, "next_")
        self._write(time, cpu, f"sched_switch: {self._who(previous, cpu, 'prev_')} prev_state={left} ==> {came}")
        self._pause(cpu, time)
        if c.softirq is not None:
            self.left_softirqs[previous] = c.softirq
        c.softirq = self.left_softirqs.pop(picked, None)
        if c.softirq is not None:
            c.softirq.since = time
        c.current = picked

    def _block(self, time: int, cpu: int, task: int, _state: int) -> None:
        self.asleep.add(task)
        self.sleeps[task] = len(self.lines), self._head(time, cpu)
        self.lines.append((time, ""))  # written when the timer runs, which tells when it expired

    def _migrate(self, time: int, cpu: int, task: int, old: int) -> None:
        self._write(time, cpu, f"sched_migrate_task: {self._who(task)} orig_cpu={old} dest_cpu={cpu}")

    # ---- lines ----------------------------------------------------------------------------------------------

    def _who(self, task: int, cpu: int = 0, prefix: str = "") -> str:
        prio = 120 if task < 0 else max(int(self.s.tasks[task]["prio"]), 0)
        return f"{prefix}comm={self._name(task, cpu)} {prefix}pid={task + 1} {prefix}prio={prio}"

    def _name(self, task: int, cpu: int) -> str:
        return self.comms[task] if task >= 0 else f"swapper/{cpu}"

    def _comm(self, name: str) -> str:
        """Return the name the kernel gives such a thread; names may be longer than its 15 characters."""
        if name.startswith("host/irq/"):
            return f"irq/{self.irqs[_handler(name)]}-{_handler(name)}"
        if name.startswith("cyclictest/"):  # its threads have no names of their own
            return "cyclictest"
        return name.removeprefix("host/").removeprefix("thread/").replace(" ", "_")

    def _write(self, time: int, cpu: int, event: str) -> None:
        self.lines.append((time, f"{self._head(time, cpu)}{event}\n"))

    def _head(self, time: int, cpu: int) -> str:
        current = self.cpus[cpu].current
        who = f"{'<idle>' if current < 0 else self.comms[current]}-{current + 1}"
        return f"{who:>24} [{cpu:03}] {time // 10**9:5}.{time % 10**9:09}: "


_TOLD: dict[int, Any] = {
    TR_IRQ: _Writer._irq, TR_IRQ_EXIT: _Writer._irq_exit, TR_NOISE: _Writer._noise,
    TR_TICK: _Writer._tick, TR_TIMER: _Writer._timer, TR_HARDWARE: _Writer._stall,
    TR_NMI: _Writer._nmi, TR_SOFTIRQ: _Writer._softirq, TR_WAKING: _Writer._waking,
    TR_SWITCH: _Writer._switch, TR_BLOCK: _Writer._block, TR_MIGRATE: _Writer._migrate,
}  # fmt: skip
"""What each kind of record becomes."""


def _handler(source: str) -> str:
    """Return the name of an interrupt's handler: that of its source, without the CPU of an instance."""
    return source.split("/")[2].replace(" ", "_")


def _since(time: int, duration: int) -> str:
    return f"start {time // 10**9}.{time % 10**9:09} duration {duration} ns"
