"""Interrupts: who owes one to a CPU, when it is taken, and what it does before the CPU goes back to its base.

One interrupt serves everything that is owed: all expired timers wake their tasks before any reschedule. What it does
is decided when it begins; its cost is the stretch that follows.
"""

from __future__ import annotations

from rtsim.engine import execution, observe, program, sched_timers, timers, trace
from rtsim.engine.jit import handler
from rtsim.engine.random import cost
from rtsim.engine.state import (
    BASE,
    EXIT_EXTERNAL,
    EXIT_HLT,
    EXIT_TIMER,
    HALTED,
    IDLE,
    IDLE_EXIT,
    IN_GUEST,
    IRQ,
    IRQ_TIMER,
    IRQ_WAKE,
    NEVER,
    NONE,
    NOT_VCPU,
    RUNNABLE,
    SLEEPING,
    SOFTIRQ,
    SWITCH,
    TASK_RUNS,
    TR_IRQ,
    TR_IRQ_EXIT,
    TR_SOFTIRQ,
    TR_TICK,
    TR_TIMER,
    VM_ENTRY,
    VM_EXIT,
    State,
)
from rtsim.kvm import vcpu
from rtsim.sched import core

__all__ = [
    "at_base",
    "deliver",
    "end_level",
    "end_section",
    "finish_switch",
    "leave_idle",
    "open_expired",
    "wake_from_irq",
]


@handler
def deliver(s: State, cpu: int, bits: int) -> None:
    """Let `cpu` owe the interrupts `bits`, and let it take them as soon as it can; a halted vCPU is woken for it."""
    c = s.cpus[cpu]
    c.irq_pending |= bits
    if c.executing == 1:
        if c.carrier >= 0 and bits & IRQ_TIMER:
            vcpu.leave_guest(s, s.tasks[c.carrier].cpu, EXIT_TIMER)  # the preemption timer expired
        else:
            _take_when_possible(s, cpu)
        return
    carrier = s.tasks[c.carrier]
    if carrier.mode == HALTED and _link_wake(s, c.carrier):
        observe.open_watch(s, c.carrier, s.m[0].now, 0)
        s.cpus[carrier.cpu].irq_pending |= IRQ_WAKE
        _take_when_possible(s, carrier.cpu)


@handler
def wake_from_irq(s: State, task: int) -> None:
    """Let the CPU that `task` was last on take an interrupt that wakes it."""
    if _link_wake(s, task):
        deliver(s, s.tasks[task].cpu, IRQ_WAKE)


@handler
def _link_wake(s: State, task: int) -> bool:
    """Note `task` for the next interrupt of its CPU to wake; return False if it needs no waking."""
    t = s.tasks[task]
    if t.state != SLEEPING or t.wake_pending == 1:
        return False
    t.wake_pending = 1
    t.wake_next = NONE
    last = s.cpus[t.cpu].wake_head
    if last < 0:
        s.cpus[t.cpu].wake_head = task
        return True
    while s.tasks[last].wake_next >= 0:
        last = s.tasks[last].wake_next
    s.tasks[last].wake_next = task
    return True


@handler
def _take_when_possible(s: State, cpu: int) -> None:
    """Take the interrupts owed unless they are off; a guest is left first, an idle state too."""
    c = s.cpus[cpu]
    if c.level == SOFTIRQ:
        _take_irq(s, cpu)
    if c.level != BASE:
        return
    if c.bottom == TASK_RUNS:
        mode = s.tasks[c.curr].mode
        if mode == IN_GUEST:
            vcpu.leave_guest(s, cpu, EXIT_EXTERNAL)
        elif mode != VM_ENTRY and mode != VM_EXIT:
            _take_irq(s, cpu)
    elif c.bottom == IDLE:
        wait = cost(s, cpu, _idle_state(s, cpu))
        if wait == 0:
            _take_irq(s, cpu)
        else:
            execution.begin_base(s, cpu, IDLE_EXIT, wait)


