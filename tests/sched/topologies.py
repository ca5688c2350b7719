"""Machines with cores, caches and nodes for tests of placement and balancing."""

from __future__ import annotations

from typing import Any

from rtsim.engine.builder import Builder
from rtsim.scenario.sched_domains import engine_domains
from rtsim.topology import Topology
from rtsim.topology.domains import scheduling_domains
from tests.engine.small import add_kernel


def structured(
    sockets: int = 1, cores: int = 4, threads: int = 2, *, nodes: int = 1, isolated: tuple[int, ...] = (),
    seed: int = 0, trace_length: int = 1 << 14, **kernel: Any,
) -> Builder:  # fmt: skip
    """Return a builder with one host kernel; siblings are adjacent, a socket has one last-level cache."""
    topology = Topology.regular(sockets, cores, threads, numa_nodes=nodes, numbering="adjacent")
    count = sockets * cores * threads
    b = Builder(seed=seed, trace_length=trace_length)
    add_kernel(b, count, **kernel)
    for cpu in range(count):
        b.cpu(f"host/cpu{cpu}", 0, isolated=cpu in isolated)
    balanced = [cpu for cpu in range(count) if cpu not in isolated]
    b.domains[0] = engine_domains(scheduling_domains(topology, balanced))
    return b
