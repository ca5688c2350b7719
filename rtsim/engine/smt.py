"""Threads of one core slow each other down: a CPU works at `speed` while a task has another CPU of its core.

What is left of a stretch is kept as work, at full speed; the calendar holds when it ends at the present speed. Stalls
by the hardware are not work. A CPU that idles leaves its core to the others, however it idles. One that is clocked
lower than work is given for (`CPU.frequency`) is slower all the time.
"""

from __future__ import annotations

from rtsim.engine import calendar, observe
from rtsim.engine.constants import BASE, FULL_SPEED, HARDWARE, IDLE, NEVER
from rtsim.engine.jit import handler, inlined
from rtsim.engine.state import State

__all__ = ["set_busy", "time_for", "work_in"]


@inlined
def time_for(s: State, cpu: int, work: int) -> int:
    """Return how long `cpu` takes for `work` at its present speed (ns)."""
    c = s.cpus[cpu]
    if c.speed == FULL_SPEED or c.level == HARDWARE:
        return work
    return work * FULL_SPEED // c.speed


@inlined
def work_in(s: State, cpu: int, time: int) -> int:
    """Return the work that `cpu` does in `time` ns at its present speed."""
    c = s.cpus[cpu]
    if c.speed == FULL_SPEED or c.level == HARDWARE:
        return time
    return time * c.speed // FULL_SPEED


@handler
def set_busy(s: State, cpu: int, busy: int) -> None:
    """Note whether a task has `cpu`, and let the other CPUs of its core work as fast as that leaves them."""
    if s.cpus[cpu].busy == busy:
        return
    s.cpus[cpu].busy = busy
    other = s.cpus[cpu].sibling
    while other != cpu:
        _set_speed(s, other, _speed(s, other))
        other = s.cpus[other].sibling


@handler
def _speed(s: State, cpu: int) -> int:
    other = s.cpus[cpu].sibling
    while other != cpu:
        if s.cpus[other].busy == 1:
            return s.cpus[cpu].frequency * s.kernels[s.cpus[cpu].kernel].smt_speed // FULL_SPEED
        other = s.cpus[other].sibling
    return int(s.cpus[cpu].frequency)


@handler
def _set_speed(s: State, cpu: int, speed: int) -> None:
    """Let `cpu`, and the guest that it executes, go on at `speed`."""
    c = s.cpus[cpu]
    if c.speed == speed:
        return
    if c.level == BASE and c.bottom == IDLE:  # nothing is under way
        c.speed = speed
        return
    _change(s, cpu, speed)
    if c.curr >= 0:
        guest_cpu = s.tasks[c.curr].guest_cpu
        if guest_cpu >= 0 and s.cpus[guest_cpu].executing == 1:
            _change(s, guest_cpu, speed)


@handler
def _change(s: State, row: int, speed: int) -> None:
    observe.account(s, row)
    end = calendar.slot_time(s, row)
    left = NEVER if end == NEVER else work_in(s, row, end - s.m[0].now)
    s.cpus[row].speed = speed
    if left != NEVER:
        calendar.arm(s, row, s.m[0].now + time_for(s, row, left))
