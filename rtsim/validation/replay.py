"""What a recorded kernel decided on one CPU, decision by decision, read from its ftrace text.

A *decision* is one of three: at a **wake-up**, whether the wakee preempts; at a **tick**, whether the running task is
to go; at a **switch**, who is next. The first two show as the need-resched flag of the last event of their handling:
``sched_wakeup`` is traced after the wake-up test, ``hrtimer_expire_exit`` after the tick's. What the scheduler knew
comes from the events since the decision before: ``sched_stat_runtime`` is each update of the running task's accounts
(with its vruntime up to 6.1), ``prev_state`` of a switch tells a task that blocked from one that was put back.

What a trace does not tell: tasks that are queued but were neither woken nor run since it began, the lag or vruntime of
one before its first update, which sleepers of 6.12 and later are still queued until they are eligible, who set a
need-resched flag that was set before, and times finer than 1 us, except for the amounts that events carry in ns. Our
traces are thinned: updates without a decision (a task that reads its own CPU clock makes one each time) are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from rtsim.kernel.weights import nice_weight

__all__ = ["Charge", "Decision", "Thread", "decisions", "timer_expiries"]

Kind = Literal["wakeup", "tick", "switch"]
US = 1_000
IDLE_PID = 0
LOWEST_RT_PRIO = 99
NICE_0_PRIO = 120


@dataclass(frozen=True)
class Thread:
    """A thread as events name it; `prio` in the kernel's own numbers: below 100 realtime, 120 is nice 0."""

    pid: int
    name: str
    prio: int

    @property
    def idle(self) -> bool:
        """The idle task."""
        return self.pid == IDLE_PID

    @property
    def fair(self) -> bool:
        """Of the fair class; kernel threads are too, most of them at nice 0."""
        return self.prio > LOWEST_RT_PRIO and not self.idle

    @property
    def realtime(self) -> bool:
        """Of a stronger class than the fair one."""
        return not self.fair and not self.idle

    @property
    def weight(self) -> int:
        """Load weight of a fair thread. SCHED_IDLE does not show: its prio is that of nice 0, its weight 3."""
        return nice_weight(self.prio - NICE_0_PRIO)


@dataclass(frozen=True)
class Charge:
    """One update of a running task's accounts."""

    time_ns: int
    pid: int
    runtime_ns: int
    vruntime_ns: int | None
    """None where the kernel does not trace it (6.7 and later), and of no meaning for realtime tasks."""


@dataclass(frozen=True)
class Decision:
    """One decision, at the time of the event that tells it, from boot."""

    time_ns: int
    kind: Kind
    thread: Thread | None
    """Who woke up, or who runs at the tick (None before the first switch); at a switch, who leaves."""
    resched: bool
    """Whether the running task is to leave; at a switch, whether the one that leaves stays runnable."""
    next: Thread | None = None
    """At a switch, who comes."""
    charges: tuple[Charge, ...] = ()
    """Updates since the decision before."""


def decisions(text: str, cpu: int) -> Iterator[Decision]:
    """Give the decisions on one CPU in an ftrace text, in order.

    Parameters
    ----------
    text
        ``/sys/kernel/tracing/trace`` with sched_waking, sched_wakeup, sched_switch, sched_stat_runtime and hrtimer
        events; other lines are passed over.
    cpu
        The CPU.
    """
    reader = _Reader(cpu)
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is not None:
            found = reader.take(match)
            if found is not None:
                yield found


def timer_expiries(text: str, cpu: int, function: str) -> list[int]:
    """Return when hrtimers that call `function` expired on a CPU in an ftrace text, in ns from boot."""
    entry = re.compile(rf"\[0*{cpu}\] .*: hrtimer_expire_entry: .*function={function} now=(\d+)")
    return [int(match[1]) for match in map(entry.search, text.splitlines()) if match]


_LINE = re.compile(
    r"\s*\S.*-\d+\s+\[(?P<cpu>\d+)\] (?P<flags>\S+)\s+(?P<s>\d+)\.(?P<us>\d{6}): (?P<event>\w+): (?P<rest>.*)"
)
_SWITCH = re.compile(
    r"prev_comm=(.*) prev_pid=(\d+) prev_prio=(-?\d+) prev_state=(\S+) ==> "
    r"next_comm=(.*) next_pid=(\d+) next_prio=(-?\d+)"
)
_WAKEUP = re.compile(r"comm=(.*) pid=(\d+) prio=(-?\d+) target_cpu=(\d+)")
_RUNTIME = re.compile(r"comm=.* pid=(\d+) runtime=(\d+) \[ns\](?: vruntime=(\d+) \[ns\])?")


@dataclass
class _Reader:
    """Keeps what lies between two decisions."""

    cpu: int
    running: Thread | None = None
    charges: list[Charge] = field(default_factory=list)
    in_tick: bool = False
    """The tick's handling is under way."""

    def take(self, match: re.Match[str]) -> Decision | None:
        event, rest = match["event"], match["rest"]
        time_ns = (int(match["s"]) * 1_000_000 + int(match["us"])) * US
        if event in ("sched_wakeup", "sched_wakeup_new"):
            return self._wakeup(rest, time_ns, match)
        if int(match["cpu"]) != self.cpu:
            return None
        if event == "sched_switch":
            return self._switch(rest, time_ns)
        if event == "hrtimer_expire_exit" and self.in_tick:
            self.in_tick = False
            return self._decided(time_ns, "tick", self.running, _resched(match["flags"]))
        if event == "hrtimer_expire_entry":
            self.in_tick = "function=tick_" in rest
        elif event == "sched_stat_runtime" and (update := _RUNTIME.match(rest)):
            vruntime = None if update[3] is None else int(update[3])
            self.charges.append(Charge(time_ns, int(update[1]), int(update[2]), vruntime))
        return None

    def _wakeup(self, rest: str, time_ns: int, match: re.Match[str]) -> Decision | None:
        found = _WAKEUP.match(rest)
        if found is None or int(found[4]) != self.cpu:
            return None
        thread = Thread(int(found[2]), found[1], int(found[3]))
        # From another CPU the mark is set here and does not show in the flags of the waker.
        here = int(match["cpu"]) == self.cpu
        return self._decided(time_ns, "wakeup", thread, here and _resched(match["flags"]))

    def _switch(self, rest: str, time_ns: int) -> Decision | None:
        found = _SWITCH.match(rest)
        if found is None:
            return None
        leaving = Thread(int(found[2]), found[1], int(found[3]))
        self.running = Thread(int(found[6]), found[5], int(found[7]))
        return self._decided(time_ns, "switch", leaving, found[4].startswith("R"), self.running)

    def _decided(
        self, time_ns: int, kind: Kind, thread: Thread | None, resched: bool, coming: Thread | None = None
    ) -> Decision:
        charges, self.charges = tuple(self.charges), []
        return Decision(time_ns, kind, thread, resched, coming, charges)


def _resched(flags: str) -> bool:
    """Tell whether the need-resched flag is set, or the lazy one, which PREEMPT_RT traces in a column of its own."""
    own_column = len(flags) >= 7 and flags[2] == "L"
    return flags[1] in "NnBbLl" or own_column
