"""Where tasks ran and how they woke, read from the trace of a recording whose tasks were spread over CPUs.

The emulator executes one CPU after the other, and its instruction clock runs on for all of them. While two are busy a
CPU may therefore stand still in the midst of its own code, for a *turn* of some 20 us or several: the way from
sched_waking to sched_switch, which takes 11 to 30 us of code, then takes up to 650 us. Such wake-ups tell nothing of
the scheduler and are left out. What a task measures on its own CPU clock grows by the turns as well, so where more than
`MOST_TURNS` of its wake-ups are stretched, nor is its CPU time trusted, and that of the tasks it shares a CPU with.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from pathlib import Path

from rtsim.inputs.files import read_text
from rtsim.traces.compressed import read_compressed
from rtsim.traces.events import COLUMNS, EventChunk
from rtsim.traces.text import TextTrace

__all__ = ["MOST_TURNS", "Placed", "TaskPlaced", "placed"]

US = 1_000
TURN_NS = 15 * US
"""Where the other CPUs idle, no step between two events of a wake-up takes that long (12 us at most)."""
REMOTE_NS = 2 * TURN_NS
"""From a wake-up to the switch on another CPU, which idles, in two such steps: 12 to 20 us of code."""
MOST_TURNS = 0.05
"""Turns of 20 to 100 us in so few activations of a millisecond or more are under 0.5 % of the time."""
LEAST_USE = 0.01
"""Of the time: a task that used a CPU less takes nothing from others there that would show."""


@dataclass
class TaskPlaced:
    """One task, while the traces of all CPUs were kept."""

    delays_ns: list[int] = field(default_factory=list)
    """sched_waking to sched_switch, without those that turns stretched."""
    stretched: int = 0
    """How many these were."""
    migrations: int = 0
    """Those traced, and those that show when it runs on another CPU than it was on: the tracer leaves CPUs out."""
    first_cpu: int | None = None
    """Where it ran first; None where the beginning of a trace had been overwritten."""
    on_cpu_ns: Counter[int] = field(default_factory=Counter)

    @property
    def is_stretched(self) -> bool:
        """Whether its CPU time holds more than that of its own code."""
        return self.stretched > MOST_TURNS * (self.stretched + len(self.delays_ns))


@dataclass(frozen=True)
class Placed:
    """What a trace tells of all tasks, by name."""

    span_ns: int
    """Length of the time in which no CPU's trace had been overwritten."""
    tasks: Mapping[str, TaskPlaced]

    def trusts(self, task: str) -> bool:
        """Tell whether the CPU time of `task` is its own, and not what others were charged too much on its CPUs."""
        own = self.tasks.get(task, TaskPlaced())
        cpus = self._used(own)
        others = (other for other in self.tasks.values() if other.is_stretched)
        return not own.is_stretched and not any(cpus & self._used(other) for other in others)

    def _used(self, task: TaskPlaced) -> set[int]:
        return {cpu for cpu, time in task.on_cpu_ns.items() if time > LEAST_USE * self.span_ns}


@lru_cache(maxsize=32)
def placed(trace: Path) -> Placed:
    """Read a compressed ftrace text with switches, wake-ups, migrations and timer interrupts.

    Raises
    ------
    InputError
        The file is missing or no trace.
    """
    events = list(_events(trace))
    whole = not _overwritten(trace.with_name("overrun"))
    reader = _Reader(events[0].time_ns if whole else _whole_from(events), whole)
    for event in events:
        reader.take(event)
    return Placed(events[-1].time_ns - reader.begin_ns, reader.tasks)


def _overwritten(path: Path) -> bool:
    """Tell whether the trace buffer of some CPU was too small, by the counters that the recording kept."""
    return any(int(count) for count in re.findall(r"overrun: (\d+)", read_text(path)))


def _whole_from(events: Sequence[_Event]) -> int:
    """Return when the last CPU's trace begins."""
    begins: dict[int, int] = {}
    for event in events:
        begins.setdefault(event.cpu, event.time_ns)
    return max(begins.values())


@dataclass(frozen=True)
class _Event:
    time_ns: int
    cpu: int
    name: str
    pid: int
    comm: str
    other_pid: int
    other_comm: str
    other_cpu: int
    state: str


def _events(trace: Path) -> Iterator[_Event]:
    source = TextTrace(BytesIO(read_compressed(trace).encode()), str(trace))
    for chunk in source:
        yield from _rows(chunk)


