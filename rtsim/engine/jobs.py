"""Jobs: work that others queue for a thread, which serves it in order: kernel threads, QEMU's emulator thread."""

from __future__ import annotations

from rtsim.engine import execution, mutex, observe
from rtsim.engine.constants import SLEEPING, TASK_RUNS
from rtsim.engine.jit import handler, inlined
from rtsim.engine.state import State
from rtsim.sched import core

__all__ = ["add_job", "take_job"]


@handler
def add_job(s: State, task: int, duration: int, locked: int, guest_cpu: int, interrupt: int) -> None:
    """Queue a job for `task`; when it sleeps, its sample begins now. A full ring drops the job and counts it.

    With a `guest_cpu`, its end interrupts that for `interrupt` ns, or for its timer if negative.
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
    job.interrupt = interrupt
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
