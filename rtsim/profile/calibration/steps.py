"""What the steps of a wake-up cost, from the times between the events of a trace.

A step is measured where nothing else lies between its two events: a wake-up by a timer alone in its interrupt, on an
idle CPU. Medians of truncated stamps would be off by up to the resolution; differences of two are not, so means and
fitted distributions are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rtsim.profile.calibration.durations import Fit, fit_durations
from rtsim.profile.calibration.naming import NICE_0
from rtsim.traces.events import MISSING, EventChunk

__all__ = ["MEASURED", "StepReader"]

TICKS = ("tick_sched_timer", "tick_nohz_handler")
SAME_CLOCK_NS = 1_000_000
"""``now=`` is the monotonic clock's; the trace's is the same one if they are never further apart."""
SOON_NS = 100_000
"""What follows an interrupt later than this is no part of its wake-up."""
FEWEST = 10
"""A step met less often is left to the base."""
LOWEST_FAIR = NICE_0 - 20

MEASURED = {
    "timer_irq": "hrtimer_expire_entry (now= where the trace has that clock) to sched_waking",
    "wake": "sched_waking to local_timer_exit, on an idle CPU",
    "preempt_fair": "the same while a fair task ran, less wake",
    "schedule": "local_timer_exit to sched_switch, on an idle CPU",
    "softirq_entry": "local_timer_exit to softirq_entry",
    "tick": "local_timer_entry to the end of the interrupt and its softirqs, without wake-up, less timer_irq",
    "irq_entry": "expiry of a timer to hrtimer_expire_entry's now=, on a busy CPU",
}
"""Costs of a profile that a trace tells, and from which step."""


@dataclass
class _Interrupt:
    """A timer interrupt: its times (ns) and what it did."""

    begin: int
    idle: bool
    fair: bool
    expired: int | None = None
    waking: int | None = None
    wakes: int = 0
    tick: bool = False
    end: int = 0
    woken: int = 0
    softirqs_end: int = 0
    entered_softirq: bool = False


@dataclass
class StepReader:
    """Collects the steps of one or several traces, chunk by chunk, in order of time."""

    steps: dict[str, list[int]] = field(default_factory=dict)
    _names: list[str] = field(default_factory=list)
    _open: dict[int, _Interrupt] = field(default_factory=dict)
    _ended: dict[int, _Interrupt] = field(default_factory=dict)
    _running: dict[int, tuple[int, int]] = field(default_factory=dict)
    """By CPU: pid and priority of who was switched to."""
    _expires: dict[int, int] = field(default_factory=dict)
    """By timer address: when it expires."""

    def read(self, chunk: EventChunk) -> None:
        """Take the events of a chunk."""
        self._names = chunk.names
        handlers = {code: _HANDLERS[name] for code, name in enumerate(chunk.names) if name in _HANDLERS}
        for row in zip(*(chunk.column(name).tolist() for name in _COLUMNS), strict=True):
            handler = handlers.get(row[2])
            if handler is not None:
                handler(self, *row)

    def forget(self) -> None:
        """Drop what is under way: another trace begins."""
        for under_way in (self._open, self._ended, self._running, self._expires):
            under_way.clear()

    def fits(self, resolution_ns: int, base_ns: Mapping[str, float]) -> dict[str, Fit]:
        """Return the costs of `MEASURED` that were met often enough.

        Parameters
        ----------
        resolution_ns
            Of the time stamps.
        base_ns
            Means that are taken off where a trace does not tell them: `wake` and `timer_irq`.
        """
        found = {
            name: self._fit(name, resolution_ns)
            for name in ("timer_irq", "wake", "schedule", "softirq_entry", "irq_entry")
        }
        costs = {name: fit for name, fit in found.items() if fit is not None}
        for name, taken_off in (("preempt_fair", "wake"), ("tick", "timer_irq")):
            less_ns = costs[taken_off].mean_ns if taken_off in costs else base_ns[taken_off]
            fit = self._fit(name, resolution_ns, less_ns)
            if fit is not None:
                costs[name] = fit
        return costs

    def _fit(self, name: str, resolution_ns: int, less_ns: float = 0.0) -> Fit | None:
        values = self.steps.get(name, [])
        if len(values) < FEWEST:
            return None
        return fit_durations(np.array(values, np.int64) - round(less_ns), resolution_ns, as_measured=False)

    def _add(self, name: str, duration: int) -> None:
        if 0 <= duration <= SOON_NS:
            self.steps.setdefault(name, []).append(duration)

    # ---- events ----------------------------------------------------------------------------------------------

    def _started(self, _time: int, _cpu: int, *rest: int) -> None:
        if MISSING not in (rest[_NUMBER], rest[_VALUE]):
            self._expires[rest[_NUMBER]] = rest[_VALUE]

    def _timer_entry(self, time: int, cpu: int, *_: int) -> None:
        self._close(cpu)
        pid, prio = self._running.get(cpu, (MISSING, MISSING))
        self._open[cpu] = _Interrupt(time, pid == 0, pid > 0 and prio >= LOWEST_FAIR)

    def _expired(self, time: int, cpu: int, *rest: int) -> None:
        irq = self._open.get(cpu)
        if irq is None:
            return
        read, tick = rest[_VALUE], self._text(rest[_NAME]) in TICKS
        same_clock = read != MISSING and abs(time - read) <= SAME_CLOCK_NS
        irq.tick |= tick
        expiry = self._expires.pop(rest[_NUMBER], None)
        if irq.expired is None and expiry is not None and read != MISSING and not irq.idle:
            self._add("irq_entry", read - expiry)
        irq.expired = read if same_clock else time

    def _waking(self, time: int, cpu: int, *rest: int) -> None:
        irq = self._open.get(cpu)
        if irq is None:
            return
        irq.wakes += 1
        irq.waking, irq.woken = time, rest[_OTHER_PID]

    def _timer_exit(self, time: int, cpu: int, *_: int) -> None:
        irq = self._open.pop(cpu, None)
        if irq is None:
            return
        irq.end = irq.softirqs_end = time
        self._ended[cpu] = irq
        if irq.wakes == 1 and not irq.tick and irq.waking is not None and irq.expired is not None:
            self._add("timer_irq", irq.waking - irq.expired)
            if irq.idle or irq.fair:
                self._add("wake" if irq.idle else "preempt_fair", time - irq.waking)

    def _softirq_entry(self, time: int, cpu: int, *_: int) -> None:
        irq = self._ended.get(cpu)
        if irq is not None and not irq.entered_softirq:
            irq.entered_softirq = True
            self._add("softirq_entry", time - irq.end)

    def _softirq_exit(self, time: int, cpu: int, *_: int) -> None:
        irq = self._ended.get(cpu)
        if irq is not None and irq.entered_softirq:
            irq.softirqs_end = time

    def _switch(self, time: int, cpu: int, *rest: int) -> None:
        irq = self._ended.get(cpu)
        alone = irq is not None and irq.wakes == 1 and not irq.entered_softirq and not irq.tick
        if irq is not None and alone and irq.idle and irq.woken == rest[_OTHER_PID]:
            self._add("schedule", time - irq.end)
        self._close(cpu)
        self._running[cpu] = (rest[_OTHER_PID], rest[_OTHER_PRIO])

    def _handler_entry(self, _: int, cpu: int, *_rest: int) -> None:
        """End what followed the timer interrupt: softirqs and switches from here on are this handler's."""
        self._close(cpu)

    def _close(self, cpu: int) -> None:
        """Take the tick that ended last on a CPU, now that no softirq of its own can follow."""
        irq = self._ended.pop(cpu, None)
        if irq is not None and irq.tick and irq.wakes == 0:
            self._add("tick", irq.softirqs_end - irq.begin)

    def _text(self, code: int) -> str:
        return "" if code == MISSING else self._names[code]


_COLUMNS = ("time_ns", "cpu", "event", "other_pid", "other_prio", "number", "name", "value_ns")
_OTHER_PID, _OTHER_PRIO, _NUMBER, _NAME, _VALUE = range(1, 6)
"""Places behind time and CPU; 0 is the event itself."""

_HANDLERS: dict[str, Callable[..., Any]] = {
    "hrtimer_start": StepReader._started, "local_timer_entry": StepReader._timer_entry,
    "hrtimer_expire_entry": StepReader._expired, "sched_waking": StepReader._waking,
    "local_timer_exit": StepReader._timer_exit, "softirq_entry": StepReader._softirq_entry,
    "softirq_exit": StepReader._softirq_exit, "irq_handler_entry": StepReader._handler_entry,
    "sched_switch": StepReader._switch,
}  # fmt: skip
