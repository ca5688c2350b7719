"""Charging the running entity of a queue for its time (update_curr)."""

from __future__ import annotations

from rtsim.engine.jit import handler
from rtsim.engine.state import State
from rtsim.sched import cfs, eevdf, fair_server, runtime
from rtsim.sched.entity import clear_buddies, is_cfs, is_task, virtual
from rtsim.sched.resched import clock_task, resched_curr_lazy

__all__ = ["update_curr"]


@handler
def update_curr(s: State, queue: int) -> None:
    """Charge what runs in `queue`, if anything does, up to its CPU's clock; mark the CPU when its turn is over."""
    q = s.cfs_rqs[queue]
    curr = q.curr
    if curr < 0:
        return
    e = s.entities[curr]
    now = clock_task(s, q.cpu)
    delta = now - e.exec_start
    if delta <= 0:
        return
    e.exec_start = now
    e.sum_exec += delta
    e.vruntime += virtual(delta, e.weight)
    slice_over = False
    if is_cfs(s, queue):
        cfs.update_min_vruntime(s, queue)
    else:
        slice_over = eevdf.update_deadline(s, queue, curr)
    if is_task(s, curr):
        fair_server.charge(s, q.cpu, delta)
    runtime.account_cfs_rq_runtime(s, queue, delta)
    if not is_cfs(s, queue) and q.nr_running > 1 and (slice_over or eevdf.lost_protection(s, queue, curr)):
        resched_curr_lazy(s, q.cpu)
        clear_buddies(s, curr)