@handler
def _idle_state(s: State, cpu: int) -> int:
    """Return the cost table for leaving idle: of the deepest state that the idle time has been worth."""
    k = s.kernels[s.cpus[cpu].kernel]
    idled = s.m[0].now - s.cpus[cpu].idle_from
    state = k.idle_states - 1
    while state > 0 and k.idle_residency[state] > idled:
        state -= 1
    return k.idle_exit[state]


@handler
def _take_irq(s: State, cpu: int) -> None:
    """Begin the interrupt: do what is owed and enter the level for as long as that takes."""
    c = s.cpus[cpu]
    k = s.kernels[c.kernel]
    pending = c.irq_pending
    execution.suspend(s, cpu)
    c.irq_pending = 0
    trace.record(s, TR_IRQ, cpu, NONE, pending)
    work = cost(s, cpu, k.irq_entry) + c.irq_noise
    c.irq_noise = 0
    if pending & (IRQ_TIMER | IRQ_WAKE):
        work += cost(s, cpu, k.timer_irq)
    if pending & IRQ_TIMER:
        work += _expire_timers(s, cpu)
    while c.wake_head >= 0:
        task = c.wake_head
        c.wake_head = s.tasks[task].wake_next
        s.tasks[task].wake_pending = 0
        core.try_to_wake_up(s, task, cpu)
        work += cost(s, cpu, k.wake)
    c.left[SOFTIRQ] += c.softirq_raised
    c.softirq_raised = 0
    execution.enter_level(s, cpu, IRQ, work)


