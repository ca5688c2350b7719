"""Jobs: work that others queue for a thread, which serves it in order: kernel threads, QEMU's emulator thread."""

from __future__ import annotations

from rtsim.engine import execution, mutex, observe, rtsl
from rtsim.engine.jit import handler, inlined
from rtsim.engine.state import (
    EXIT_TIMER,
    H_RESPONSE,
    HALTED,
    IRQ_TIMER,
    POLLING,
    SLEEPING,
    TASK_RUNS,
    State,
)
from rtsim.kvm import polling, vcpu
from rtsim.sched import core

__all__ = ["add_job", "end_job", "take_job"]


@handler
def add_job(s: State, task: int, duration: int, locked: int, guest_cpu: int) -> None:
    """Queue a job for `task`; when it sleeps, its sample begins now. A full ring drops the job and counts it.

    With a `guest_cpu`, the end of the job raises the timer interrupt there.
    """
    t = s.tasks[task]
    if t.job_tail - t.job_head == t.job_size:
        s.m[0].lost_jobs += 1
        return
    job = s.jobs[t.job_base + t.job_tail % t.job_size]
    job.arrival = s.m[0].now
    job.duration = duration
    job.locked = locked
    job.guest_cpu = guest_cpu
    t.job_tail += 1
    if t.state == SLEEPING and t.wake_pending == 0:
        t.job_sampled = t.job_tail - 1
        observe.open_watch(s, task, s.m[0].now, 0)


@inlined
def take_job(s: State, cpu: int) -> bool:
    """Let the thread on `cpu` begin its next job; return False if it blocks: it has none, or waits for its lock."""
    task = s.cpus[cpu].curr
    t = s.tasks[task]
    if t.job_head == t.job_tail:
        core.block_current(s, cpu, SLEEPING)
        return False
    job = s.jobs[t.job_base + t.job_head % t.job_size]
    if job.locked == 1 and s.locks[t.lock].owner != task and not mutex.lock_or_wait(s, cpu, t.lock):
        return False
    t.release = job.arrival
    if t.job_sampled != t.job_head:
        t.job_sampled = t.job_head
        t.overruns += 1
        observe.sample_behind_itself(s, task, t.release)
    execution.begin_base(s, cpu, TASK_RUNS, job.duration)
    return True


@inlined
def end_job(s: State, cpu: int) -> None:
    """End the job of the thread on `cpu`."""
    t = s.tasks[s.cpus[cpu].curr]
    if t.watch >= 0 and t.release >= s.m[0].observe_from:
        observe.count_value(s, t.watch, H_RESPONSE, s.m[0].now - t.release)
    guest_cpu = s.jobs[t.job_base + t.job_head % t.job_size].guest_cpu
    t.job_head += 1
    if t.lock >= 0 and s.locks[t.lock].owner == s.cpus[cpu].curr:
        mutex.unlock(s, cpu, t.lock)
    if guest_cpu >= 0:
        _raise_timer(s, cpu, guest_cpu)


@handler
def _raise_timer(s: State, cpu: int, guest_cpu: int) -> None:
    """Let the emulator on `cpu` interrupt `guest_cpu`, whose timer has expired, and kick its vCPU."""
    task = s.cpus[guest_cpu].carrier
    t = s.tasks[task]
    t.timer_job = 0
    s.cpus[guest_cpu].irq_pending |= IRQ_TIMER
    if s.cpus[guest_cpu].executing == 1:
        vcpu.leave_guest(s, t.cpu, EXIT_TIMER)
        return
    if t.mode == POLLING:
        rtsl.begin_interruption(s, guest_cpu)
        polling.end_poll(s, t.cpu)
    elif t.mode == HALTED and t.state == SLEEPING:
        rtsl.begin_interruption(s, guest_cpu)
        observe.open_watch(s, task, s.m[0].now, 0)
        core.try_to_wake_up(s, task, cpu)
