"""Scheduling domains: equal to those of recorded kernels, and to the groups that kernel/sched/topology.c works out."""

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtsim.inputs.errors import InputError
from rtsim.topology import Topology, scheduling_domains

RECORDED = Path("data/recorded")


def recorded_domains(folder):
    """Return CPU -> [(name, flags), ...] as /sys/kernel/debug/sched/domains had them."""
    found = {}
    for line in (RECORDED / folder / "sysinfo" / "sched_domains").read_text().splitlines():
        match = re.fullmatch(r".*/cpu(\d+)/domain(\d+) (\w+) flags=(.*?) *", line)
        found.setdefault(int(match[1]), []).append((match[3], frozenset(match[4].split())))
    return found


@pytest.mark.parametrize(
    ("folder", "series", "nodes", "isolated"),
    [
        ("kernel-6.1-cfs-4cpu", (6, 1), 1, set()),
        ("kernel-6.12-eevdf-4cpu", (6, 12), 1, set()),
        ("kernel-6.1-isolated", (6, 1), 1, {3}),
        ("kernel-6.12-isolated", (6, 12), 1, {3}),
        ("kernel-6.1-cfs-8cpu", (6, 1), 2, set()),
        ("kernel-6.12-eevdf-8cpu", (6, 12), 2, set()),
    ],
)
def test_recorded_kernels_have_these_domains(folder, series, nodes, isolated):
    topology = Topology.regular(sockets=nodes, cores=2, threads=2, numa_nodes=nodes, numbering="adjacent")
    domains = scheduling_domains(topology, set(topology.cpu_ids) - isolated, series=series)
    assert {cpu: [(each.name, each.flags) for each in own] for cpu, own in domains.items()} == recorded_domains(folder)


def shape(topology, cpu, cpus=None, series=(6, 12)):
    domains = scheduling_domains(topology, cpus, series=series)
    return [(each.name, [sorted(group) for group in each.groups]) for each in domains.get(cpu, ())]


def with_distances(topology, matrix):
    nodes = [
        replace(node, distances={other.id: matrix[node.id][other.id] for other in topology.numa_nodes})
        for node in topology.numa_nodes
    ]
    return Topology(tuple(nodes), topology.caches)


def test_two_sockets_of_two_caches_each():
    regular = Topology.regular(sockets=2, cores=4, numa_nodes=2)
    topology = Topology(regular.numa_nodes, ((0, 1), (2, 3), (4, 5), (6, 7)))
    expected = [("MC", [[1], [0]]), ("PKG", [[0, 1], [2, 3]]), ("NUMA", [[0, 1, 2, 3], [4, 5, 6, 7]])]
    assert shape(topology, 1) == expected
    assert [name for name, _ in shape(topology, 1, series=(6, 6))] == ["MC", "DIE", "NUMA"]


def test_numbers_of_each_level():
    topology = Topology.regular(sockets=2, cores=4, threads=2, numa_nodes=2)
    smt, mc, numa = scheduling_domains(topology)[0]
    assert [each.imbalance_pct for each in (smt, mc, numa)] == [110, 117, 117]
    assert [each.cache_nice_tries for each in (smt, mc, numa)] == [0, 1, 2]
    assert [(each.min_interval_ms, each.max_interval_ms) for each in (smt, mc, numa)] == [(2, 4), (8, 16), (16, 32)]
    assert {each.busy_factor for each in (smt, mc, numa)} == {16}


@pytest.mark.parametrize(
    ("machine", "tolerated", "why"),
    [
        ({"sockets": 2, "cores": 2, "threads": 2, "numa_nodes": 2}, 1, "an eighth of a node's 4 CPUs, at least one"),
        ({"sockets": 2, "cores": 16, "threads": 2, "numa_nodes": 2}, 4, "an eighth of 32: each node has one cache"),
        ({"sockets": 1, "cores": 4}, 0, "there are no nodes"),
    ],
)
def test_how_unequal_nodes_may_be(machine, tolerated, why):
    assert scheduling_domains(Topology.regular(**machine))[0][-1].imb_numa_nr == tolerated, why


