"""What a task does while it has the CPU: a program of operations, one row each, with what `value` and `extra` are.

==============  ==============================================================================================
OP_RUN          computes for a draw from table `value` (-1: for ever), reading its CPU clock each `extra` ns
OP_RUNTIME      computes in chunks of 32 us until `value` ns of time have passed (rt-app's ``runtime``)
OP_START        arms a timer for the task's start
OP_SLEEP        arms a timer for `value` ns from now
OP_TIMER        arms a timer for the next expiry of timer `value`, `extra` ns after the last one
OP_BLOCK        sleeps until that timer goes off
OP_LOCK         takes mutex `value`, or waits for it
OP_UNLOCK       frees mutex `value`
OP_WAIT         frees mutex `extra` and waits for condition `value`; an OP_LOCK follows (pthread_cond_wait)
OP_SIGNAL       wakes the first waiter of condition `value`
OP_BROADCAST    wakes all of them
OP_BARRIER      the last of those who meet at `value` wakes the others and jumps past OP_LEAVE, they wait
OP_LEAVE        leaves barrier `value`
OP_SPIN_LOCK    takes spinlock `value`, or spins for it (`rtsim.kvm.spinlock`)
OP_SPIN_UNLOCK  frees spinlock `value`
OP_YIELD        sched_yield
OP_AFFINITY     sched_setaffinity to mask `value`, of `extra` CPUs
OP_LOOP         jumps to operation `value`, in all `extra` times through
OP_JUMP         jumps to operation `value`
OP_EXIT         ends the task
OP_JOB          serves queued jobs one after the other (kernel threads, the emulator)
OP_GUEST        is a vCPU
==============  ==============================================================================================

Operations that wake others take effect at the end of a stretch, where the CPU looks whether it has to reschedule.
"""

from __future__ import annotations

from rtsim.engine import execution, jobs, mutex, observe, rtsl, samples, smt, softirq, timers
from rtsim.engine.constants import (
    AFFINITY_WORDS,
    BLOCKED,
    H_RESPONSE,
    IRQ_WAKE,
    NEVER,
    OP_AFFINITY,
    OP_BARRIER,
    OP_BLOCK,
    OP_BROADCAST,
    OP_GUEST,
    OP_JOB,
    OP_JUMP,
    OP_LEAVE,
    OP_LOCK,
    OP_LOOP,
    OP_RUN,
    OP_RUNTIME,
    OP_SIGNAL,
    OP_SLEEP,
    OP_SOFTIRQ,
    OP_SPIN_LOCK,
    OP_SPIN_UNLOCK,
    OP_START,
    OP_TIMER,
    OP_UNLOCK,
    OP_WAIT,
    OP_YIELD,
    SLEEPING,
    TASK_RUNS,
)
from rtsim.engine.jit import handler, inlined
from rtsim.engine.random import cost
from rtsim.engine.state import State
from rtsim.kvm import spinlock, threads, vcpu
from rtsim.sched import core
from rtsim.sched.cpus import allowed_on

__all__ = ["continue_task", "end_operation", "look_at_clock", "sleep_to_start"]

RUNTIME_CHUNK = 32_000
"""ns of work between two looks at the clock in rt-app's ``runtime``."""


@inlined
def continue_task(s: State, cpu: int) -> bool:
    """Let the running task of `cpu` go on; return False if it blocked and the CPU has to reschedule."""
    task = s.cpus[cpu].curr
    t = s.tasks[task]
    while True:
        code = s.ops[t.pc].code
        if code in (OP_JUMP, OP_LOOP):
            _jump(s, task)
        elif code == OP_RUN:
            _compute(s, cpu, task)
            return True
        elif code in (OP_START, OP_SLEEP, OP_TIMER):
            if _arm(s, cpu, task):
                return True
        elif code == OP_BLOCK:
            if _sleep(s, cpu, task):
                return False
        elif code == OP_JOB:
            return jobs.take_job(s, cpu)
        elif code == OP_SOFTIRQ:
            return softirq.continue_thread(s, cpu)
        elif code == OP_GUEST:
            return vcpu.proceed(s, cpu)
        elif code == OP_RUNTIME:
            if t.ends_at == 0:
                t.ends_at = s.m[0].now + s.ops[t.pc].value
            execution.begin_base(s, cpu, TASK_RUNS, RUNTIME_CHUNK)
            return True
        elif code in (OP_UNLOCK, OP_SIGNAL, OP_BROADCAST, OP_YIELD):
            execution.begin_base(s, cpu, TASK_RUNS, 0)
            return True
        elif code == OP_SPIN_LOCK:
            if not spinlock.spin_lock(s, cpu):
                return True
        elif code == OP_SPIN_UNLOCK:
            spinlock.spin_unlock(s, cpu)
            return True
        elif not _synchronise(s, cpu, task):
            return False


