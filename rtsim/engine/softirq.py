"""Softirqs: raised by interrupts, run in rounds when the outermost one ends, or by a thread of the CPU.

A round runs the vectors raised when it begins, in their order, one stretch each (``handle_softirqs``). After it, what
was raised meanwhile is another round, ten at most, while less than 2 ms of jiffies have passed and nothing asks to
reschedule; the rest is ksoftirqd's. Under PREEMPT_RT, or with ``threadirqs``, nothing is run at the end of an
interrupt: ktimers has the timers' vectors where the release has that thread, ksoftirqd the others.
"""

from __future__ import annotations

from rtsim.engine import execution, observe, rtsl, timers, trace
from rtsim.engine.constants import (
    NONE,
    PREEMPT_RT,
    RUNNABLE,
    SLEEPING,
    SOFTIRQ,
    TASK_RUNS,
    TR_SOFTIRQ,
    TR_TIMER,
    VEC_HI,
    VEC_HRTIMER,
    VEC_SCHED,
    VEC_TASKLET,
)
from rtsim.engine.jit import handler, inlined
from rtsim.engine.random import cost
from rtsim.engine.state import State
from rtsim.sched import core

__all__ = ["begin_inline", "continue_thread", "end_thread_stretch", "next_inline", "raise_softirq", "thread_to_wake"]

MAX_RESTART = 10
MAX_TIME_NS = 2_000_000
NOW_MASK = 1 << VEC_HI | 1 << VEC_TASKLET
"""Vectors that run at once even while ksoftirqd waits for the CPU."""


@handler
def raise_softirq(s: State, cpu: int, vector: int, duration: int) -> None:
    """Raise `vector` on `cpu`, with `duration` ns of work."""
    c = s.cpus[cpu]
    c.softirq_pending |= 1 << vector
    c.softirq_work[vector] += duration + cost(s, cpu, s.kernels[c.kernel].softirq_entry)


@inlined
def thread_to_wake(s: State, cpu: int) -> int:
    """Return the thread of `cpu` that the end of the interrupt has to wake for softirqs, -1 if none."""
    c = s.cpus[cpu]
    if c.softirq_pending == 0 or s.kernels[c.kernel].force_irqthreads == 0:
        return NONE
    if c.ktimers >= 0 and _asleep_with_work(s, cpu, c.ktimers):
        return c.ktimers
    if c.ksoftirqd >= 0 and _asleep_with_work(s, cpu, c.ksoftirqd):
        return c.ksoftirqd
    return NONE


@handler
def _asleep_with_work(s: State, cpu: int, thread: int) -> bool:
    t = s.tasks[thread]
    return t.state == SLEEPING and s.cpus[cpu].softirq_pending & t.softirq_vectors != 0


@inlined
def begin_inline(s: State, cpu: int) -> None:
    """Let softirqs that are pending at the end of the outermost interrupt run now, if this is the place."""
    c = s.cpus[cpu]
    if c.softirq_pending == 0 or c.softirq_round != 0 or not _runs_inline(s, cpu):
        return
    c.softirq_until = _jiffies_limit(s, cpu)
    c.softirq_rounds = 0
    c.left[SOFTIRQ] = next_inline(s, cpu)


@handler
def _runs_inline(s: State, cpu: int) -> bool:
    c = s.cpus[cpu]
    k = s.kernels[c.kernel]
    if c.ksoftirqd < 0:
        return True
    if k.force_irqthreads == 1:
        return False
    if s.tasks[c.ksoftirqd].softirq_round != 0:  # it is in the middle of a round, with softirqs disabled
        return False
    waits = s.tasks[c.ksoftirqd].state == RUNNABLE
    return not (k.softirq_defers == 1 and waits and c.softirq_pending & NOW_MASK == 0)


@handler
def _jiffies_limit(s: State, cpu: int) -> int:
    """Return the jiffies (ticks since the start) before which another round may begin."""
    tick = s.kernels[s.cpus[cpu].kernel].tick_ns
    return s.m[0].now // tick + -(-MAX_TIME_NS // tick)


@handler
def _another_round(s: State, cpu: int, rounds: int, until: int) -> bool:
    c = s.cpus[cpu]
    if rounds == 0 or c.ksoftirqd < 0:
        return True
    return rounds < MAX_RESTART and s.m[0].now // s.kernels[c.kernel].tick_ns < until and c.need_resched != 1