def _rows(chunk: EventChunk) -> Iterator[_Event]:
    columns = ("time_ns", "cpu", "event", "pid", "comm", "other_pid", "other_comm", "other_cpu", "state")
    names = chunk.names
    picked = chunk.values[[COLUMNS.index(column) for column in columns]].T.tolist()
    for time, cpu, event, pid, comm, other, other_comm, other_cpu, state in picked:
        yield _Event(
            time, cpu, names[event], pid, names[comm] if comm >= 0 else "", other,
            names[other_comm] if other_comm >= 0 else "", other_cpu, names[state] if state >= 0 else "",
        )  # fmt: skip


@dataclass
class _Wakeup:
    time_ns: int
    cpu: int
    idle: bool
    """The CPU idled: what follows is on the way to the switch up to its end."""
    watched: bool = True
    """Code of this wake-up, and nothing else, is executed."""
    stretched: bool = False


@dataclass
class _Reader:
    begin_ns: int
    whole: bool
    """No CPU's trace had been overwritten."""
    tasks: dict[str, TaskPlaced] = field(default_factory=dict)
    wakeups: dict[int, _Wakeup] = field(default_factory=dict)
    """By the woken task."""
    last_ns: dict[int, int] = field(default_factory=dict)
    """The last event of each CPU."""
    left_interrupt: set[int] = field(default_factory=set)
    """CPUs whose last event was the end of a timer interrupt."""
    switched_ns: dict[int, int] = field(default_factory=dict)
    place: dict[int, int] = field(default_factory=dict)
    """The CPU of each task."""

    def take(self, event: _Event) -> None:
        """Follow one event."""
        self._see_turn(event)
        if event.time_ns < self.begin_ns:
            return
        if event.name == "sched_waking":
            self.wakeups.setdefault(event.other_pid, _Wakeup(event.time_ns, event.cpu, event.pid == 0))
        elif event.name == "sched_switch":
            self._switch(event)
        elif event.name == "sched_migrate_task":
            self._task(event.other_comm).migrations += 1
            self.place[event.other_pid] = event.other_cpu
        elif event.name == "local_timer_exit":
            for wakeup in self._on(event.cpu):
                wakeup.watched &= wakeup.idle

    def _see_turn(self, event: _Event) -> None:
        step = event.time_ns - self.last_ns.get(event.cpu, event.time_ns)
        self.last_ns[event.cpu] = event.time_ns
        if step >= TURN_NS:
            for wakeup in self._on(event.cpu):
                wakeup.stretched |= wakeup.watched
            if event.name == "sched_switch" and event.state.startswith("R") and event.cpu in self.left_interrupt:
                # The interrupt has told the task that ran to go: nothing of it lies between.
                self._stretch(event.other_pid, event.cpu)
        self.left_interrupt.discard(event.cpu)
        if event.name == "local_timer_exit":
            self.left_interrupt.add(event.cpu)

    def _stretch(self, pid: int, cpu: int) -> None:
        wakeup = self.wakeups.get(pid)
        if wakeup is not None and wakeup.cpu == cpu:
            wakeup.stretched = True

    def _switch(self, event: _Event) -> None:
        came = self.switched_ns.get(event.cpu)
        if came is not None:
            self._task(event.comm).on_cpu_ns[event.cpu] += event.time_ns - came
        self.switched_ns[event.cpu] = event.time_ns
        self._see_place(event)
        wakeup = self.wakeups.pop(event.other_pid, None)
        if wakeup is not None and event.pid == 0 and wakeup.cpu != event.cpu:
            wakeup.stretched |= event.time_ns - wakeup.time_ns >= REMOTE_NS
        if wakeup is not None and wakeup.stretched:
            self._task(event.other_comm).stretched += 1
        elif wakeup is not None:
            self._task(event.other_comm).delays_ns.append(event.time_ns - wakeup.time_ns)
        for waiting in self._on(event.cpu):  # another task runs first: that is the scheduler's doing
            waiting.watched = waiting.stretched = False

    def _see_place(self, event: _Event) -> None:
        """Note where the task that comes runs: if it was elsewhere, a CPU that is not traced has moved it."""
        task = self._task(event.other_comm)
        if task.first_cpu is None and self.whole:
            task.first_cpu = event.cpu
        if self.place.setdefault(event.other_pid, event.cpu) != event.cpu:
            task.migrations += 1
            self.place[event.other_pid] = event.cpu

    def _on(self, cpu: int) -> Iterator[_Wakeup]:
        return (wakeup for wakeup in self.wakeups.values() if wakeup.cpu == cpu)

    def _task(self, name: str) -> TaskPlaced:
        return self.tasks.setdefault(name, TaskPlaced())
