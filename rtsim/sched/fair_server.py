"""The fair server: a deadline reservation of each CPU that serves the fair class when others starve it (since 6.12).

It starts with the first fair task and waits, deferred, for the last moment at which its budget fits before its
deadline. Whatever fair tasks run until then, and idle time, counts as service: a whole budget of it starts another
period. Only if the moment comes with budget left, the server runs: it picks from the fair class, above every realtime
task.
"""

from __future__ import annotations

from rtsim.engine import sched_timers
from rtsim.engine.constants import DEADLINE
from rtsim.engine.jit import handler
from rtsim.engine.state import State
from rtsim.sched.dl_entity import (
    REPLENISH,
    WAKEUP,
    cpu_of,
    dequeue_dl_entity,
    dl_entity_preempt,
    enqueue_dl_entity,
    replenish_dl_new_period,
    server_of,
    update_curr_dl_se,
)
from rtsim.sched.resched import clock_task, resched_curr

__all__ = ["charge", "end_wait", "note_idle", "start", "start_idle", "stop", "update_curr_idle", "update_idle_time"]

LEAST_WAIT_NS = 1_000_000
"""A wait that would go on for less is over (dl_server_min_res)."""


@handler
def charge(s: State, cpu: int, delta: int) -> None:
    """Charge the server of `cpu` with `delta` ns that a fair task ran, on its behalf or not (dl_server_update)."""
    server = server_of(s, cpu)
    if s.dl_entities[server].server_active == 1:
        update_curr_dl_se(s, server, delta)


@handler
def start_idle(s: State, cpu: int) -> None:
    """Begin to count the time that `cpu` idles (set_next_task_idle)."""
    s.cpus[cpu].idle_exec_start = clock_task(s, cpu)


@handler
def update_idle_time(s: State, cpu: int) -> None:
    """Charge the server with the time its CPU has been idle: time that fair tasks could have had."""
    d = s.dl_entities[server_of(s, cpu)]
    now = clock_task(s, cpu)
    delta = now - s.cpus[cpu].idle_exec_start
    if d.dl_runtime == 0 or delta < 0:
        return
    if s.kernels[s.cpus[cpu].kernel].fair_server_idle_wait == 1:
        if d.server_active == 1:
            update_curr_dl_se(s, server_of(s, cpu), delta)
    elif d.runtime < 0:
        return
    else:
        d.runtime -= delta
        if d.runtime < 0:
            d.defer_running = 0
            d.runtime = 0
    s.cpus[cpu].idle_exec_start = now


@handler
def update_curr_idle(s: State, cpu: int) -> None:
    """Charge the server with idle time wherever a task would be charged; before idle-wait came, no release did."""
    if s.kernels[s.cpus[cpu].kernel].fair_server_idle_wait == 1:
        update_idle_time(s, cpu)


@handler
def note_idle(s: State, cpu: int) -> None:
    """Charge the server with idle time that ends because a fair task is queued; others may have been queued before."""
    if s.cpus[cpu].curr < 0 and s.cpus[cpu].nr_running == 0:
        update_idle_time(s, cpu)


@handler
def start(s: State, cpu: int) -> None:
    """Start the server: there is a fair task again (dl_server_start)."""
    server = server_of(s, cpu)
    d = s.dl_entities[server]
    if d.dl_runtime == 0 or d.server_active == 1:
        return
    d.server_active = 1
    if s.kernels[s.cpus[cpu].kernel].fair_server_idle_wait == 1:
        d.defer_running = 0
        replenish_dl_new_period(s, server)
    enqueue_dl_entity(s, server, WAKEUP)
    _preempt(s, server)


@handler
def stop(s: State, cpu: int) -> None:
    """Stop the server: it finds no fair task (dl_server_stop). Budget, deadline and defer_running stay as they are."""
    server = server_of(s, cpu)
    d = s.dl_entities[server]
    dequeue_dl_entity(s, server)
    sched_timers.cancel(s, d.timer)
    d.defer_armed = 0
    d.throttled = 0
    d.defer_idle = 0
    d.server_active = 0


@handler
def end_wait(s: State, cpu: int) -> None:
    """Do what the server's timer is for: let it run, or wait on for what was served meanwhile (dl_server_timer).

    The clock of `cpu` has been read.
    """
    server = server_of(s, cpu)
    d = s.dl_entities[server]
    if d.throttled == 0:
        return
    clock = s.cpus[cpu].clock
    if d.defer_idle == 1:
        stop(s, cpu)
        return
    if d.defer_armed == 1:
        wait = d.deadline - d.runtime - clock
        if wait > LEAST_WAIT_NS:
            t = s.sched_timers[d.timer]
            late = (s.m[0].now - t.expiry) // wait
            sched_timers.start(s, d.timer, t.cpu, t.expiry + (late + 1) * wait)
            return
        d.defer_running = 1
    s.cpus[cpu].overruled += 1
    enqueue_dl_entity(s, server, REPLENISH)
    _preempt(s, server)


@handler
def _preempt(s: State, server: int) -> None:
    """Mark the server's CPU unless a deadline task with an earlier deadline runs there."""
    cpu = cpu_of(s, server)
    curr = s.cpus[cpu].curr
    if curr < 0 or s.tasks[curr].policy != DEADLINE or dl_entity_preempt(s, server, curr):
        resched_curr(s, cpu)
