"""Noise sources: what takes CPU time away, in the words of the kernel's osnoise tracer.

Arrivals are drawn from the source's own stream, or were recorded: they never depend on what the model does with them.
"""

from __future__ import annotations

from rtsim.engine import calendar, execution, interrupts, softirq, trace
from rtsim.engine.constants import (
    BASE,
    BURSTS,
    EXIT_EPT,
    EXIT_EXTERNAL,
    EXIT_IO,
    HARDWARE,
    IN_GUEST,
    IRQ_NOISE,
    IRQ_WAKE,
    NEVER,
    NMI,
    NOISE_ARM,
    NOISE_DOORBELL,
    NOISE_EXIT,
    NOISE_FAULT,
    NOISE_HARDWARE,
    NOISE_IRQ,
    NOISE_NMI,
    NOISE_SOFTIRQ,
    NOISE_TICK,
    NONE,
    ON_DEMAND,
    PERIODIC,
    RECORDED,
    TR_HARDWARE,
    TR_NMI,
    TR_NOISE,
)
from rtsim.engine.jit import handler, inlined
from rtsim.engine.jobs import add_job
from rtsim.engine.random import cost, draw, sample_table
from rtsim.engine.state import State
from rtsim.kvm import memory, threads, vcpu
from rtsim.sched import core

__all__ = ["next_arrival", "strike"]


@handler
def next_arrival(s: State, source: int) -> int:
    """Draw the time of the next arrival (ns)."""
    src = s.sources[source]
    src.n += 1
    if src.arrival == PERIODIC:
        src.last = src.phase + (src.n - 1) * src.period
        if src.interval < 0:
            return src.last
        return src.last + sample_table(s, src.interval, draw(src.arrival_key, src.arrival_gamma, src.n))
    if src.arrival == ON_DEMAND:
        return NEVER
    if src.arrival == RECORDED:
        return _next_recorded(s, source)
    if src.arrival == BURSTS and src.burst_left > 0:
        src.burst_left -= 1
        return src.last + (src.burst_size - 1 - src.burst_left) * src.burst_spacing
    src.last += sample_table(s, src.interval, draw(src.arrival_key, src.arrival_gamma, src.n))
    src.burst_left = src.burst_size - 1 if src.arrival == BURSTS else 0
    return src.last


@handler
def _next_recorded(s: State, source: int) -> int:
    """Return when `source` struck in the recording, NEVER after its last row unless it begins again."""
    src = s.sources[source]
    if src.n > src.rows and src.period == 0:
        return NEVER
    return s.arrivals[_row(s, source)].time + (src.n - 1) // src.rows * src.period


@handler
def _row(s: State, source: int) -> int:
    src = s.sources[source]
    return src.first_row + (src.n - 1) % src.rows


@handler
def _duration(s: State, source: int) -> int:
    """Return how long the present arrival of `source` takes (ns)."""
    src = s.sources[source]
    if src.arrival == RECORDED:
        return s.arrivals[_row(s, source)].duration
    return sample_table(s, src.duration, draw(src.duration_key, src.duration_gamma, src.n))


@inlined
def strike(s: State, source: int) -> None:
    """Let `source` strike now and arm its next arrival."""
    src = s.sources[source]
    duration = _duration(s, source)
    calendar.arm(s, calendar.source_slot(s, source), max(next_arrival(s, source), s.m[0].now))
    trace.record(s, TR_NOISE, src.cpu if src.task < 0 else s.tasks[src.task].cpu, source, duration)
    kind = src.kind
    if kind == NOISE_HARDWARE:
        if src.cpu >= 0:
            _stall(s, src.cpu, HARDWARE, source, duration)
        else:
            for cpu in range(s.m[0].n_host_cpus):
                _stall(s, cpu, HARDWARE, source, duration)
    elif kind == NOISE_NMI:
        _stall(s, src.cpu, NMI, source, duration)
    elif kind == NOISE_IRQ:
        _interrupt(s, src.cpu, src.task, duration)
    elif kind == NOISE_SOFTIRQ:
        softirq.raise_softirq(s, src.cpu, src.vector, duration)
        interrupts.deliver(s, src.cpu, IRQ_NOISE)
    elif kind == NOISE_EXIT:
        _exit_to_qemu(s, src.task, duration)
    elif kind == NOISE_DOORBELL:
        threads.ring_doorbell(s, source, duration)
    elif kind == NOISE_ARM:
        threads.arm_timer(s, src.task, duration)
    elif kind == NOISE_TICK:
        add_job(s, src.task, duration, 0, NONE, 0)
        interrupts.wake_from_irq(s, src.task)
        core.remote_tick(s, src.cpu, s.tasks[src.task].cpu)
    elif kind == NOISE_FAULT:
        _miss_page(s, source, duration)
    else:
        add_job(s, src.task, duration, src.locked, NONE, 0)
        interrupts.wake_from_irq(s, src.task)


@handler
def _interrupt(s: State, cpu: int, thread: int, duration: int) -> None:
    """Interrupt `cpu` for `duration` ns; with a `thread`, what exceeds the hard part is that thread's work."""
    bits = IRQ_NOISE
    if thread >= 0:
        hard = min(duration, cost(s, cpu, s.kernels[s.cpus[cpu].kernel].irq_thread_hard))
        add_job(s, thread, duration - hard, 0, NONE, 0)
        duration = hard
        if interrupts.note_wake(s, thread):
            bits |= IRQ_WAKE
    s.cpus[cpu].irq_noise += duration
    interrupts.deliver(s, cpu, bits)


@handler
def _stall(s: State, cpu: int, level: int, source: int, duration: int) -> None:
    """Stop whatever `cpu` does for `duration` ns; an NMI takes a guest out first, the hardware stops it within."""
    trace.record(s, TR_HARDWARE if level == HARDWARE else TR_NMI, cpu, source, duration)
    c = s.cpus[cpu]
    if c.curr >= 0 and c.level == BASE and s.tasks[c.curr].mode == IN_GUEST:
        if level == NMI:
            vcpu.leave_guest(s, cpu, EXIT_EXTERNAL)
        else:
            vcpu.freeze(s, s.tasks[c.curr].guest_cpu)
    execution.enter_level(s, cpu, level, duration)


@handler
def _exit_to_qemu(s: State, task: int, duration: int) -> None:
    """Let a vCPU that executes guest code exit to QEMU; a vCPU that does not has nothing to ask for."""
    t = s.tasks[task]
    c = s.cpus[t.cpu]
    if t.mode != IN_GUEST or c.curr != task or c.level != 0:
        return
    t.io_left = duration
    vcpu.leave_guest(s, t.cpu, EXIT_IO)


@handler
def _miss_page(s: State, source: int, duration: int) -> None:
    """Let a vCPU miss a page: it exits at once if it executes guest code, else when it next does, if the page lasts."""
    src = s.sources[source]
    t = s.tasks[src.task]
    c = s.cpus[t.cpu]
    executes = t.mode == IN_GUEST and c.curr == src.task and c.level == BASE
    if not executes and src.lasting == 0:
        return
    memory.note_missing(s, src.task, duration, src.on_disk)
    if executes:
        memory.touch_missing(s, src.task)
        vcpu.leave_guest(s, t.cpu, EXIT_EPT)
