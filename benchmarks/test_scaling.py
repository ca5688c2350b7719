"""What an event costs with many tasks on one CPU: at most a logarithm more than with few.

Sizes take turns, and the best round of each counts, so that what else the machine does slows none of them alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import pytest

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder
from rtsim.engine.clock import run_until, step
from rtsim.engine.fields import KERNEL
from rtsim.engine.state import State

MS = 1_000_000
VM_EXITS = KERNEL["vm_exit"].shape[0]
SIZES = (2, 20, 200, 2000)
ROUNDS = 5
EVENTS = 50_000


def _machine(**kernel: int) -> Builder:
    b = Builder(trace_length=1 << 4)
    zero = b.constant(0)
    b.kernel(
        1, tick_ns=MS, rr_ticks=25, sched_latency=6 * MS, min_granularity=750_000, wakeup_granularity=MS,
        base_slice=750_000, vm_exit=[zero] * VM_EXITS, **kernel,
    )  # fmt: skip
    b.cpu("host/cpu0", 0)
    return b


def _fair(kind: int) -> Callable[[int], State]:
    """Return how to make hogs, and one sleeper that puts tasks in and out, under one of the fair classes."""

    def build(tasks: int) -> State:
        b = _machine(fair=kind)
        for number in range(tasks - 1):
            b.hog(f"hog{number}", 0, [0], es.OTHER, number % 20)
        _sleeper(b, es.OTHER, 0)
        return b.build(watched=[])[0]

    return build


def _fifo(tasks: int) -> State:
    """Return a state of FIFO tasks of many priorities that all wait behind the sleeper, the strongest."""
    b = _machine()
    for number in range(tasks - 1):
        b.hog(f"hog{number}", 0, [0], es.FIFO, 1 + number % 90)
    _sleeper(b, es.FIFO, 99)
    return b.build(watched=[])[0]


def _sleeper(b: Builder, policy: int, priority: int) -> None:
    work = b.constant(10_000)
    b.periodic("sleeper", 0, [0], policy, priority, period_ns=100_000, first_ns=100_000, work=work, slack_ns=0)


def _cost(state: State) -> float:
    """Return seconds of CPU time an event, over the next ones."""
    begin = time.process_time()
    assert step(state, es.NEVER, EVENTS) == EVENTS
    return (time.process_time() - begin) / EVENTS


@pytest.mark.parametrize("build", [_fair(es.CFS), _fair(es.EEVDF), _fifo], ids=["cfs", "eevdf", "fifo"])
def test_an_event_among_many_tasks_costs_a_logarithm_more_at_most(build: Callable[[int], State]) -> None:
    states = {size: build(size) for size in SIZES}
    for state in states.values():
        run_until(state, 100 * MS)
    best = dict.fromkeys(SIZES, math.inf)
    for _ in range(ROUNDS):
        for size, state in states.items():
            best[size] = min(best[size], _cost(state))
    print("\n", {size: f"{1e9 * cost:.0f} ns" for size, cost in best.items()})
    for size in SIZES[1:]:
        assert best[size] / best[SIZES[0]] <= 1 + math.log2(size)  # 12 for 2000 tasks: in proportion it would be 1000
