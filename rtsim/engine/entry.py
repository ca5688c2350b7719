"""The way back: what a CPU goes on with when an interruption, a switch or an operation is over.

Here a resched mark takes effect, by the kernel's preemption model: user code is preempted at the return of any
interrupt, a kernel thread at the end of the section it is in. A lazy mark waits for the return to user space, of a vCPU
for its next exit, or for the tick, which makes it an ordinary one (`rtsim.sched.core`).
"""

from __future__ import annotations

from rtsim.engine import execution, idle, interrupts, observe, program, rtsl, smt, softirq, switch, trace
from rtsim.engine.constants import (
    ATOMIC,
    BASE,
    EXIT_EPT,
    EXIT_EXTERNAL,
    EXIT_HLT,
    IDLE,
    IDLE_EXIT,
    IN_GUEST,
    IRQ,
    IRQ_RESCHED,
    NEVER,
    NONE,
    PREEMPT_RT,
    RESCHED,
    RESCHED_LAZY,
    RUNNABLE,
    SCHEDULE,
    SOFTIRQ,
    SWITCH,
    TASK_RUNS,
    TR_IRQ_EXIT,
    USER,
    VM_ENTRY,
    VM_EXIT,
)
from rtsim.engine.jit import handler, inlined
from rtsim.engine.random import cost
from rtsim.engine.state import State
from rtsim.kvm import memory, polling, vcpu
from rtsim.sched import core

__all__ = ["at_base", "end_level", "end_stretch", "see_resched"]


@handler
def end_stretch(s: State, cpu: int) -> None:
    """Go on after the stretch of `cpu` that ends now."""
    c = s.cpus[cpu]
    if c.level != BASE:
        end_level(s, cpu)
    elif c.bottom == SCHEDULE:
        switch.begin_switch(s, cpu)
    elif c.bottom == SWITCH:
        _finish_switch(s, cpu)
    elif c.bottom == IDLE_EXIT:
        _leave_idle(s, cpu)
    elif c.bottom == IDLE:
        _halt(s, cpu)
    else:
        _end_section(s, cpu)


@inlined
def end_level(s: State, cpu: int) -> None:
    """End a stretch of an interruption: go on with its next one, with the next weaker level, or with the base."""
    c = s.cpus[cpu]
    if c.level == IRQ:
        work = interrupts.next_stretch(s, cpu)
        if work >= 0:
            observe.account(s, cpu)
            c.left[IRQ] = work
            execution.resume(s, cpu)
            return
        trace.record(s, TR_IRQ_EXIT, cpu, NONE, 0)
        softirq.begin_inline(s, cpu)
    elif c.level == SOFTIRQ:
        work = softirq.next_inline(s, cpu)
        if work >= 0:
            observe.account(s, cpu)
            c.left[SOFTIRQ] = work
            execution.resume(s, cpu)
            return
    level = execution.next_level_below(s, cpu)
    if level == BASE:
        if c.bottom == TASK_RUNS and s.tasks[c.curr].mode == IN_GUEST:  # an NMI or a stall: the guest never left
            _enter_guest(s, cpu)
        else:
            at_base(s, cpu)
        return
    execution.resume(s, cpu)
    if level == SOFTIRQ and c.irq_pending != 0:
        interrupts.take_irq(s, cpu)


@handler
def _leave_idle(s: State, cpu: int) -> None:
    """Take the interrupt that brought `cpu` out of its idle state, or follow the mark that a polling one has seen."""
    observe.account(s, cpu)
    s.cpus[cpu].bottom = IDLE
    s.cpus[cpu].left[BASE] = NONE
    if s.cpus[cpu].irq_pending == 0:  # a polling one has seen what it was asked for as well; that costs next to nothing
        while core.wake_pending(s, cpu) >= 0:
            pass
    at_base(s, cpu)


@inlined
def see_resched(s: State, cpu: int) -> None:
    """Let `cpu` learn of its resched mark: by an interrupt, or without where its idle loop polls for it."""
    c = s.cpus[cpu]
    if c.level == BASE and c.bottom == IDLE and idle.polls(s, cpu):
        execution.begin_base(s, cpu, IDLE_EXIT, cost(s, cpu, idle.exit_table(s, cpu)))
        rtsl.note_section(s, cpu, c.left[BASE])
    else:
        interrupts.deliver(s, cpu, IRQ_RESCHED)


@handler
def _enter_guest(s: State, cpu: int) -> None:
    """Let the guest CPU of the vCPU on `cpu` execute; what came up on the host since takes it out again."""
    guest_cpu = s.tasks[s.cpus[cpu].curr].guest_cpu
    s.cpus[cpu].left[BASE] = NEVER
    vcpu.thaw(s, guest_cpu)
    if s.cpus[cpu].irq_pending != 0 or s.cpus[cpu].need_resched == RESCHED:
        vcpu.leave_guest(s, cpu, EXIT_EXTERNAL)
        rtsl.note_section(s, cpu, s.cpus[cpu].entry_section + s.cpus[cpu].left[BASE])
    elif memory.touch_missing(s, s.cpus[cpu].curr):
        vcpu.leave_guest(s, cpu, EXIT_EPT)
        rtsl.note_section(s, cpu, s.cpus[cpu].entry_section + s.cpus[cpu].left[BASE])
    elif s.cpus[guest_cpu].level == BASE:
        at_base(s, guest_cpu)
    elif s.cpus[guest_cpu].level == SOFTIRQ and s.cpus[guest_cpu].irq_pending != 0:
        interrupts.take_irq(s, guest_cpu)


