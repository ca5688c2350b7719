"""A topology answers who is sibling of whom, who shares a cache, and shows itself."""

import pickle

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtsim.inputs.errors import InputError
from rtsim.topology import Topology


def test_spread_numbering_is_that_of_servers():
    topology = Topology.regular(sockets=2, cores=8, threads=2, numa_nodes=2)
    assert topology.siblings(17) == (1, 17)
    assert [cpu.id for cpu in topology.numa_nodes[1].cpus] == [*range(8, 16), *range(24, 32)]
    assert topology.llc(0) == (*range(8), *range(16, 24))
    assert (topology.cpu(9).socket, topology.cpu(9).core) == (1, 1)


def test_adjacent_numbering():
    topology = Topology.regular(cores=2, threads=2, numbering="adjacent")
    assert topology.cores() == [(0, 1), (2, 3)]


def test_memory_is_split_over_nodes():
    topology = Topology.regular(sockets=2, cores=2, numa_nodes=2, memory_mib=4096)
    assert [node.memory_kib for node in topology.numa_nodes] == [2 * 1024**2] * 2
    assert topology.numa_nodes[0].pages[4] * 4 == 2 * 1024**2
    assert topology.memory_kib == 4 * 1024**2


shapes = st.tuples(st.integers(1, 4), st.integers(1, 8), st.integers(1, 4), st.sampled_from(["spread", "adjacent"]))


@given(shapes)
def test_every_cpu_is_in_one_core_of_one_node(shape):
    sockets, cores, threads, numbering = shape
    topology = Topology.regular(sockets, cores, threads, numa_nodes=sockets, numbering=numbering)
    n = sockets * cores * threads
    assert topology.cpu_ids == tuple(range(n))
    assert sorted(cpu for core in topology.cores() for cpu in core) == list(range(n))
    assert all(len(core) == threads for core in topology.cores())


@given(shapes)
def test_the_graph_is_a_tree_from_machine_to_threads(shape):
    sockets, cores, threads, numbering = shape
    graph = Topology.regular(sockets, cores, threads, numa_nodes=sockets, numbering=numbering).graph
    assert nx.is_arborescence(graph)
    kinds = nx.get_node_attributes(graph, "kind")
    assert [node for node in graph if graph.in_degree(node) == 0] == ["machine"]
    leaves = [node for node in graph if graph.out_degree(node) == 0]
    assert {kinds[leaf] for leaf in leaves} == {"thread"}
    assert len(leaves) == sockets * cores * threads
    path = nx.shortest_path(graph, "machine", "cpu0")
    assert [kinds[node] for node in path] == ["machine", "numa", "socket", "core", "thread"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cores": 0}, "topology: cores: expected 1 to 8192, found 0"),
        ({"sockets": 100, "cores": 100}, "topology: expected at most 8192 CPUs, found 10000"),
        ({"cores": 3, "numa_nodes": 2}, "topology: numa_nodes: expected a divisor of 3 cores, found 2"),
        ({"numbering": "random"}, "topology: numbering: expected spread or adjacent, found 'random'"),
        ({"memory_mib": -1}, "topology: memory_mib: expected 0 or more, found -1"),
    ],
)
def test_impossible_machines(arguments, message):
    with pytest.raises(InputError) as refused:
        Topology.regular(**arguments)
    assert str(refused.value) == message


def test_unknown_cpu():
    with pytest.raises(InputError, match="CPU 9: expected one of 0-3"):
        Topology.regular(cores=4).cpu(9)


def test_it_shows_itself():
    topology = Topology.regular(sockets=2, cores=2, threads=2, numa_nodes=2, memory_mib=8192)
    assert repr(topology) == "<Topology: 8 CPUs in 4 cores, 2 sockets, 2 NUMA nodes, 8 GiB>"
    assert "<td>3<br>7</td>" in topology._repr_html_()


def test_it_travels_to_other_processes():
    topology = Topology.regular(cores=2)
    assert topology.graph is not None
    assert pickle.loads(pickle.dumps(topology)) == topology
