"""New idle balancing: a CPU that runs out of tasks looks for one before it idles (``newidle_balance``)."""

from __future__ import annotations

import numpy as np

from rtsim.engine.constants import NEWLY_IDLE, SD_BALANCE_NEWIDLE
from rtsim.engine.jit import handler
from rtsim.engine.random import draw
from rtsim.engine.state import State
from rtsim.sched.balance import balance_interval, load_balance
from rtsim.sched.cpus import jiffies
from rtsim.sched.pelt import update_blocked

__all__ = ["newidle_balance"]

PASS_NS, CPU_NS = 1_000, 100
"""What a pass is taken to cost, and each CPU of the domain: decides only whether idle times are worth it. Assumed."""
SECOND_NS = 1_000_000_000


@handler
def newidle_balance(s: State, cpu: int) -> bool:
    """Try to pull a task to `cpu`, which has none left; return whether there is one now."""
    c = s.cpus[cpu]
    k = s.kernels[c.kernel]
    if c.wakelist >= 0:
        return False
    c.idle_stamp = c.clock
    following = jiffies(s, cpu) + SECOND_NS // k.tick_ns
    domain = c.domain
    if domain >= 0:
        following = _search(s, cpu, following)
    c.next_balance = min(c.next_balance, following)
    if c.nr_running > 0:
        c.idle_stamp = 0
    return bool(c.nr_running > 0)


@handler
def _search(s: State, cpu: int, following: int) -> int:
    """Look for a task, domain by domain; return when the next periodic balancing is due, `following` at the latest."""
    c = s.cpus[cpu]
    k = s.kernels[c.kernel]
    domain = c.domain
    d = s.domains[domain]
    if k.overload == 0 or c.avg_idle < d.newidle_cost:
        return min(following, d.last_balance + balance_interval(s, domain, False))
    update_blocked(s, cpu)
    spent = 0
    while domain >= 0:
        d = s.domains[domain]
        following = min(following, d.last_balance + balance_interval(s, domain, False))
        if c.avg_idle < spent + d.newidle_cost:
            break
        if d.sd_flags & SD_BALANCE_NEWIDLE and _is_worth_it(s, cpu, domain):
            moved = load_balance(s, cpu, domain, NEWLY_IDLE)
            cost = PASS_NS + CPU_NS * d.weight
            spent += cost
            _note_outcome(s, cpu, domain, cost, moved > 0)
            if moved != 0 or c.nr_running > 0:
                break
        domain = d.parent
    c.max_idle_cost = max(c.max_idle_cost, spent)
    return following


@handler
def _is_worth_it(s: State, cpu: int, domain: int) -> bool:
    """Return whether to try this domain: by chance, as often as it has succeeded lately (NI_RANDOM)."""
    c = s.cpus[cpu]
    d = s.domains[domain]
    if s.kernels[c.kernel].ni_random == 0:
        return True
    c.stream_n += 1
    chance = np.int64(draw(c.stream_key, c.stream_gamma, c.stream_n) >> np.uint64(54))
    if chance <= 1 + d.newidle_ratio:
        return True
    _count(s, domain, 0)
    return False


@handler
def _note_outcome(s: State, cpu: int, domain: int, cost: int, moved: bool) -> None:
    d = s.domains[domain]
    weight = 1
    if s.kernels[s.cpus[cpu].kernel].ni_random == 1:
        weight = 1 + d.newidle_ratio
        weight = (1024 + weight // 2) // weight
    _count(s, domain, weight * int(moved))
    if cost > d.newidle_cost:
        d.newidle_cost = cost
        d.cost_decayed = jiffies(s, cpu)


@handler
def _count(s: State, domain: int, moved: int) -> None:
    """Count an attempt; successes count for those that were not tried (update_newidle_stats)."""
    d = s.domains[domain]
    d.newidle_calls += 1
    d.newidle_moved += moved
    if d.newidle_calls >= 1024:
        d.newidle_ratio = d.newidle_moved
        d.newidle_calls //= 2
        d.newidle_moved //= 2
