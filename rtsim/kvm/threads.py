"""The threads of a guest's process beside its vCPUs: the emulator, iothreads, vhost; what the end of their work means.

Work comes from timers and from outside (profiles), or on demand: the guest tells of a request by writing to a doorbell,
which KVM turns into a wake-up of the thread (ioeventfd); the thread interrupts the guest when it is done (irqfd).
Without KVM the emulator thread fires the guest's timers: it kicks the vCPU in the middle of its work, under its lock.
VCPUs tell it of each timer that they arm, under the lock as well.
"""

from __future__ import annotations

from rtsim.engine import interrupts, jobs, mutex, observe, rtsl, samples
from rtsim.engine.constants import (
    BASE,
    EXIT_ARM,
    EXIT_DOORBELL,
    EXIT_TIMER,
    H_RESPONSE,
    HALTED,
    IN_GUEST,
    IRQ_NOISE,
    IRQ_TIMER,
    NONE,
    SLEEPING,
)
from rtsim.engine.jit import handler, inlined
from rtsim.engine.random import cost, draw, sample_table
from rtsim.engine.state import State
from rtsim.kvm import main_loop, vcpu
from rtsim.sched import core

__all__ = ["arm_timer", "end_job", "interrupt_guest", "ring_doorbell"]


@inlined
def end_job(s: State, cpu: int) -> None:
    """End the job of the thread on `cpu`, or the part of it up to the kick of a vCPU for its timer."""
    t = s.tasks[s.cpus[cpu].curr]
    if _kicks(s, cpu, t.job_base + t.job_head % t.job_size):
        return
    if t.watch >= 0 and t.release >= s.m[0].observe_from:
        samples.count_value(s, t.watch, H_RESPONSE, s.m[0].now - t.release)
    job = s.jobs[t.job_base + t.job_head % t.job_size]
    t.job_head += 1
    if t.lock >= 0 and s.locks[t.lock].owner == s.cpus[cpu].curr:
        mutex.unlock(s, cpu, t.lock)
    if job.guest_cpu >= 0:
        interrupt_guest(s, cpu, job.guest_cpu, job.interrupt)


@handler
def _kicks(s: State, cpu: int, row: int) -> bool:
    """Kick the vCPU that the job `row` is for, if its timer; return whether the job goes on after that."""
    job = s.jobs[row]
    if job.guest_cpu < 0 or job.interrupt >= 0:
        return False
    guest_cpu = job.guest_cpu
    job.guest_cpu = NONE
    job.duration = cost(s, cpu, s.kernels[s.cpus[guest_cpu].kernel].lock_release)
    interrupt_guest(s, cpu, guest_cpu, NONE)
    return job.duration > 0


@handler
def interrupt_guest(s: State, cpu: int, guest_cpu: int, duration: int) -> None:
    """Interrupt `guest_cpu` from code of a thread on `cpu`: for a device (`duration` ns), or if negative its timer."""
    g = s.cpus[guest_cpu]
    t = s.tasks[g.carrier]
    bits = IRQ_TIMER if duration < 0 else IRQ_NOISE
    if duration < 0:
        observe.account(s, t.cpu)
        t.timer_job = 0
    else:
        g.irq_noise += duration
    if t.mode == HALTED and t.state == SLEEPING and t.wake_pending == 0:
        g.irq_pending |= bits
        rtsl.begin_interruption(s, guest_cpu)
        observe.open_watch(s, g.carrier, s.m[0].now, 0)
        core.try_to_wake_up(s, g.carrier, cpu)
    elif duration < 0 and g.executing == 1:
        g.irq_pending |= bits
        vcpu.leave_guest(s, t.cpu, EXIT_TIMER)
    else:
        interrupts.deliver(s, guest_cpu, bits)


@handler
def ring_doorbell(s: State, source: int, duration: int) -> None:
    """Let the vCPU of `source`, if it executes guest code, ask a thread for `duration` ns of work."""
    src = s.sources[source]
    t = s.tasks[src.task]
    c = s.cpus[t.cpu]
    if t.mode != IN_GUEST or c.curr != src.task or c.level != BASE:
        return
    answer = sample_table(s, src.answer, draw(src.duration_key, src.duration_gamma, src.n + (1 << 40)))
    vcpu.leave_guest(s, t.cpu, EXIT_DOORBELL)
    jobs.add_job(s, src.server, duration, src.locked, t.guest_cpu, answer)
    core.try_to_wake_up(s, src.server, t.cpu)


@handler
def arm_timer(s: State, task: int, hold: int) -> None:
    """Let the vCPU `task`, which has armed the guest's next timer, tell the emulator, under the lock for `hold` ns."""
    t = s.tasks[task]
    c = s.cpus[t.cpu]
    if t.mode == IN_GUEST and c.curr == task and c.level == BASE:
        t.io_left = hold
        vcpu.leave_guest(s, t.cpu, EXIT_ARM)
        return
    emulator = main_loop.note_armed(s, t.guest_cpu)  # the vCPU has left the guest at the same time
    if emulator >= 0:
        interrupts.wake_from_irq(s, emulator)
