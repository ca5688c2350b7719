"""What an event costs as the machine grows: floating tasks, a pinned realtime task a CPU, balancing at work."""

from __future__ import annotations

import time
from typing import Any

import pytest

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder
from rtsim.engine.clock import run_until
from rtsim.engine.fields import KERNEL
from rtsim.scenario.sched_domains import engine_domains
from rtsim.topology import Topology
from rtsim.topology.domains import scheduling_domains

SIZES = (2, 8, 32, 128, 512)
CPU_SECONDS = 60
"""Simulated time of a round, summed over CPUs."""
MOST_TIMES = 5
"""An event on the largest machine may cost that many times one on the smallest, where CPUs are 256 times as many: its
state does not fit the processor's caches, and a search for an idle CPU looks at up to the 64 that share a cache."""
US, MS, SECOND = 1_000, 1_000_000, 1_000_000_000
VM_EXITS = KERNEL["vm_exit"].shape[0]


def machine(cpus: int) -> Builder:
    """Return a host of up to 64 CPUs a socket; for each core two sleepers, a hog and a pinned realtime task."""
    sockets = max(cpus // 64, 1)
    topology = Topology.regular(sockets, cpus // sockets // 2, 2, numa_nodes=sockets, numbering="adjacent")
    b = Builder()
    cost = b.constant(1 * US)
    b.kernel(
        cpus, tick_ns=4 * MS, fair=es.EEVDF, base_slice=2_800 * US, idle_exit=cost, vm_exit=[cost] * VM_EXITS,
        **dict.fromkeys(("context_switch", "syscall_exit", "irq_entry", "timer_irq", "tick", "wake", "ipi"), cost),
        **dict.fromkeys(("softirq_entry", "preempt_off", "vm_entry", "enqueue_remote"), cost),
    )  # fmt: skip
    for cpu in range(cpus):
        b.cpu(f"host/cpu{cpu}", 0)
    b.domains[0] = engine_domains(scheduling_domains(topology))
    for number in range(cpus):
        period = (900 + 37 * (number % 17)) * US
        b.periodic(
            f"fair{number}", 0, range(cpus), es.OTHER, 0, period_ns=period, first_ns=MS + number * US,
            work=b.constant(300 * US), slack_ns=50 * US,
        )  # fmt: skip
        if number % 2:
            b.hog(f"hog{number}", 0, range(cpus), es.OTHER, 0)
        else:
            b.periodic(
                f"rt{number}", 0, [number], es.FIFO, 1, period_ns=MS, first_ns=MS, work=b.constant(50 * US), slack_ns=0
            )
    return b


def cost_of_an_event(cpus: int) -> float:
    """Return ns of computing an event, without the start."""
    state, _ = machine(cpus).build([])
    run_until(state, 20 * MS)
    before, begin = int(state.m[0]["events"]), time.process_time()
    run_until(state, 20 * MS + CPU_SECONDS * SECOND // cpus)
    return (time.process_time() - begin) * 1e9 / (int(state.m[0]["events"]) - before)


@pytest.mark.benchmark(timer=time.process_time)
def test_the_cost_grows_with_the_events_not_with_the_machine(benchmark: Any) -> None:
    cost_of_an_event(SIZES[0])  # compiles
    costs = {cpus: min(cost_of_an_event(cpus) for _ in range(2)) for cpus in SIZES}
    benchmark.extra_info |= {f"ns_an_event_{cpus}_cpus": round(ns) for cpus, ns in costs.items()}
    print("\n", benchmark.extra_info)
    benchmark.pedantic(cost_of_an_event, args=(SIZES[-1],), rounds=1)
    assert costs[SIZES[-1]] <= MOST_TIMES * costs[SIZES[0]]
