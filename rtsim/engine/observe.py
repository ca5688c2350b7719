"""Accounting: every nanosecond of a CPU goes to one bucket, and to the cause of every sample that waits for that CPU.

A *watch* follows one task's sample from release to user space. At any time at most one CPU charges it: the guest CPU
while that executes, otherwise the host CPU its vCPU is on; or none, while the vCPU waits for the emulator's lock (then
the wait is charged when it ends). Stretches never overlap and leave no gap, so the causes sum to the latency exactly.
"""

from __future__ import annotations

from rtsim.engine import causes, samples, trace
from rtsim.engine.constants import (
    BASE,
    C_EMULATOR,
    C_SMT,
    C_TIMER_SLACK,
    CAUSES,
    H_LATENCY,
    HARDWARE,
    IDLE,
    IDLE_EXIT,
    SCHEDULE,
    SOFTIRQ,
    TASK_RUNS,
    TR_SAMPLE,
    WORST_SAMPLES,
)
from rtsim.engine.jit import handler, inlined
from rtsim.engine.state import State

__all__ = [
    "account",
    "attach",
    "charge_slowness",
    "charge_stretch",
    "close_watch",
    "detach",
    "drop_watch",
    "follow",
    "hand_over",
    "open_watch",
    "sample_behind_itself",
]


@inlined
def account(s: State, cpu: int) -> None:
    """Charge the stretch since the last call to what `cpu` has been executing; call before that changes."""
    if s.cpus[cpu].since != s.m[0].now:
        charge_stretch(s, cpu)


@handler
def charge_stretch(s: State, cpu: int) -> None:
    """Do what `account` is for, for a stretch that is not empty."""
    c = s.cpus[cpu]
    now = s.m[0].now
    stretch = now - c.since
    c.since = now
    if c.executing == 0:
        return
    level = c.level
    polls = False
    if level == BASE:
        runs = c.prev if c.bottom == SCHEDULE else c.curr
        if runs >= 0 and c.bottom != IDLE and c.bottom != IDLE_EXIT:
            c.task_ns += stretch
            s.tasks[runs].cpu_ns += stretch
            if c.speed != c.frequency:
                s.tasks[runs].smt_ns += stretch - stretch * c.speed // c.frequency
            polls = s.tasks[runs].polls == 1 and c.bottom == TASK_RUNS
        else:
            c.idle_ns += stretch
    elif level == SOFTIRQ:
        c.softirq_ns += stretch
    elif level == HARDWARE:
        c.hardware_ns += stretch
    else:
        c.irq_ns += stretch
    if polls:
        _end_gap(s, c.curr, now - stretch)
    if c.watch_head >= 0:
        _charge_watches(s, cpu, stretch)
    if polls:
        _begin_gap(s, cpu, c.curr)


@handler
def _end_gap(s: State, task: int, end: int) -> None:
    """End, at time `end`, the gap between two clock readings of a task that reads the clock all the time."""
    watch = s.tasks[task].watch
    if watch < 0 or s.watches[watch].open == 0:
        return
    _unlink(s, watch)
    if end > s.watches[watch].release:
        _close(s, task, end)
    else:
        s.watches[watch].open = 0


@handler
def _begin_gap(s: State, cpu: int, task: int) -> None:
    """Begin the next gap, with the clock reading made now; it is none if the next reading follows at once."""
    watch = s.tasks[task].watch
    if watch >= 0:
        s.watches[watch].open = 1
        s.watches[watch].release = s.m[0].now
        _link(s, watch, cpu)


@handler
def _charge_watches(s: State, cpu: int, stretch: int) -> None:
    """Charge every sample on `cpu` its part of `stretch`: one may begin in it, or later."""
    watch = s.cpus[cpu].watch_head
    while watch >= 0:
        part = min(stretch, s.m[0].now - s.watches[watch].since)
        if part > 0:
            if s.cpus[cpu].speed != s.cpus[cpu].frequency:
                part -= charge_slowness(s, cpu, watch, part)
            _charge(s, watch, causes.holding_up(s, cpu, watch), part)
        watch = s.watches[watch].next


@handler
def charge_slowness(s: State, cpu: int, watch: int, stretch: int) -> int:
    """Charge and return how much less `cpu` would have needed in `stretch` ns with its core to itself (ns)."""
    c = s.cpus[cpu]
    if c.level == HARDWARE or (c.level == BASE and c.bottom in (IDLE, IDLE_EXIT)):
        return 0
    lost = stretch - stretch * c.speed // c.frequency
    _charge(s, watch, C_SMT, lost)
    return lost


@handler
def _charge(s: State, watch: int, cause: int, stretch: int) -> None:
    if stretch == 0:
        return
    if s.causes[watch, cause] == 0:
        w = s.watches[watch]
        s.touched[watch, w.touched] = cause
        w.touched += 1
    s.causes[watch, cause] += stretch


@handler
def attach(s: State, watch: int, cpu: int) -> None:
    """Let `cpu` charge `watch` from now on; its unaccounted stretch is accounted first."""
    account(s, cpu)
    _link(s, watch, cpu)


@handler
def _link(s: State, watch: int, cpu: int) -> None:
    head = s.cpus[cpu].watch_head
    w = s.watches[watch]
    w.cpu = cpu
    w.prev = -1
    w.next = head
    if head >= 0:
        s.watches[head].prev = watch
    s.cpus[cpu].watch_head = watch


