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

from rtsim.profile.calibration.beside import Releases
from rtsim.profile.calibration.durations import Fit, fit_durations
from rtsim.profile.calibration.idle_states import WITHOUT_DRIVER, IdleState
from rtsim.profile.calibration.lateness import FEWEST, Late, Lateness
from rtsim.profile.calibration.levels import UNKNOWN
from rtsim.profile.calibration.naming import NICE_0
from rtsim.profile.calibration.text import exact
from rtsim.profile.calibration.wake_ups import WakeUp, WakeUps
from rtsim.traces.events import LOST, MISSING, RUNNING, EventChunk

__all__ = ["MEASURED", "StepReader"]

TICKS = ("tick_sched_timer", "tick_nohz_handler")
SAME_CLOCK_NS = 1_000_000
"""``now=`` is the monotonic clock's; the trace's is the same one if they are never further apart."""
SOON_NS = 100_000
"""What follows an interrupt later than this is no part of its wake-up."""
LOWEST_FAIR = NICE_0 - 20
TO_USER = "sched_switch to user space"
FAIR_TICK = "tick over a fair task"

MEASURED = {
    "timer_irq": "hrtimer_expire_entry (now= where the trace has that clock) to sched_waking",
    "cgroup_level": "sched_waking to local_timer_exit, by how many levels of cgroups the woken fair task is in",
    "wake": "sched_waking to local_timer_exit, less cgroup_level for each level, on an idle CPU, else of realtime ones "
    "over a fair one, else with preempt_fair, in the base's proportion",
    "preempt_fair": "the same of fair tasks while a fair task ran, less wake",
    "put_fair": "sched_waking to sched_switch from a fair task to a realtime one, neither in a cgroup, less wake and "
    "schedule",
    "schedule": "local_timer_exit to sched_switch, in no cgroup, on an idle CPU, else to realtime tasks less wake and "
    "preempt_fair (or with put_fair, in the base's proportion), else between fair tasks if the base has none",
    "softirq_entry": "local_timer_exit to softirq_entry",
    "tick": "hrtimer_expire_entry of a tick to the end of its softirqs, without wake-up, less timer_irq, and less "
    "preempt_fair and cgroup_level for each level where a fair task ran",
    "irq_entry": "hrtimer_start's expires= to hrtimer_expire_entry's now=, while a thread ran and nothing else came; "
    "where none ran, with idle_exit, in the base's proportion",
    "idle_exit": "the same on an idle CPU, less irq_entry, by the state that cpu_idle tells, or else by the base's "
    "residencies",
}
"""Costs of a profile that a trace tells, and from which step."""

PARTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "timer_irq": {"timer_irq": ()}, "softirq_entry": {"softirq_entry": ()},
    "wake": {"wake": ()}, "preempt_fair": {"preempt_fair": ("wake",)},
    "schedule": {"schedule": ()}, "put_fair": {"put_fair": ("wake", "schedule")},
    "tick": {"tick": ("timer_irq",), FAIR_TICK: ("timer_irq", "preempt_fair")},
}  # fmt: skip
"""By cost, in an order in which they can be found: the steps it is seen in, and the costs that are in those too."""

WAKE_OVER, SCHEDULE_OVER = "wake of a realtime task over a fair one", "schedule from a fair task to a fair one"


Steps = Mapping[str, list[int]]