def test_nodes_of_several_caches_may_differ_by_a_task_a_cache():
    regular = Topology.regular(sockets=2, cores=8, numa_nodes=2)
    topology = Topology(regular.numa_nodes, tuple(tuple(range(first, first + 4)) for first in range(0, 16, 4)))
    assert [each.imb_numa_nr for each in scheduling_domains(topology)[0]] == [0, 2, 2]


def test_isolation_does_not_shorten_the_interval():
    topology = Topology.regular(cores=4)
    (domain,) = scheduling_domains(topology, {0, 1})[0]
    assert (domain.span, domain.min_interval_ms) == ({0, 1}, 4)


def test_a_core_with_one_thread_left_has_no_domain_of_threads():
    topology = Topology.regular(cores=2, threads=2, numbering="adjacent")
    assert shape(topology, 2, {0, 1, 2}) == [("MC", [[2], [0, 1]])]


def test_isolated_cpus_have_no_domain_and_a_single_one_neither():
    topology = Topology.regular(cores=4)
    assert shape(topology, 3, {0, 1, 2}) == []
    assert shape(topology, 3, {3}) == []
    assert shape(Topology.regular(), 0) == []


def test_nodes_within_a_package_replace_the_package():
    topology = Topology.regular(cores=4, numa_nodes=2)
    topology = Topology(topology.numa_nodes, ((0, 1, 2, 3),))  # one cache over both nodes: cut at the node
    assert shape(topology, 2) == [("MC", [[2], [3]]), ("NUMA", [[2, 3], [0, 1]])]


# The four nodes in a row of build_overlap_sched_groups' comment, one CPU a node; groups that would reach out of their
# domain are taken one level lower (find_descended_sibling).
ROW = [[10, 20, 30, 40], [20, 10, 20, 30], [30, 20, 10, 20], [40, 30, 20, 10]]
ROW_GROUPS = {
    0: [[[0], [1]], [[0, 1], [2]], [[0, 1, 2], [1, 2, 3]]],
    1: [[[1], [2], [0]], [[0, 1, 2], [2, 3]]],
    2: [[[2], [3], [1]], [[1, 2, 3], [0, 1]]],
    3: [[[3], [2]], [[2, 3], [1]], [[1, 2, 3], [0, 1, 2]]],
}


@pytest.mark.parametrize(("cpu", "expected"), ROW_GROUPS.items())
def test_nodes_in_a_row(cpu, expected):
    topology = with_distances(Topology.regular(sockets=4, numa_nodes=4), ROW)
    assert shape(topology, cpu) == [("NUMA", groups) for groups in expected]


def test_far_nodes_are_balanced_to_only_periodically():
    topology = with_distances(Topology.regular(sockets=2, cores=2, numa_nodes=2), [[10, 31], [31, 10]])
    far = scheduling_domains(topology)[0][-1]
    assert not far.flags & {"SD_BALANCE_EXEC", "SD_BALANCE_FORK", "SD_WAKE_AFFINE"}
    assert {"SD_BALANCE_NEWIDLE", "SD_NUMA", "SD_SERIALIZE"} <= far.flags


def test_cpus_that_do_not_exist():
    with pytest.raises(InputError, match="expected CPUs of 0-3, found 4-5"):
        scheduling_domains(Topology.regular(cores=4), {3, 4, 5})


@given(
    st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 2)),
    st.booleans(),
    st.sets(st.integers(0, 23), min_size=1),
)
def test_domains_grow_and_their_groups_cover_them(machine, nodes, chosen):
    sockets, cores, threads = machine
    topology = Topology.regular(sockets, cores, threads, numa_nodes=sockets if nodes else 1)
    cpus = chosen & set(topology.cpu_ids) or {0}
    for cpu, domains in scheduling_domains(topology, cpus).items():
        spans = [{cpu}, *(domain.span for domain in domains)]
        assert all(small < large for small, large in pairwise(spans))
        assert len(cpus) == 1 or spans[-1] == cpus
        for domain in domains:
            assert frozenset().union(*domain.groups) == domain.span
            assert cpu in domain.groups[0]
            assert "SD_OVERLAP" in domain.flags or sum(map(len, domain.groups)) == len(domain.span)