@handler
def detach(s: State, watch: int) -> None:
    """Charge `watch` what its CPU owes it and let no CPU charge it."""
    w = s.watches[watch]
    if w.cpu >= 0:
        account(s, w.cpu)
        _unlink(s, watch)


@handler
def _unlink(s: State, watch: int) -> None:
    w = s.watches[watch]
    if w.prev >= 0:
        s.watches[w.prev].next = w.next
    else:
        s.cpus[w.cpu].watch_head = w.next
    if w.next >= 0:
        s.watches[w.next].prev = w.prev
    w.cpu = -1
    w.since = max(w.since, s.m[0].now)


@handler
def hand_over(s: State, guest_cpu: int, source: int, target: int) -> None:
    """Move the samples of tasks on `guest_cpu` from the CPU that charged them to the one that does from now on.

    A negative `source` means they waited for the emulator's lock, a negative `target` that they begin to.
    """
    if source >= 0:
        watch = s.cpus[source].watch_head
        while watch >= 0:
            following = s.watches[watch].next
            if causes.place(s, s.watches[watch].task) == guest_cpu:
                detach(s, watch)
                if target >= 0:
                    attach(s, watch, target)
            watch = following
        return
    for watch in range(len(s.watches)):
        w = s.watches[watch]
        if w.open == 1 and w.cpu < 0 and causes.place(s, w.task) == guest_cpu:
            _release(s, watch)
            if target >= 0:
                attach(s, watch, target)


@handler
def _release(s: State, watch: int) -> None:
    """Settle what `watch` has waited so far, for its CPU or for the emulator's lock."""
    w = s.watches[watch]
    if w.cpu >= 0:
        detach(s, watch)
    else:
        _charge(s, watch, C_EMULATOR, max(s.m[0].now - w.since, 0))
        w.since = max(w.since, s.m[0].now)


@handler
def follow(s: State, task: int) -> None:
    """Let the sample of `task`, which waits for another CPU from now on, be charged there."""
    watch = s.tasks[task].watch
    if watch < 0 or s.watches[watch].open == 0:
        return
    _release(s, watch)
    cpu = _charging_cpu(s, causes.place(s, task))
    if cpu >= 0:
        attach(s, watch, cpu)


@handler
def open_watch(s: State, task: int, release: int, slack: int) -> None:
    """Begin a sample of `task`: released at `release`, of the wait the first `slack` ns are the timer's.

    A sample may be opened before it begins; it is opened anew if its task is woken before.
    """
    watch = s.tasks[task].watch
    if watch < 0:
        return
    w = s.watches[watch]
    if w.open == 1:
        if w.since <= s.m[0].now:
            return
        drop_watch(s, watch)
    w.open = 1
    w.release = release
    w.since = release + slack
    offset = CAUSES if s.cpus[s.tasks[task].cpu].carrier >= 0 else 0
    _charge(s, watch, C_TIMER_SLACK + offset, slack)
    cpu = _charging_cpu(s, causes.place(s, task))
    if cpu >= 0:
        attach(s, watch, cpu)


@handler
def drop_watch(s: State, watch: int) -> None:
    """Take back the sample of `watch`, which has not begun."""
    detach(s, watch)
    s.watches[watch].open = 0
    _clear(s, watch)


@handler
def sample_behind_itself(s: State, task: int, release: int) -> None:
    """Take the sample of an activation that came while `task` was still busy with its previous one.

    The whole wait is charged to the task itself, whoever else held up the previous activation.
    """
    watch = s.tasks[task].watch
    if watch < 0:
        return
    open_watch(s, task, release, 0)
    _charge(s, watch, 2 * CAUSES + task, s.m[0].now - release)
    close_watch(s, task)


@handler
def _charging_cpu(s: State, cpu: int) -> int:
    """Return the CPU that executes on behalf of `cpu` at present, -1 if its vCPU waits for the emulator's lock."""
    c = s.cpus[cpu]
    if c.carrier < 0 or c.executing == 1:
        return cpu
    vcpu = s.tasks[c.carrier]
    if vcpu.waits_for_lock == 1:
        return -1
    return vcpu.cpu


@handler
def close_watch(s: State, task: int) -> None:
    """End the sample of `task`, if one is under way: it runs in user space now."""
    watch = s.tasks[task].watch
    if watch >= 0 and s.watches[watch].open == 1:
        detach(s, watch)
        _close(s, task, s.m[0].now)


@handler
def _close(s: State, task: int, end: int) -> None:
    """End the sample of `task` at time `end`, up to which it has been charged and no longer is."""
    watch = s.tasks[task].watch
    w = s.watches[watch]
    w.open = 0
    latency = end - w.release
    counted = w.release >= s.m[0].observe_from
    charged = 0
    for i in range(w.touched):
        cause = s.touched[watch, i]
        charged += s.causes[watch, cause]
        if counted:
            s.cause_totals[watch, cause] += s.causes[watch, cause]
    if charged != latency:
        s.m[0].broken_causes += 1
    if counted:
        samples.count_value(s, watch, H_LATENCY, latency)
        if w.worst_count < WORST_SAMPLES or latency > w.worst_least:
            samples.keep_worst(s, watch, latency)
    _clear(s, watch)
    trace.record(s, TR_SAMPLE, s.tasks[task].cpu, task, latency)


@handler
def _clear(s: State, watch: int) -> None:
    w = s.watches[watch]
    for i in range(w.touched):
        s.causes[watch, s.touched[watch, i]] = 0
    w.touched = 0
