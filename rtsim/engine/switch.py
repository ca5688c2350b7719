"""The context switch as the tracepoint sched_switch sees it: records, run lengths, and the time until user space."""

from __future__ import annotations

from rtsim.engine import execution, observe, samples, smt, trace
from rtsim.engine.constants import H_RUN, H_WAKING, NONE, NOT_VCPU, SWITCH, TR_SWITCH
from rtsim.engine.jit import handler, inlined
from rtsim.engine.random import cost
from rtsim.engine.state import State

__all__ = ["begin_switch"]


@inlined
def begin_switch(s: State, cpu: int) -> None:
    """Switch to the current task of `cpu`; until now, time was that of the one before."""
    observe.account(s, cpu)
    c = s.cpus[cpu]
    k = s.kernels[c.kernel]
    picked = c.curr
    trace.record(s, TR_SWITCH, cpu, picked, c.prev)
    _count_lengths(s, c.prev, picked)
    if c.sibling >= 0 and picked >= 0:
        smt.set_busy(s, cpu, 1)
    work = cost(s, cpu, k.context_switch)
    if picked >= 0 and s.tasks[picked].fresh == 1 and s.tasks[picked].kthread == 0 and s.tasks[picked].mode == NOT_VCPU:
        work += cost(s, cpu, k.syscall_exit)
    c.psd = max(c.psd, c.scheduling + work)
    execution.begin_base(s, cpu, SWITCH, work)


@handler
def _count_lengths(s: State, prev: int, picked: int) -> None:
    """Count how long `prev` ran and how long `picked` has waited."""
    now = s.m[0].now
    if prev >= 0:
        p = s.tasks[prev]
        if s.cpus[p.cpu].curr != prev:  # else it has been woken meanwhile, and runs elsewhere
            p.off_at = now
        if p.watch >= 0 and p.run_from >= s.m[0].observe_from:
            samples.count_value(s, p.watch, H_RUN, now - p.run_from)
    if picked >= 0:
        t = s.tasks[picked]
        t.run_from = now
        if t.off_at >= 0:
            t.run_delay += now - t.off_at
        t.off_at = NONE
        if t.fresh == 1 and t.watch >= 0 and t.waking_at >= s.m[0].observe_from:
            samples.count_value(s, t.watch, H_WAKING, now - t.waking_at)