@dataclass
class _Interrupt:
    """A timer interrupt: its times (ns) and what it did."""

    idle: bool
    fair: bool
    running_levels: int
    quiet_since: int
    """Last event of the CPU before it."""
    idle_state: str | None
    timers: int = 0
    expired: int | None = None
    """When the clock was read, in the trace's clock."""
    first_expired: int | None = None
    """Of the timer that it came for."""
    late: int | None = None
    read: int = MISSING
    """The same in the timers' clock."""
    expiry: int | None = None
    """Of the timer that ran last, in that clock too; None where it is not known or somebody was woken for it."""
    waking: int | None = None
    wakes: int = 0
    tick: bool = False
    end: int = 0
    woken: int = 0
    woken_fair: bool = False
    levels: int = 0
    wake_up: WakeUp | None = None
    """The last one, of a realtime thread."""
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
    wake_ups: WakeUps = field(default_factory=WakeUps)
    """Of the present trace."""
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

    def begin(
        self,
        levels: Mapping[str, int],
        idle_states: Mapping[int, IdleState] = WITHOUT_DRIVER,
        releases: Mapping[str, Releases] | None = None,
    ) -> None:
        """Begin another trace, dropping what is under way.

        Parameters
        ----------
        levels
            Of cgroups above threads, by name.
        idle_states
            By their number in cpu_idle.
        releases
            Of realtime tasks that wrote them down, by name.
        """
        self._levels, self._idle_states, self.wake_ups = levels, idle_states, WakeUps(releases or {})
        told = {state.name: state.residency_ns for state in idle_states.values()}
        self.residencies_ns |= {name: ns for name, ns in told.items() if ns is not None}
        self._lost()

    def _lost(self, *_: int) -> None:
        """Drop what is under way: nothing is known across lost events."""
        for under_way in (self._open, self._ended, self._running, self._last, self._expires, self._idle_in):
            under_way.clear()

    def fits(self, resolution_ns: int, base_ns: Mapping[str, float], share: float = 1.0) -> dict[str, Fit]:
        """Return the costs of `MEASURED` that were met often enough.

        Parameters
        ----------
        resolution_ns
            Of the time stamps.
        base_ns
            Means that are taken off where a trace does not tell them, and proportions: `wake`, `timer_irq`, `schedule`,
            `preempt_fair`, `put_fair` and `cgroup_level`.
        share
            What is left of the steps without the tracer's own time.
        """
        level = self._level(share)
        costs = {} if level is None else {"cgroup_level": level}

        def mean_ns(name: str) -> float:
            return costs[name].mean_ns if name in costs else base_ns[name]

        steps = {**self.steps, **self._without_levels(mean_ns("cgroup_level") / share)}
        steps = {name: np.rint(np.array(values) * share).astype(np.int64).tolist() for name, values in steps.items()}
        for name, parts in PARTS.items():
            if len(steps.get(name, ())) < FEWEST and name in STAND_INS:
                steps[name] = STAND_INS[name](steps, costs, base_ns)
            values = [
                np.array(steps.get(part, ()), np.int64) - round(sum(map(mean_ns, taken_off)))
                for part, taken_off in parts.items()
            ]
            if sum(map(len, values)) >= FEWEST:
                costs[name] = fit_durations(np.concatenate(values), resolution_ns, as_measured=False)
        return costs

    def to_user(self, resolution_ns: int) -> Fit | None:
        """Return what threads took from the switch to their own code, None where they did not write that down."""
        values = self.steps.get(TO_USER, [])
        return fit_durations(np.array(values, np.int64), resolution_ns) if len(values) >= FEWEST else None

    def _without_levels(self, level_ns: float) -> dict[str, list[int]]:
        """Return what steps took that walk cgroups, beyond the levels."""
        found: dict[str, list[int]] = {}
        for step, levels, duration in self.walked:
            found.setdefault(step, []).append(duration - round(levels * level_ns))
        return found

    def _level(self, share: float) -> Fit | None:
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
        durations = durations * share
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

    def _is_stop(self, duration: int) -> bool:
        return self.stop_ns is not None and duration >= self.stop_ns

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
            self.wake_ups.expiries_traced = True

    def _idle(self, _time: int, _cpu: int, *rest: int) -> None:
        if rest[_NUMBER] != RUNNING:
            self._idle_in[rest[_OTHER_CPU]] = rest[_NUMBER]

    def _timer_entry(self, time: int, cpu: int, *rest: int) -> None:
        self._close(cpu)
        pid, prio, levels = self._who_runs(cpu, rest[_PID])
        state = self._idle_states.get(self._idle_in.get(cpu, MISSING))
        self._open[cpu] = _Interrupt(
            pid == 0, pid > 0 and prio >= LOWEST_FAIR, levels, self._last.get(cpu, time),
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
        irq.expired, irq.read = read if same_clock else time, read
        if irq.timers == 1:
            irq.first_expired = irq.expired
        irq.expiry = self._expires.pop(rest[_NUMBER], None)
        if irq.timers == 1 and irq.expiry is not None and read != MISSING:
            irq.late = read - irq.expiry

    def _see_lateness(self, irq: _Interrupt) -> None:
        """Take the lateness of the timer that the interrupt came for, if nothing else kept it waiting."""
        if irq.late is None or irq.first_expired is None or self._is_stop(irq.late):
            return
        idled = irq.first_expired - irq.late - irq.quiet_since
        if idled < 0:
            return
        realtime = irq.wake_up is not None
        if not irq.idle:
            self.late.add(Late(irq.late, realtime))
        elif irq.idle_state is not None or not self._idle_in:
            self.late.add(Late(irq.late, realtime, idled, irq.idle_state))

    def _waking(self, time: int, cpu: int, *rest: int) -> None:
        irq = self._open.get(cpu)
        if irq is None:
            return
        irq.wakes += 1
        irq.waking, irq.woken = time, rest[_OTHER_PID]
        irq.woken_fair = rest[_OTHER_PRIO] >= LOWEST_FAIR
        irq.levels = self._levels.get(self._text(rest[_OTHER_COMM]), 0) if irq.woken_fair else 0
        if not irq.woken_fair and irq.expired is not None and irq.read != MISSING:
            name, expiry = self._text(rest[_OTHER_COMM]), irq.expiry
            irq.wake_up, irq.expiry = self.wake_ups.woken(name, irq.woken, irq.read, irq.expired, expiry), None
            if irq.wake_up is not None and irq.timers == 1:
                irq.late = irq.wake_up.late

    def _timer_exit(self, time: int, cpu: int, *_: int) -> None:
        irq = self._open.pop(cpu, None)
        if irq is None:
            return
        irq.end = irq.softirqs_end = time
        self._ended[cpu] = irq
        self._see_lateness(irq)
        if irq.wake_up is not None:
            irq.wake_up.left = time - irq.wake_up.expiry
        alone = irq.wakes == 1 and not irq.tick and not irq.stopped
        if alone and irq.waking is not None and irq.expired is not None:
            self._add("timer_irq", irq.waking - irq.expired)
            if irq.idle or irq.fair:
                over = "preempt_fair" if irq.woken_fair else WAKE_OVER
                self._walk("wake" if irq.idle else over, irq.levels, time - irq.waking)

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
        woken = self.wake_ups.switch(time, rest[_PID], rest[_OTHER_PID])
        if woken is not None and woken.to_user is not None and not self._is_stop(woken.to_user):
            self._add(TO_USER, woken.to_user)
        irq = self._ended.get(cpu)
        if irq is not None and irq.woken == rest[_OTHER_PID] and irq.leads_to_switch:
            if irq.idle or (irq.fair and irq.woken_fair):
                self._add("schedule" if irq.idle else SCHEDULE_OVER, time - irq.end)
            elif irq.fair and not irq.stopped and irq.waking is not None:
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
        if irq is None or irq.first_expired is None or not irq.tick or irq.wakes or irq.stopped:
            return
        took = irq.softirqs_end - irq.first_expired
        if irq.fair:
            self._walk(FAIR_TICK, irq.running_levels, took)
        else:
            self._add("tick", took)

    def _text(self, code: int) -> str:
        return "" if code == MISSING else self._names[code]


def _wake_over(steps: Steps, _: Mapping[str, Fit], base_ns: Mapping[str, float]) -> list[int]:
    """Return `wake` from busy CPUs: of realtime tasks, or what the base makes of that of fair ones."""
    alone = steps.get(WAKE_OVER, [])
    return alone if len(alone) >= FEWEST else _part(steps.get("preempt_fair", []), "wake", "preempt_fair", base_ns)


def _schedule_over(steps: Steps, costs: Mapping[str, Fit], base_ns: Mapping[str, float]) -> list[int]:
    """Return `schedule` from busy CPUs: to realtime tasks less the fair one's charging.

    Between fair tasks it takes a little more, so that is left to bases that have none.
    """
    together = steps.get("put_fair", [])
    if len(together) < FEWEST or "wake" not in costs:
        return [] if base_ns["schedule"] else steps.get(SCHEDULE_OVER, [])
    rest = [each - round(costs["wake"].mean_ns) for each in together]
    if "preempt_fair" in costs:
        return [each - round(costs["preempt_fair"].mean_ns) for each in rest]
    return _part(rest, "schedule", "put_fair", base_ns)


def _part(together: list[int], step: str, charged: str, base_ns: Mapping[str, float]) -> list[int]:
    """Return a step that was seen together with the charging of a fair task, in the base's proportion of the two."""
    whole = base_ns[step] + base_ns[charged]
    return [round(each * base_ns[step] / whole) if whole else each for each in together]


STAND_INS = {"wake": _wake_over, "schedule": _schedule_over}
"""For steps that no idle CPU showed often enough."""

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
    "sched_switch": StepReader._switch, "cpu_idle": StepReader._idle, LOST: StepReader._lost,
}  # fmt: skip