@handler
def next_inline(s: State, cpu: int) -> int:
    """Return the work of the next vector (ns), -1 when softirqs are over; the rest, if any, is ksoftirqd's then."""
    c = s.cpus[cpu]
    if c.softirq_round != 0 and lowest_bit(c.softirq_round) == VEC_HRTIMER and _expire_soft_timer(s, cpu):
        return _take_work(s, cpu, c.softirq_round)
    c.softirq_round &= c.softirq_round - 1  # the lowest one has run
    if c.softirq_round == 0:
        if c.softirq_pending == 0:
            return NONE
        if not _another_round(s, cpu, c.softirq_rounds, c.softirq_until):
            core.try_to_wake_up(s, c.ksoftirqd, cpu)
            return NONE
        c.softirq_rounds += 1
        c.softirq_round = c.softirq_pending
        c.softirq_pending = 0
    return _take_work(s, cpu, c.softirq_round)


@handler
def _take_work(s: State, cpu: int, vectors: int) -> int:
    """Return the work of the lowest of `vectors`, whose handler starts now (ns)."""
    c = s.cpus[cpu]
    vector = lowest_bit(vectors)
    work = c.softirq_work[vector]
    c.softirq_work[vector] = 0
    if vector == VEC_SCHED and s.kernels[c.kernel].force_irqthreads == 1:  # otherwise the tick has balanced
        core.rebalance(s, cpu)
    trace.record(s, TR_SOFTIRQ, cpu, vector, work)
    return work


@handler
def lowest_bit(bits: int) -> int:
    """Return the number of the lowest bit set; `bits` is not 0."""
    number = 0
    while bits >> number & 1 == 0:
        number += 1
    return number


@handler
def continue_thread(s: State, cpu: int) -> bool:
    """Let ksoftirqd or ktimers, which runs on `cpu`, go on; return False if it has nothing to do and sleeps."""
    c = s.cpus[cpu]
    t = s.tasks[c.curr]
    if t.softirq_round == 0:
        pending = c.softirq_pending & t.softirq_vectors
        if pending == 0:
            leaving = cost(s, cpu, s.kernels[c.kernel].softirq_exit) if t.softirq_rounds > 0 else 0
            t.softirq_rounds = 0
            if leaving > 0:
                execution.begin_base(s, cpu, TASK_RUNS, leaving)
                return True
            core.block_current(s, cpu, SLEEPING)
            return False
        t.softirq_until = _jiffies_limit(s, cpu)
        t.softirq_rounds = 1
        _begin_round(s, cpu, c.curr)
    work = _take_work(s, cpu, t.softirq_round)
    c.softirq_section += work
    if s.kernels[c.kernel].preempt != PREEMPT_RT:  # softirqs are not preempted
        rtsl.note_section(s, cpu, c.softirq_section)
    execution.begin_base(s, cpu, TASK_RUNS, work)
    return True


@handler
def _begin_round(s: State, cpu: int, thread: int) -> None:
    c = s.cpus[cpu]
    vectors = s.tasks[thread].softirq_vectors
    s.tasks[thread].softirq_round = c.softirq_pending & vectors
    c.softirq_section = 0
    c.softirq_pending &= ~vectors


@handler
def end_thread_stretch(s: State, cpu: int) -> None:
    """End a vector's stretch in the thread on `cpu`; between two batches of rounds it can be preempted."""
    c = s.cpus[cpu]
    t = s.tasks[c.curr]
    if t.softirq_round == 0:  # it was on its way to sleep
        return
    if lowest_bit(t.softirq_round) == VEC_HRTIMER and _expire_soft_timer(s, cpu):
        return
    t.softirq_round &= t.softirq_round - 1
    pending = c.softirq_pending & t.softirq_vectors
    if t.softirq_round == 0 and pending != 0 and _another_round(s, cpu, t.softirq_rounds, t.softirq_until):
        t.softirq_rounds += 1
        _begin_round(s, cpu, c.curr)


@handler
def _expire_soft_timer(s: State, cpu: int) -> bool:
    """Wake the sleeper of the first soft timer that has expired; return False, and reprogram, when none is left."""
    task = timers.pop_soft(s, cpu)
    if task < 0:
        timers.end_soft(s, cpu)
        return False
    soft = s.tasks[task].timer_soft
    trace.record(s, TR_TIMER, cpu, task, soft)
    observe.open_watch(s, task, soft, s.m[0].now - soft)
    if s.tasks[task].cpu != cpu:
        observe.follow(s, task)
    s.cpus[cpu].softirq_work[VEC_HRTIMER] += core.wake_up(s, task, cpu)
    return True
