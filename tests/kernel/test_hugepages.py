"""Huge pages reserved on the command line, and what a machine has of them."""

from __future__ import annotations

import pytest

from rtsim.inputs.errors import InputError
from rtsim.kernel import CommandLine
from rtsim.kernel.hugepages import boot_huge_pages
from rtsim.nova import NovaRefusal, Placement
from rtsim.scenario import Host, Scenario
from rtsim.scenario.guests import guests_of
from rtsim.topology import Topology

M2, G1 = 2048, 1 << 20


@pytest.mark.parametrize(
    ("cmdline", "pages"),
    [
        ("", {}),
        ("hugepages=5", {M2: [3, 2]}),
        ("hugepages=4 default_hugepagesz=1G", {G1: [2, 2]}),
        ("default_hugepagesz=1G hugepagesz=1G hugepages=4", {G1: [2, 2]}),
        ("default_hugepagesz=1G hugepages=4 hugepagesz=2M hugepages=512", {G1: [2, 2], M2: [256, 256]}),
        ("hugepagesz=1048576K hugepages=0:1,1:3", {G1: [1, 3]}),
        ("hugepagesz=1G hugepages=1:3", {G1: [None, 3]}),
        ("hugepagesz=1G hugepages=8 hugepages=2", {G1: [4, 4]}),  # "specified twice without interleaving", ignored
        ("hugepagesz=1G hugepages=4 hugepagesz=1G hugepages=2", {G1: [2, 2]}),
        ("hugepagesz=1G hugepages=4 hugepagesz=1G hugepages=2 hugepages=6", {G1: [2, 2]}),
        ("default_hugepagesz=1G default_hugepagesz=2M hugepages=4", {}),
        ("hugepages=4 hugepagesz=2M hugepages=8", {M2: [2, 2]}),
        ("hugepages=4 hugepages=6 default_hugepagesz=1G hugepages=8", {G1: [2, 2]}),
        ("hugepagesz=1GB hugepages=0:1,1:2,", {G1: [1, 2]}),  # memparse ends at the G
        ("hugepagesz=0x40000000 hugepages=2 hugepagesz=2097152 hugepages=6", {G1: [1, 1], M2: [3, 3]}),
    ],
)
def test_each_number_is_of_the_size_before_it(cmdline: str, pages: dict[int, list[int | None]]) -> None:
    found = boot_huge_pages(CommandLine(cmdline), 2)
    assert {size: [found[node].get(size) for node in (0, 1)] for size in pages} == pages
    assert {size for node in found.values() for size in node} == set(pages)


@pytest.mark.parametrize("wrong", ["hugepagesz=3M", "hugepagesz=1G hugepages=many", "hugepages=0:x", "hugepages=2:1"])
def test_what_the_kernel_would_not_take(wrong: str) -> None:
    with pytest.raises(InputError, match="hugepages"):
        boot_huge_pages(CommandLine(wrong), 2)


def test_a_machine_reserves_what_fits_the_largest_first() -> None:
    machine = Topology.regular(1, 2, numa_nodes=1, memory_mib=2048 + 1)
    (node,) = machine.with_huge_pages({0: {M2: 600, G1: 1}}).numa_nodes
    assert node.pages == {G1: 1, M2: 512, 4: 256}


def placed(cmdline: str) -> Placement:
    flavor = {"ram": 2048, "vcpus": 2, "disk": 1, "properties": {"hw:mem_page_size": "1GB"}}
    host = {"topology": {"sockets": 2, "cores": 2, "numa_nodes": 2}, "kernel": {"cmdline": cmdline}}
    scenario = Scenario.of({"host": host, "guests": [{"name": "g", "flavor": flavor}], "duration": "1 ms"})
    (guest,) = guests_of(scenario, Host.of(scenario.model.host, scenario.folder, scenario.source))
    return guest.placement


def test_nova_gives_a_guest_the_pages_that_the_command_line_reserves() -> None:
    assert dict(placed("hugepagesz=1G hugepages=4").huge_pages) == {0: G1}
    with pytest.raises(NovaRefusal):
        placed("hugepagesz=1G hugepages=2")  # one on each node
