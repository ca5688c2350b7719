"""What a task does while it has the CPU: a program of a few operations, one row each.

OP_RUN computes for a drawn time or for ever, OP_TIMER sleeps to the next release, OP_JOB serves queued jobs one after
the other (kernel threads, the emulator), OP_GUEST is a vCPU, OP_JUMP closes the loop.
"""

from __future__ import annotations

from rtsim.engine import execution, observe, softirq, timers
from rtsim.engine.jit import handler
from rtsim.engine.random import cost
from rtsim.engine.state import (
    H_RESPONSE,
    NEVER,
    OP_GUEST,
    OP_JOB,
    OP_JUMP,
    OP_RUN,
    OP_SOFTIRQ,
    OP_TIMER,
    SLEEPING,
    TASK_RUNS,
    State,
)
from rtsim.kvm import lock, vcpu
from rtsim.sched import core

__all__ = ["add_job", "continue_task", "end_operation"]


@handler
def continue_task(s: State, cpu: int) -> bool:
    """Let the running task of `cpu` go on; return False if it blocked and the CPU has to reschedule."""
    task = s.cpus[cpu].curr
    t = s.tasks[task]
    while True:
        code = s.ops[t.pc].code
        if code == OP_JUMP:
            t.pc = s.ops[t.pc].value
        elif code == OP_RUN:
            table = s.ops[t.pc].value
            work = NEVER if table < 0 else cost(s, cpu, table)
            execution.begin_base(s, cpu, TASK_RUNS, work)
            return True
        elif code == OP_TIMER:
            t.pc += 1
            if _sleep_to_release(s, cpu, task):
                return False
        elif code == OP_JOB:
            return _take_job(s, cpu, task)
        elif code == OP_SOFTIRQ:
            return softirq.continue_thread(s, cpu)
        else:
            return vcpu.proceed(s, cpu)


@handler
def _sleep_to_release(s: State, cpu: int, task: int) -> bool:
    """Arm the timer for the next release and block; return False if a late release is served at once."""
    t = s.tasks[task]
    now = s.m[0].now
    if t.watch >= 0 and t.released == 1 and t.release >= s.m[0].observe_from:
        observe.count_value(s, t.watch, H_RESPONSE, now - t.release)
    t.released = 1
    t.release += t.period
    if t.release <= now:
        if t.catch_up == 1:
            observe.sample_behind_itself(s, task, t.release)
            return False
        missed = (now - t.release) // t.period + 1
        t.skipped += missed
        t.release += missed * t.period
    timers.start_timer(s, task, cpu, t.release)
    core.block_current(s, cpu, SLEEPING)
    return True


@handler
def _take_job(s: State, cpu: int, task: int) -> bool:
    t = s.tasks[task]
    if t.job_head == t.job_tail:
        core.block_current(s, cpu, SLEEPING)
        return False
    job = s.jobs[t.job_base + t.job_head % t.job_size]
    if job.locked == 1 and t.holds == 0 and not lock.lock_or_wait(s, cpu):
        return False
    t.release = job.arrival
    if t.job_sampled != t.job_head:
        t.job_sampled = t.job_head
        observe.sample_behind_itself(s, task, t.release)
    execution.begin_base(s, cpu, TASK_RUNS, job.duration)
    return True


@handler
def end_operation(s: State, cpu: int) -> None:
    """End the running task's operation: its time is up."""
    observe.account(s, cpu)
    t = s.tasks[s.cpus[cpu].curr]
    code = s.ops[t.pc].code
    if code == OP_GUEST:
        vcpu.end_stretch(s, cpu)
    elif code == OP_SOFTIRQ:
        softirq.end_thread_stretch(s, cpu)
    elif code == OP_JOB:
        if t.watch >= 0 and t.release >= s.m[0].observe_from:
            observe.count_value(s, t.watch, H_RESPONSE, s.m[0].now - t.release)
        t.job_head += 1
        if t.holds == 1:
            lock.unlock(s, cpu)
    else:
        t.pc += 1


@handler
def add_job(s: State, task: int, duration: int, locked: int) -> None:
    """Queue a job for `task`; when it sleeps, its sample begins now. A full ring drops the job and counts it."""
    t = s.tasks[task]
    if t.job_tail - t.job_head == t.job_size:
        s.m[0].lost_jobs += 1
        return
    job = s.jobs[t.job_base + t.job_tail % t.job_size]
    job.arrival = s.m[0].now
    job.duration = duration
    job.locked = locked
    t.job_tail += 1
    if t.state == SLEEPING and t.wake_pending == 0:
        t.job_sampled = t.job_tail - 1
        observe.open_watch(s, task, s.m[0].now, 0)
