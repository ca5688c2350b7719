"""What the steps of a wake-up cost, from the times between the events of a trace.

A step is measured where nothing else lies between its two events: a wake-up by a timer alone in its interrupt, on an
idle CPU. Medians of truncated stamps would be off by up to the resolution; differences of two are not, so means and
fitted distributions are.

A machine that is stopped now and then, as a virtual one by its host or one emulated CPU after CPU, stretches the steps
that it stops in. Told how long no code of its own takes from one event to the next, steps with a longer gap in them are
left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rtsim.profile.calibration.durations import Fit, fit_durations
from rtsim.profile.calibration.idle_states import WITHOUT_DRIVER, IdleState
from rtsim.profile.calibration.lateness import FEWEST, Lateness
from rtsim.profile.calibration.levels import UNKNOWN
from rtsim.profile.calibration.naming import NICE_0
from rtsim.profile.calibration.text import exact
from rtsim.traces.events import MISSING, RUNNING, EventChunk

__all__ = ["MEASURED", "StepReader"]

TICKS = ("tick_sched_timer", "tick_nohz_handler")
SAME_CLOCK_NS = 1_000_000
"""``now=`` is the monotonic clock's; the trace's is the same one if they are never further apart."""
SOON_NS = 100_000
"""What follows an interrupt later than this is no part of its wake-up."""
LOWEST_FAIR = NICE_0 - 20
FAIR_TICK = "tick over a fair task"

MEASURED = {
    "timer_irq": "hrtimer_expire_entry (now= where the trace has that clock) to sched_waking",
    "cgroup_level": "sched_waking to local_timer_exit, by how many levels of cgroups the woken fair task is in",
    "wake": "sched_waking to local_timer_exit, on an idle CPU, less cgroup_level for each level",
    "preempt_fair": "the same of fair tasks while a fair task ran, less wake",
    "put_fair": "sched_waking to sched_switch from a fair task to a realtime one, neither in a cgroup, less wake and "
    "schedule",
    "schedule": "local_timer_exit to sched_switch, on an idle CPU, to a task in no cgroup",
    "softirq_entry": "local_timer_exit to softirq_entry",
    "tick": "local_timer_entry to the end of the interrupt and its softirqs, without wake-up, less timer_irq, and "
    "less preempt_fair and cgroup_level for each level where a fair task ran",
    "irq_entry": "hrtimer_start's expires= to hrtimer_expire_entry's now=, while a thread ran and nothing else came; "
    "where none ran, less the base's idle_exit",
    "idle_exit": "the same on an idle CPU, less irq_entry, by the state that cpu_idle tells, or else by the base's "
    "residencies",
}
"""Costs of a profile that a trace tells, and from which step."""

PARTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "timer_irq": {"timer_irq": ()}, "wake": {"wake": ()}, "schedule": {"schedule": ()},
    "softirq_entry": {"softirq_entry": ()},
    "preempt_fair": {"preempt_fair": ("wake",)}, "put_fair": {"put_fair": ("wake", "schedule")},
    "tick": {"tick": ("timer_irq",), FAIR_TICK: ("timer_irq", "preempt_fair")},
}  # fmt: skip
"""By cost, in an order in which they can be found: the steps it is seen in, and the costs that are in those too."""


@dataclass
class _Interrupt:
    """A timer interrupt: its times (ns) and what it did."""

    begin: int
    idle: bool
    fair: bool
    running_levels: int
    quiet_since: int
    """Last event of the CPU before it."""
    idle_state: str | None
    timers: int = 0
    expired: int | None = None
    waking: int | None = None
    wakes: int = 0
    tick: bool = False
    end: int = 0
    woken: int = 0
    woken_fair: bool = False
    levels: int = 0
    softirqs_end: int = 0
    entered_softirq: bool = False
    stopped: bool = False
    """The machine was, up to `end`, or `softirqs_end` if softirqs followed."""
    stopped_since: bool = False
    """Or it was after that."""

    @property
    def leads_to_switch(self) -> bool:
        """Nothing lies between its end and the switch that follows."""
        once = self.wakes == 1 and self.levels == 0 and self.running_levels == 0
        return once and not (self.tick or self.entered_softirq or self.stopped_since)


@dataclass
class StepReader:
    """Collects the steps of one or several traces, chunk by chunk, in order of time."""

    stop_ns: int | None = None
    """From one event to the next within an interrupt: a gap as long as that is none of its code's; None to take all."""
    steps: dict[str, list[int]] = field(default_factory=dict)
    walked: list[tuple[str, int, int]] = field(default_factory=list)
    """Those that walk a fair task's cgroups: the step, how many levels, and how long it took (ns)."""
    late: Lateness = field(default_factory=Lateness)
    residencies_ns: dict[str, int] = field(default_factory=dict)
    """Of idle states, where a recording tells."""
    _idle_states: Mapping[int, IdleState] = field(default_factory=dict)
    _levels: Mapping[str, int] = field(default_factory=dict)
    _names: list[str] = field(default_factory=list)
    _open: dict[int, _Interrupt] = field(default_factory=dict)
    _ended: dict[int, _Interrupt] = field(default_factory=dict)
    _running: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    """By CPU: pid, priority and levels of cgroups of who was switched to."""
    _last: dict[int, int] = field(default_factory=dict)
    """By CPU: time of its last event; cpu_idle counts for none, as it belongs to leaving the state."""
    _expires: dict[int, int] = field(default_factory=dict)
    """By timer address: when it expires."""
    _idle_in: dict[int, int] = field(default_factory=dict)
    """By CPU: the number of the idle state that it entered last."""

    def read(self, chunk: EventChunk) -> None:
        """Take the events of a chunk."""
        self._names = chunk.names
        handlers = {code: _HANDLERS[name] for code, name in enumerate(chunk.names) if name in _HANDLERS}
        for row in zip(*(chunk.column(name).tolist() for name in _COLUMNS), strict=True):
            handler = handlers.get(row[2])
            if handler is StepReader._idle:
                self._idle(*row)
                continue
            if self.stop_ns is not None:
                self._see_stop(row[0], row[1], self.stop_ns)
            if handler is not None:
                handler(self, *row)
            self._last[row[1]] = row[0]

    def begin(self, levels: Mapping[str, int], idle_states: Mapping[int, IdleState] = WITHOUT_DRIVER) -> None:
        """Begin another trace, dropping what is under way.

        Parameters
        ----------
        levels
            Of cgroups above threads, by name.
        idle_states
            By their number in cpu_idle.
        """
        self._levels, self._idle_states = levels, idle_states
        told = {state.name: state.residency_ns for state in idle_states.values()}
        self.residencies_ns |= {name: ns for name, ns in told.items() if ns is not None}
        for under_way in (self._open, self._ended, self._running, self._last, self._expires, self._idle_in):
            under_way.clear()

    def fits(self, resolution_ns: int, base_ns: Mapping[str, float]) -> dict[str, Fit]:
        """Return the costs of `MEASURED` that were met often enough.

        Parameters
        ----------
        resolution_ns
            Of the time stamps.
        base_ns
            Means that are taken off where a trace does not tell them: `wake`, `timer_irq`, `schedule`, `preempt_fair`
            and `cgroup_level`.
        """
        level = self._level()
        costs = {} if level is None else {"cgroup_level": level}

        def mean_ns(name: str) -> float:
            return costs[name].mean_ns if name in costs else base_ns[name]

        steps = {**self.steps, **self._without_levels(mean_ns("cgroup_level"))}
        for name, parts in PARTS.items():
            values = [
                np.array(steps.get(part, ()), np.int64) - round(sum(map(mean_ns, taken_off)))
                for part, taken_off in parts.items()
            ]
            if sum(map(len, values)) >= FEWEST:
                costs[name] = fit_durations(np.concatenate(values), resolution_ns, as_measured=False)
        return costs

    def _without_levels(self, level_ns: float) -> dict[str, list[int]]:
        """Return what steps took that walk cgroups, beyond the levels."""
        found: dict[str, list[int]] = {}
        for step, levels, duration in self.walked:
            found.setdefault(step, []).append(duration - round(levels * level_ns))
        return found

    def _level(self) -> Fit | None:
        """Return what a level of cgroups adds to a wake-up: the slope over levels, idle and busy CPUs each by itself.

        None where tasks of two depths were not woken `FEWEST` times each in the same state of the CPU.
        """
        apart = []
        for step in ("wake", "preempt_fair"):
            own = np.array([each for name, *each in self.walked if name == step], np.float64).reshape(-1, 2)
            if (np.unique(own[:, 0], return_counts=True)[1] >= FEWEST).sum() > 1:
                apart.append(own - own.mean(axis=0))
        if not apart:
            return None
        levels, durations = np.concatenate(apart).T
        spread = levels @ levels
        slope = max(float(levels @ durations / spread), 0.0)
        left = durations - slope * levels
        error = float(np.sqrt(left @ left / (len(left) - len(apart) - 1) / spread))
        return Fit({"constant": exact(round(slope))}, "constant", len(left), slope, error, 0.0)

    def _see_stop(self, time: int, cpu: int, stop_ns: int) -> None:
        if time - self._last.get(cpu, time) >= stop_ns:
            if cpu in self._open:
                self._open[cpu].stopped = True
            if cpu in self._ended:
                self._ended[cpu].stopped_since = True

    def _add(self, name: str, duration: int) -> None:
        if 0 <= duration <= SOON_NS:
            self.steps.setdefault(name, []).append(duration)

    def _walk(self, step: str, levels: int, duration: int) -> None:
        if levels != UNKNOWN and duration <= SOON_NS:
            self.walked.append((step, levels, duration))

    # ---- events ----------------------------------------------------------------------------------------------

    def _started(self, _time: int, _cpu: int, *rest: int) -> None:
        if MISSING not in (rest[_NUMBER], rest[_VALUE]):
            self._expires[rest[_NUMBER]] = rest[_VALUE]

    def _idle(self, _time: int, _cpu: int, *rest: int) -> None:
        if rest[_NUMBER] != RUNNING:
            self._idle_in[rest[_OTHER_CPU]] = rest[_NUMBER]

    def _timer_entry(self, time: int, cpu: int, *rest: int) -> None:
        self._close(cpu)
        pid, prio, levels = self._who_runs(cpu, rest[_PID])
        state = self._idle_states.get(self._idle_in.get(cpu, MISSING))
        self._open[cpu] = _Interrupt(
            time, pid == 0, pid > 0 and prio >= LOWEST_FAIR, levels, self._last.get(cpu, time),
            None if state is None else state.name,
        )  # fmt: skip

    def _who_runs(self, cpu: int, pid: int) -> tuple[int, int, int]:
        """Return pid, priority and levels of who runs: of a switch that was not traced, as from idle, only the pid."""
        known = self._running.get(cpu, (MISSING, MISSING, 0))
        return known if pid in (known[0], MISSING) else (pid, MISSING, 0 if pid == 0 else UNKNOWN)

    def _expired(self, time: int, cpu: int, *rest: int) -> None:
        irq = self._open.get(cpu)
        if irq is None:
            return
        read, tick = rest[_VALUE], self._text(rest[_NAME]) in TICKS
        same_clock = read != MISSING and abs(time - read) <= SAME_CLOCK_NS
        irq.tick |= tick
        irq.timers += 1
        irq.expired = read if same_clock else time
        expiry = self._expires.pop(rest[_NUMBER], None)
        if expiry is not None and read != MISSING:
            self._see_lateness(irq, cpu, read - expiry)

    def _see_lateness(self, irq: _Interrupt, cpu: int, late: int) -> None:
        """Take the lateness of the timer that the interrupt came for, if nothing else kept it waiting."""
        if irq.timers != 1 or irq.expired is None or (self.stop_ns is not None and late >= self.stop_ns):
            return
        idled = irq.expired - late - irq.quiet_since
        if idled < 0:
            return
        if not irq.idle:
            self.late.add_busy(late)
        elif irq.idle_state is not None or not self._idle_in:
            self.late.add_idle(late, idled, irq.idle_state)

    def _waking(self, time: int, cpu: int, *rest: int) -> None:
        irq = self._open.get(cpu)
        if irq is None:
            return
        irq.wakes += 1
        irq.waking, irq.woken = time, rest[_OTHER_PID]
        irq.woken_fair = rest[_OTHER_PRIO] >= LOWEST_FAIR
        irq.levels = self._levels.get(self._text(rest[_OTHER_COMM]), 0) if irq.woken_fair else 0

    def _timer_exit(self, time: int, cpu: int, *_: int) -> None:
        irq = self._open.pop(cpu, None)
        if irq is None:
            return
        irq.end = irq.softirqs_end = time
        self._ended[cpu] = irq
        alone = irq.wakes == 1 and not irq.tick and not irq.stopped
        if alone and irq.waking is not None and irq.expired is not None:
            self._add("timer_irq", irq.waking - irq.expired)
            if irq.idle or (irq.fair and irq.woken_fair):
                self._walk("wake" if irq.idle else "preempt_fair", irq.levels, time - irq.waking)

    def _softirq_entry(self, time: int, cpu: int, *_: int) -> None:
        irq = self._ended.get(cpu)
        if irq is not None and not irq.entered_softirq:
            irq.entered_softirq = True
            if not irq.stopped_since:
                self._add("softirq_entry", time - irq.end)

    def _softirq_exit(self, time: int, cpu: int, *_: int) -> None:
        irq = self._ended.get(cpu)
        if irq is not None and irq.entered_softirq:
            irq.softirqs_end = time
            irq.stopped |= irq.stopped_since

    def _switch(self, time: int, cpu: int, *rest: int) -> None:
        irq = self._ended.get(cpu)
        if irq is not None and irq.woken == rest[_OTHER_PID] and irq.leads_to_switch:
            if irq.idle:
                self._add("schedule", time - irq.end)
            elif irq.fair and not (irq.woken_fair or irq.stopped) and irq.waking is not None:
                self._add("put_fair", time - irq.waking)
        self._close(cpu)
        levels = self._levels.get(self._text(rest[_OTHER_COMM]), 0)
        self._running[cpu] = (rest[_OTHER_PID], rest[_OTHER_PRIO], levels)

    def _handler_entry(self, _: int, cpu: int, *_rest: int) -> None:
        """End what followed the timer interrupt: softirqs and switches from here on are this handler's."""
        self._close(cpu)

    def _close(self, cpu: int) -> None:
        """Take the tick that ended last on a CPU, now that no softirq of its own can follow."""
        irq = self._ended.pop(cpu, None)
        if irq is None or not irq.tick or irq.wakes or irq.stopped:
            return
        if irq.fair:
            self._walk(FAIR_TICK, irq.running_levels, irq.softirqs_end - irq.begin)
        else:
            self._add("tick", irq.softirqs_end - irq.begin)

    def _text(self, code: int) -> str:
        return "" if code == MISSING else self._names[code]


_COLUMNS = (
    "time_ns", "cpu", "event", "pid", "other_pid", "other_comm", "other_prio", "other_cpu", "number", "name",
    "value_ns",
)  # fmt: skip
_PID, _OTHER_PID, _OTHER_COMM, _OTHER_PRIO, _OTHER_CPU, _NUMBER, _NAME, _VALUE = range(1, 9)
"""Places behind time and CPU; 0 is the event itself."""

_HANDLERS: dict[str, Callable[..., Any]] = {
    "hrtimer_start": StepReader._started, "local_timer_entry": StepReader._timer_entry,
    "hrtimer_expire_entry": StepReader._expired, "sched_waking": StepReader._waking,
    "local_timer_exit": StepReader._timer_exit, "softirq_entry": StepReader._softirq_entry,
    "softirq_exit": StepReader._softirq_exit, "irq_handler_entry": StepReader._handler_entry,
    "sched_switch": StepReader._switch, "cpu_idle": StepReader._idle,
}  # fmt: skip