@handler
def _finish_switch(s: State, cpu: int) -> None:
    """End a context switch: the new task is in user space, or the CPU idles."""
    observe.account(s, cpu)
    c = s.cpus[cpu]
    c.left[BASE] = NONE
    c.switched_ns = c.task_ns
    if c.curr < 0:
        c.bottom = IDLE
        if c.sibling >= 0:
            smt.set_busy(s, cpu, 0)
    else:
        c.bottom = TASK_RUNS
        t = s.tasks[c.curr]
        c.left[BASE] = t.left
        t.left = NONE
        if t.fresh == 1:
            t.fresh = 0
            observe.close_watch(s, c.curr)
    at_base(s, cpu)


@handler
def _end_section(s: State, cpu: int) -> None:
    """End the running task's operation, or the kernel section that kept it from being preempted."""
    c = s.cpus[cpu]
    rest = c.section_rest
    c.left[BASE] = NONE
    if rest > 0:
        observe.account(s, cpu)
        c.section_rest = NONE
        c.left[BASE] = rest
        if not _schedule(s, cpu):
            execution.resume(s, cpu)
        return
    program.end_operation(s, cpu)
    c.section_rest = NONE
    if s.tasks[c.curr].mode == IN_GUEST:
        _enter_guest(s, cpu)
    else:
        at_base(s, cpu)


@handler
def at_base(s: State, cpu: int) -> None:
    """Go on at the base level: serve what is owed, reschedule if marked, else carry on with what was under way."""
    c = s.cpus[cpu]
    if _interrupts_off(s, cpu):
        execution.resume(s, cpu)
    elif c.irq_pending != 0:
        interrupts.take_irq(s, cpu)
    elif c.need_resched != 0 and not polling.gives_way(s, cpu) and _may_preempt(s, cpu) and _schedule(s, cpu):
        return
    elif c.curr < 0:
        _idle(s, cpu)
    elif c.left[BASE] != NONE:
        if s.tasks[c.curr].work_until > 0:
            program.look_at_clock(s, cpu)
        else:
            execution.resume(s, cpu)
    elif not program.continue_task(s, cpu):
        _schedule(s, cpu)


@handler
def _interrupts_off(s: State, cpu: int) -> bool:
    c = s.cpus[cpu]
    if c.bottom == SWITCH or c.bottom == SCHEDULE or c.bottom == IDLE_EXIT:
        return True
    if c.bottom == IDLE or c.left[BASE] == NONE:
        return False
    mode = s.tasks[c.curr].mode
    return mode in (VM_ENTRY, VM_EXIT)


@handler
def _idle(s: State, cpu: int) -> None:
    """Idle; the vCPU of a guest CPU halts, unless the guest polls, or polls first."""
    c = s.cpus[cpu]
    c.idle_from = s.m[0].now
    if c.carrier >= 0 and c.poll_limit > 0:
        execution.begin_base(s, cpu, IDLE, smt.work_in(s, cpu, c.poll_limit))
    elif c.carrier < 0 or idle.polls(s, cpu):
        execution.begin_base(s, cpu, IDLE, NEVER)
    else:
        _halt(s, cpu)


@handler
def _halt(s: State, guest_cpu: int) -> None:
    """Let the vCPU of an idle guest CPU halt."""
    execution.begin_base(s, guest_cpu, IDLE, NEVER)
    vcpu.leave_guest(s, s.tasks[s.cpus[guest_cpu].carrier].cpu, EXIT_HLT)


@handler
def _may_preempt(s: State, cpu: int) -> bool:
    """Return whether a reschedule may happen here; a kernel thread first runs to the next point that allows it.

    One that has done nothing since it was switched to is at such a point. Nobody is preempted with a spinlock.
    """
    c = s.cpus[cpu]
    if c.curr < 0 or s.tasks[c.curr].kthread == USER:
        return True
    if s.tasks[c.curr].kthread == ATOMIC:
        return False
    k = s.kernels[c.kernel]
    if s.tasks[c.curr].softirq_round != 0 and k.preempt != PREEMPT_RT:
        return False
    if c.left[BASE] == NONE or c.task_ns == c.switched_ns:
        return True
    if c.section_rest != NONE or c.need_resched == RESCHED_LAZY:
        return False
    section = cost(s, cpu, k.preempt_off)
    if section == 0:
        return True
    c.section_rest = max(c.left[BASE] - section, 0)
    c.left[BASE] = min(c.left[BASE], section)
    rtsl.note_section(s, cpu, c.left[BASE])
    return False


@handler
def _schedule(s: State, cpu: int) -> bool:
    """Pick the next task and begin the switch to it; return False if the present one stays.

    The pick is made, and the queues are changed, when schedule() begins, under the lock of the run queue; the switch
    itself comes the cost `schedule` later.
    """
    observe.account(s, cpu)
    c = s.cpus[cpu]
    prev = c.curr
    charged_until = core.fair_charged_until(s, prev)
    picked = core.pick_next_task(s, cpu)
    if picked == prev:
        return False
    if prev >= 0 and s.tasks[prev].state == RUNNABLE:
        s.tasks[prev].left = c.left[BASE]
    core.switch_tasks(s, cpu, prev, picked)
    c.prev = prev
    work = core.schedule_cost(s, cpu, prev, picked, charged_until)
    c.scheduling = work
    if work == 0:
        switch.begin_switch(s, cpu)
    else:
        execution.begin_base(s, cpu, SCHEDULE, work)
    return True
