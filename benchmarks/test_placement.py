"""How long placing takes: one guest on a large host, and cases by the thousand.

The ratio to the real Nova needs Nova's own environment and is measured beside the differential test
(``tests/nova/oracle``).
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from rtsim.nova import ComputeHost, Flavor, NovaConf
from rtsim.nova.batch import place_lines
from rtsim.topology import Topology

SPECS = {"hw:cpu_policy": "dedicated", "hw:cpu_realtime": "yes", "hw:cpu_realtime_mask": "^0-1"}
FLAVORS = {
    "one cell": Flavor("rt", 16, 4096, 1, SPECS),
    "isolated emulator": Flavor("rt", 16, 4096, 1, {**SPECS, "hw:emulator_threads_policy": "isolate"}),
    "four cells": Flavor("rt", 64, 16384, 1, {**SPECS, "hw:numa_nodes": "4"}),
}


@pytest.fixture(scope="module")
def large_host() -> ComputeHost:
    """4 sockets of 64 cores with 2 threads: 512 CPUs, in use by a few guests."""
    topology = Topology.regular(4, 64, 2, numa_nodes=4)
    host = ComputeHost.from_topology(topology, NovaConf(cpu_dedicated_set="8-511", cpu_shared_set="0-7"))
    for _ in range(4):
        host.claim(host.place(FLAVORS["one cell"]))
    return host


@pytest.mark.parametrize("name", list(FLAVORS))
def test_a_guest_on_512_cpus_takes_less_than_2_ms(benchmark: Any, large_host: ComputeHost, name: str) -> None:
    def fresh() -> tuple[tuple[ComputeHost], dict[str, Any]]:
        # A new host each time: nothing derived from its cells is kept from the last placement.
        cells = [cell.reassigned() for cell in large_host.cells]
        return (ComputeHost(cells, large_host.conf, online=large_host.online),), {}

    placement = benchmark.pedantic(lambda host: host.place(FLAVORS[name]), setup=fresh, rounds=50)
    assert len(placement.pinned) == FLAVORS[name].vcpus
    if benchmark.enabled:
        assert benchmark.stats.stats.median < 2e-3


def cases(count: int) -> list[str]:
    """Guests of many shapes on a two-socket host that is in use."""
    lines = []
    for number in range(count):
        cells = [
            {
                "id": node,
                "memory_mib": 65536,
                "cpuset": [],
                "pcpuset": list(range(node * 16, node * 16 + 16)),
                "siblings": [[cpu, cpu + 8] for cpu in range(node * 16, node * 16 + 8)],
                "pinned_cpus": list(range(node * 16, node * 16 + number % 5)),
                "mempages": [{"size_kb": 4, "total": 16777216}],
            }
            for node in range(2)
        ]
        specs = {"hw:cpu_policy": "dedicated", "hw:numa_nodes": str(1 + number % 2)}
        flavor = {"vcpus": 2 + 2 * (number % 4), "memory_mib": 1024, "extra_specs": specs}
        lines.append(json.dumps({"host": {"cells": cells}, "flavor": flavor, "conf": {"cpu_dedicated_set": "0-31"}}))
    return lines


def test_a_thousand_cases(benchmark: Any) -> None:
    lines = cases(1000)
    results = benchmark(lambda: list(place_lines(lines)))
    assert all(json.loads(result)["fit"] for result in results)
