"""cgroups in the fair class: what a group's entity weighs on one CPU, and how a queued entity gets another weight."""

from __future__ import annotations

from rtsim.engine.constants import CFS
from rtsim.engine.jit import handler
from rtsim.engine.state import State
from rtsim.sched import eevdf, pelt
from rtsim.sched.account import update_curr
from rtsim.sched.entity import LEAST_SHARES, dequeue_timeline, divide, enqueue_timeline, is_task, kernel_of, scaled_down

__all__ = ["group_weight", "reweight_entity", "update_cfs_group", "update_load_avg"]


@handler
def update_load_avg(s: State, entity: int) -> None:
    """Bring the averages of `entity` and its queue up to date, as far as they are kept.

    A task that comes from another CPU is counted in. A group's queue publishes its load when that has moved by 1/64.
    """
    queue = s.entities[entity].queue
    q = s.cfs_rqs[queue]
    k = s.kernels[kernel_of(s, queue)]
    if k.spread == 1:
        if s.entities[entity].attached == 0 and is_task(s, entity):
            pelt.attach(s, entity)
        else:
            pelt.update_entity(s, entity)
            pelt.update_queue(s, queue, True)
    if q.group < 0 or s.groups[q.group].spread == 0:
        return
    pelt.update_queue(s, queue, False)
    pelt.publish_load(s, queue)


@handler
def group_weight(s: State, queue: int) -> int:
    """Return the internal load of the entity that stands for the group of `queue` on its CPU (calc_group_shares).

    The group's shares times this CPU's part of the group's load; other CPUs' parts are as they were last published.
    """
    q = s.cfs_rqs[queue]
    g = s.groups[q.group]
    if g.spread == 0:
        return g.shares
    load = max(scaled_down(q.load), q.load_avg)
    total = g.load_avg - q.load_contrib + load
    shares = g.shares * load
    if total > 0:
        shares //= total
    return max(LEAST_SHARES, min(shares, g.shares))


@handler
def update_cfs_group(s: State, entity: int) -> None:
    """Give a group's `entity` the weight that the present load of its queue makes (update_cfs_group)."""
    e = s.entities[entity]
    if e.my_q < 0 or s.cfs_rqs[e.my_q].load == 0 or s.cfs_rqs[e.my_q].throttle_count > 0:
        return
    load = group_weight(s, e.my_q)
    if load != e.load or s.kernels[kernel_of(s, e.queue)].fair == CFS:
        reweight_entity(s, entity, load)


@handler
def reweight_entity(s: State, entity: int, load: int) -> None:
    """Give `entity` another load: its lag stays (reweight_entity)."""
    e = s.entities[entity]
    q = s.cfs_rqs[e.queue]
    k = s.kernels[kernel_of(s, e.queue)]
    running = q.curr == entity
    if e.on_rq == 1 and (running or k.fair != CFS):
        update_curr(s, e.queue)
    if k.fair == CFS:
        if e.on_rq == 1:
            q.load += load - e.load
    elif e.on_rq == 0:
        e.vlag = divide(e.vlag * e.load, load)
        if e.rel_deadline == 1:
            e.deadline = divide(e.deadline * e.load, load)
    else:
        average = eevdf.average_vruntime(s, e.queue)
        if not running:
            dequeue_timeline(s, e.queue, entity)
        q.load += load - e.load
        if k.reweight_defect == 1:
            eevdf.place_reweighted(s, entity, average, load)
        else:
            eevdf.reweight(s, entity, average, load)
    e.load = load
    e.weight = scaled_down(load)
    if k.spread == 1:
        pelt.reweight(s, entity)
    if k.fair != CFS and e.on_rq == 1 and not running:
        enqueue_timeline(s, e.queue, entity)