@handler
def _jump(s: State, task: int) -> None:
    t = s.tasks[task]
    op = s.ops[t.pc]
    if op.code == OP_LOOP:
        op.done += 1
        if op.done == op.extra:
            op.done = 0
            t.pc += 1
            return
    t.pc = op.value


@handler
def _compute(s: State, cpu: int, task: int) -> None:
    """Begin OP_RUN, or go on with it where the task reads its own CPU clock."""
    op = s.ops[s.tasks[task].pc]
    if op.extra > 0 and op.value >= 0:
        _compute_to_reading(s, cpu, task)
    else:
        execution.begin_base(s, cpu, TASK_RUNS, NEVER if op.value < 0 else cost(s, cpu, op.value))


@handler
def look_at_clock(s: State, cpu: int) -> None:
    """Let the running task, back from an interruption, go on up to the next reading of its CPU clock.

    One that spins for a lock looks at that instead.
    """
    task = s.cpus[cpu].curr
    if s.ops[s.tasks[task].pc].code == OP_SPIN_LOCK:
        spinlock.look_again(s, cpu)
    else:
        _compute_to_reading(s, cpu, task)


@handler
def _compute_to_reading(s: State, cpu: int, task: int) -> None:
    """Run up to the end of the work, or to the first reading of the CPU clock that comes after the end of the slice.

    The work is over when the CPU clock has moved by it: what else the task is charged for counts, such as interrupts.
    Reading the clock updates the scheduler's accounts (``task_sched_runtime``), so it sees the end of the slice there.
    """
    t = s.tasks[task]
    op = s.ops[t.pc]
    charged = core.cpu_clock(s, cpu)
    if t.work_until == 0:
        t.work_until = charged + cost(s, cpu, op.value)
    work = max(t.work_until - charged, 0)
    slice_end = core.slice_end_in(s, cpu)
    if slice_end < work:
        work = min(work, max((slice_end + op.extra - 1) // op.extra, 1) * op.extra)
    # the clock counts time, however fast the CPU works; rounding must not leave nothing to do
    execution.begin_base(s, cpu, TASK_RUNS, max(smt.work_in(s, cpu, work), min(work, 1)))


# ---- sleeping ---------------------------------------------------------------------------------------------------


@handler
def _arm(s: State, cpu: int, task: int) -> bool:
    """Set when the task is to wake and begin to program the timer; return False if that takes no time."""
    t = s.tasks[task]
    op = s.ops[t.pc]
    _complete(s, task)
    if op.code == OP_TIMER and not _next_expiry(s, task):
        t.pc += 2
        return False
    if op.code == OP_START:
        t.timer_soft = t.first
    elif op.code == OP_SLEEP:
        t.timer_soft = s.m[0].now + op.value
    work = cost(s, cpu, s.kernels[s.cpus[cpu].kernel].hrtimer_program)
    if work == 0:
        t.pc += 1
        return False
    rtsl.note_section(s, cpu, work)
    execution.begin_base(s, cpu, TASK_RUNS, work)
    return True


@handler
def _next_expiry(s: State, task: int) -> bool:
    """Move the timer on by its period; return False if that is past already and the activation is served at once."""
    t = s.tasks[task]
    period = s.ops[t.pc].extra
    timer = s.timers[s.ops[t.pc].value]
    now = s.m[0].now
    if timer.begun == 0:
        timer.begun = 1
        timer.expires = t.first
    timer.expires += period
    if timer.expires <= now and timer.relative == 0 and t.catch_up == 0:
        missed = (now - timer.expires) // period + 1
        t.skipped += missed
        timer.expires += missed * period
    t.timer_soft = timer.expires
    if timer.expires > now:
        return True
    t.overruns += 1
    observe.sample_behind_itself(s, task, timer.expires)
    t.release = timer.expires
    t.released = 1
    if timer.relative == 1:
        timer.expires = now
    return False


@handler
def _sleep(s: State, cpu: int, task: int) -> bool:
    """Block until the timer; return False if it has gone off while it was programmed."""
    t = s.tasks[task]
    t.pc += 1
    t.release = t.timer_soft
    t.released = 1
    if t.timer_soft + t.slack <= s.m[0].now:
        observe.sample_behind_itself(s, task, t.release)
        return False
    timers.start_timer(s, task, cpu, t.timer_soft, timers.sleep_base(s, task))
    core.block_current(s, cpu, SLEEPING)
    return True


@handler
def sleep_to_start(s: State, task: int) -> None:
    """Let a task that starts later sleep from the beginning, without having run before.

    Whoever starts it is not modelled: an interrupt wakes it, whatever else its timers wait for.
    """
    t = s.tasks[task]
    t.pc += 2
    t.state = SLEEPING
    t.release = t.first
    t.released = 1
    timers.start_timer(s, task, t.cpu, t.first, timers.HARD_BASE)


@handler
def _complete(s: State, task: int) -> None:
    """End the task's activation: it has done its work and is about to wait for the next."""
    t = s.tasks[task]
    if t.watch >= 0 and t.released == 1 and t.release >= s.m[0].observe_from:
        samples.count_value(s, t.watch, H_RESPONSE, s.m[0].now - t.release)
    t.released = 0


# ---- mutexes, conditions, affinity ------------------------------------------------------------------------------


@handler
def _synchronise(s: State, cpu: int, task: int) -> bool:
    """Do an operation that may block; return False if it does."""
    t = s.tasks[task]
    op = s.ops[t.pc]
    if op.code == OP_LOCK:
        if not mutex.lock_or_wait(s, cpu, op.value):
            return False
        t.pc += 1
    elif op.code == OP_WAIT:
        _wait(s, cpu, task)
        return False
    elif op.code == OP_BARRIER:
        if s.locks[op.value].missing > 0:
            s.locks[op.value].missing -= 1
            _wait(s, cpu, task)
            return False
        _broadcast(s, cpu, op.value)
        t.pc += 3
    elif op.code == OP_LEAVE:
        s.locks[op.value].missing += 1
        t.pc += 1
    elif op.code == OP_AFFINITY:
        return _set_affinity(s, cpu, task)
    else:
        _complete(s, task)
        core.block_current(s, cpu, BLOCKED)
        return False
    return True


@handler
def _wait(s: State, cpu: int, task: int) -> None:
    """Free the mutex and block on the condition (pthread_cond_wait up to its wake-up)."""
    t = s.tasks[task]
    op = s.ops[t.pc]
    t.pc += 1
    _complete(s, task)
    mutex.add_waiter(s, op.value, task)
    mutex.unlock(s, cpu, op.extra)
    core.block_current(s, cpu, BLOCKED)


@handler
def _signal(s: State, cpu: int, condition: int) -> bool:
    """Wake the first waiter of a condition: it is released now. Return False if nobody waits."""
    waiter = mutex.next_waiter(s, condition)
    if waiter < 0:
        return False
    s.tasks[waiter].release = s.m[0].now
    s.tasks[waiter].released = 1
    observe.open_watch(s, waiter, s.m[0].now, 0)
    core.try_to_wake_up(s, waiter, cpu)
    return True


@handler
def _broadcast(s: State, cpu: int, condition: int) -> None:
    while _signal(s, cpu, condition):
        pass


@handler
def _set_affinity(s: State, cpu: int, task: int) -> bool:
    """Set the mask; return False if the task has to leave this CPU: an interrupt then wakes it on another.

    The kernel has its migration thread do that, which takes about as long.
    """
    t = s.tasks[task]
    op = s.ops[t.pc]
    t.pc += 1
    t.nr_allowed = op.extra
    for word in range(AFFINITY_WORDS):
        t.allowed[word] = s.masks[op.value, word]
    if allowed_on(s, task, cpu):
        return True
    t.wake_pending = 1
    t.wake_next = s.cpus[cpu].wake_head
    s.cpus[cpu].wake_head = task
    s.cpus[cpu].irq_pending |= IRQ_WAKE
    core.block_current(s, cpu, BLOCKED)
    return False


# ---- the end of an operation --------------------------------------------------------------------------------------


@inlined
def end_operation(s: State, cpu: int) -> None:
    """End the running task's operation: its time is up."""
    observe.account(s, cpu)
    t = s.tasks[s.cpus[cpu].curr]
    op = s.ops[t.pc]
    if op.code == OP_GUEST:
        vcpu.end_stretch(s, cpu)
    elif op.code == OP_SOFTIRQ:
        softirq.end_thread_stretch(s, cpu)
    elif op.code == OP_JOB:
        threads.end_job(s, cpu)
    elif op.code == OP_RUN and t.work_until > 0 and t.work_until > core.cpu_clock(s, cpu):
        core.account_curr(s, cpu)
    elif (op.code == OP_RUNTIME and s.m[0].now < t.ends_at) or op.code == OP_SPIN_LOCK:
        return
    else:
        t.ends_at = 0
        t.work_until = 0
        t.pc += 1
        if op.code == OP_UNLOCK:
            mutex.unlock(s, cpu, op.value)
        elif op.code == OP_SIGNAL:
            _signal(s, cpu, op.value)
        elif op.code == OP_BROADCAST:
            _broadcast(s, cpu, op.value)
        elif op.code == OP_YIELD:
            core.yield_current(s, cpu)