@handler
def _expire_timers(s: State, cpu: int) -> int:
    """Run every expired timer and the tick if due; return what they cost (ns)."""
    c = s.cpus[cpu]
    k = s.kernels[c.kernel]
    now = s.m[0].now
    work = 0
    task = timers.pop_expired(s, cpu)
    while task >= 0:
        trace.record(s, TR_TIMER, cpu, task, s.tasks[task].timer_soft)
        observe.open_watch(s, task, s.tasks[task].timer_soft, now - s.tasks[task].timer_soft)
        core.try_to_wake_up(s, task, cpu)
        work += cost(s, cpu, k.wake)
        task = timers.pop_expired(s, cpu)
    timer = sched_timers.pop_expired(s, cpu)
    while timer >= 0:
        core.run_sched_timer(s, timer)
        timer = sched_timers.pop_expired(s, cpu)
    if c.tick_at <= now:
        trace.record(s, TR_TICK, cpu, NONE, 0)
        c.tick_at = (now // k.tick_ns + 1) * k.tick_ns
        core.task_tick(s, cpu)
        work += cost(s, cpu, k.tick)
    timers.program_clock(s, cpu)
    return work


@handler
def open_expired(s: State, cpu: int) -> None:
    """Begin the samples of all tasks whose timers expire now, however long the interrupt may be delayed."""
    task = s.cpus[cpu].timer_head
    while task >= 0 and s.tasks[task].timer_hard <= s.m[0].now:
        observe.open_watch(s, task, s.tasks[task].timer_soft, s.m[0].now - s.tasks[task].timer_soft)
        task = s.tasks[task].timer_next


@handler
def end_level(s: State, cpu: int) -> None:
    """End an interruption and go on with the next weaker one, or with the base."""
    c = s.cpus[cpu]
    if c.level == IRQ:
        trace.record(s, TR_IRQ_EXIT, cpu, NONE, 0)
    level = execution.next_level_below(s, cpu)
    if level == BASE:
        if c.bottom == TASK_RUNS and s.tasks[c.curr].mode == IN_GUEST:  # an NMI or a stall: the guest never left
            enter_guest(s, cpu)
        else:
            at_base(s, cpu)
        return
    execution.resume(s, cpu)
    if level == SOFTIRQ:
        trace.record(s, TR_SOFTIRQ, cpu, NONE, c.left[SOFTIRQ])
        if c.irq_pending != 0:
            _take_irq(s, cpu)


@handler
def leave_idle(s: State, cpu: int) -> None:
    """Take the interrupt that brought `cpu` out of its idle state."""
    observe.account(s, cpu)
    s.cpus[cpu].bottom = IDLE
    s.cpus[cpu].left[BASE] = NONE
    _take_irq(s, cpu)


@handler
def enter_guest(s: State, cpu: int) -> None:
    """Let the guest CPU of the vCPU on `cpu` execute; what came up on the host since takes it out again."""
    guest_cpu = s.tasks[s.cpus[cpu].curr].guest_cpu
    s.cpus[cpu].left[BASE] = NEVER
    vcpu.thaw(s, guest_cpu)
    if s.cpus[cpu].irq_pending != 0 or s.cpus[cpu].need_resched == 1:
        vcpu.leave_guest(s, cpu, EXIT_EXTERNAL)
    elif s.cpus[guest_cpu].level == BASE:
        at_base(s, guest_cpu)
    elif s.cpus[guest_cpu].level == SOFTIRQ and s.cpus[guest_cpu].irq_pending != 0:
        _take_irq(s, guest_cpu)


@handler
def finish_switch(s: State, cpu: int) -> None:
    """End a context switch: the new task is in user space, or the CPU idles."""
    observe.account(s, cpu)
    c = s.cpus[cpu]
    c.left[BASE] = NONE
    if c.curr < 0:
        c.bottom = IDLE
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
def end_section(s: State, cpu: int) -> None:
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
        enter_guest(s, cpu)
    else:
        at_base(s, cpu)


@handler
def at_base(s: State, cpu: int) -> None:
    """Go on at the base level: serve what is owed, reschedule if marked, else carry on with what was under way."""
    c = s.cpus[cpu]
    if _interrupts_off(s, cpu):
        execution.resume(s, cpu)
    elif c.irq_pending != 0:
        _take_irq(s, cpu)
    elif c.need_resched == 1 and _may_preempt(s, cpu) and _schedule(s, cpu):
        return
    elif c.curr < 0:
        _idle(s, cpu)
    elif c.left[BASE] != NONE:
        execution.resume(s, cpu)
    elif not program.continue_task(s, cpu):
        _schedule(s, cpu)


@handler
def _interrupts_off(s: State, cpu: int) -> bool:
    c = s.cpus[cpu]
    if c.bottom == SWITCH or c.bottom == IDLE_EXIT:
        return True
    if c.bottom == IDLE or c.left[BASE] == NONE:
        return False
    mode = s.tasks[c.curr].mode
    return mode in (VM_ENTRY, VM_EXIT)


@handler
def _idle(s: State, cpu: int) -> None:
    """Idle; the vCPU of a guest CPU halts."""
    s.cpus[cpu].idle_from = s.m[0].now
    execution.begin_base(s, cpu, IDLE, NEVER)
    carrier = s.cpus[cpu].carrier
    if carrier >= 0:
        vcpu.leave_guest(s, s.tasks[carrier].cpu, EXIT_HLT)


@handler
def _may_preempt(s: State, cpu: int) -> bool:
    """Return whether a reschedule may happen here; a kernel thread first runs to the next point that allows it."""
    c = s.cpus[cpu]
    if c.curr < 0 or s.tasks[c.curr].kthread == 0 or c.left[BASE] == NONE:
        return True
    if c.section_rest != NONE:
        return False
    section = cost(s, cpu, s.kernels[c.kernel].preempt_off)
    if section == 0:
        return True
    c.section_rest = max(c.left[BASE] - section, 0)
    c.left[BASE] = min(c.left[BASE], section)
    return False


@handler
def _schedule(s: State, cpu: int) -> bool:
    """Pick the next task and begin the switch to it; return False if the present one stays."""
    observe.account(s, cpu)
    c = s.cpus[cpu]
    prev = c.curr
    picked = core.pick_next_task(s, cpu)
    if picked == prev:
        return False
    if prev >= 0 and s.tasks[prev].state == RUNNABLE:
        s.tasks[prev].left = c.left[BASE]
    core.switch_tasks(s, cpu, prev, picked)
    k = s.kernels[c.kernel]
    work = cost(s, cpu, k.context_switch)
    if picked >= 0 and s.tasks[picked].fresh == 1 and s.tasks[picked].kthread == 0 and s.tasks[picked].mode == NOT_VCPU:
        work += cost(s, cpu, k.syscall_exit)
    execution.begin_base(s, cpu, SWITCH, work)
    return True
