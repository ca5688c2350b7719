"""What the hardware is: a machine of NUMA nodes, sockets, cores and threads. A *CPU* is one hardware thread.

A `Topology` keeps what the operating system reported in the order it was reported, because Nova's choices depend on
that order; the networkx graph is a view of the same facts for questions about structure.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rtsim.inputs.cpulist import MAX_CPUS, format_cpulist
from rtsim.inputs.errors import InputError

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["Cpu", "NumaNode", "Topology"]

KIB_PER_CPU = 4 * 1024 * 1024
"""Memory of a regular machine where none is given: 4 GiB a CPU."""


@dataclass(frozen=True)
class Cpu:
    """One hardware thread, with the numbers of the operating system."""

    id: int
    numa_node: int
    socket: int
    die: int
    core: int
    """Core number within its socket and die."""
    siblings: tuple[int, ...]
    """The CPUs of its core, itself included, in the order written; empty where the file does not say."""


@dataclass(frozen=True)
class NumaNode:
    """One NUMA node (libvirt and Nova: cell)."""

    id: int
    memory_kib: int
    pages: Mapping[int, int] = field(hash=False)
    """Page size in KiB -> pages of that size."""
    cpus: tuple[Cpu, ...]
    """In the order of the file."""
    distances: Mapping[int, int] = field(default_factory=dict, hash=False)
    """NUMA node -> distance, 10 to itself."""


@dataclass(frozen=True)
class Topology:
    """A machine. Read one with ``read_capabilities`` and its like, or make one with `Topology.regular`."""

    numa_nodes: tuple[NumaNode, ...]
    caches: tuple[tuple[int, ...], ...] = ()
    """CPUs that share a last-level cache, a tuple a cache; empty: unknown."""

    @classmethod
    def regular(
        cls,
        sockets: int = 1,
        cores: int = 1,
        threads: int = 1,
        *,
        numa_nodes: int = 1,
        memory_mib: int | None = None,
        numbering: str = "spread",
    ) -> Topology:
        """Return a machine of `sockets` x `cores` x `threads`.

        Parameters
        ----------
        numa_nodes
            Nodes of the whole machine; they divide its cores evenly.
        memory_mib
            Memory of the whole machine; by default 4 GiB a CPU.
        numbering
            ``spread``: siblings are c, c + N, ... for N cores, as Linux numbers them on servers;
            ``adjacent``: siblings are consecutive numbers.

        Raises
        ------
        InputError
            A count below one or beyond `MAX_CPUS` CPUs, nodes that do not divide the cores, another numbering.
        """
        counts = {"sockets": sockets, "cores": cores, "threads": threads, "numa_nodes": numa_nodes}
        for name, count in counts.items():
            if not 1 <= count <= MAX_CPUS:
                raise InputError("topology", name, f"expected 1 to {MAX_CPUS}, found {count}")
        n_cores = sockets * cores
        n_cpus = n_cores * threads
        if n_cpus > MAX_CPUS:
            raise InputError("topology", "", f"expected at most {MAX_CPUS} CPUs, found {n_cpus}")
        if n_cores % numa_nodes:
            raise InputError("topology", "numa_nodes", f"expected a divisor of {n_cores} cores, found {numa_nodes}")
        if numbering not in ("spread", "adjacent"):
            raise InputError("topology", "numbering", f"expected spread or adjacent, found {numbering!r}")
        if memory_mib is not None and memory_mib < 0:
            raise InputError("topology", "memory_mib", f"expected 0 or more, found {memory_mib}")
        memory_kib = n_cpus * KIB_PER_CPU if memory_mib is None else memory_mib * 1024

        def siblings(core: int) -> tuple[int, ...]:
            if numbering == "spread":
                return tuple(core + thread * n_cores for thread in range(threads))
            return tuple(core * threads + thread for thread in range(threads))

        def node(number: int) -> NumaNode:
            per_node = n_cores // numa_nodes
            cpus = [
                Cpu(cpu, number, core // cores, 0, core % cores, siblings(core))
                for core in range(number * per_node, (number + 1) * per_node)
                for cpu in siblings(core)
            ]
            share = memory_kib // numa_nodes
            pages = {4: share // 4, 2048: 0, 1048576: 0}
            distances = {other: 10 if other == number else 21 for other in range(numa_nodes)}
            return NumaNode(number, share, pages, tuple(sorted(cpus, key=lambda cpu: cpu.id)), distances)

        return cls(tuple(node(number) for number in range(numa_nodes)))

    def with_huge_pages(self, pages: Mapping[int, Mapping[int, int]]) -> Topology:
        """Return the machine with huge pages, node -> size in KiB -> pages: the largest first, as many as fit."""
        return replace(self, numa_nodes=tuple(_reserved(node, pages.get(node.id, {})) for node in self.numa_nodes))

    @cached_property
    def cpus(self) -> tuple[Cpu, ...]:
        """All CPUs, sorted by number."""
        return tuple(sorted((cpu for node in self.numa_nodes for cpu in node.cpus), key=lambda cpu: cpu.id))

    @cached_property
    def cpu_ids(self) -> tuple[int, ...]:
        """The numbers of all CPUs, sorted."""
        return tuple(cpu.id for cpu in self.cpus)

    def cpu(self, number: int) -> Cpu:
        """Return the CPU of that number.

        Raises
        ------
        InputError
            There is none.
        """
        if number not in self._by_id:
            raise InputError("topology", f"CPU {number}", f"expected one of {format_cpulist(self.cpu_ids)}")
        return self._by_id[number]

    def siblings(self, number: int) -> tuple[int, ...]:
        """Return the CPUs of the core of CPU `number`, itself included."""
        return self.cpu(number).siblings or (number,)

    def llc(self, number: int) -> tuple[int, ...]:
        """Return the CPUs that share the last-level cache of CPU `number`, sorted.

        Where the file does not tell: the CPUs of its socket within its NUMA node.
        """
        own = self.cpu(number)
        for cache in self.caches:
            if number in cache:
                return cache
        place = (own.numa_node, own.socket)
        return tuple(cpu.id for cpu in self.cpus if (cpu.numa_node, cpu.socket) == place)

    @cached_property
    def memory_kib(self) -> int:
        """Memory of the machine."""
        return sum(node.memory_kib for node in self.numa_nodes)

    @cached_property
    def graph(self) -> nx.DiGraph[str]:
        """The tree machine > NUMA node > socket > core > thread.

        Nodes are named ``machine``, ``numa0``, ``numa0/socket0``, ``numa0/socket0/core3`` (a die other than 0 shows
        as ``die1/core3``) and ``cpu5``. Attributes: ``kind`` (machine, numa, socket, core, thread) and ``id``; NUMA
        nodes also ``memory_kib`` and ``pages``, threads ``numa_node``, ``socket``, ``die``, ``core``. A socket that
        spans NUMA nodes appears in each.
        """
        import networkx as nx  # a quarter of a second that most commands do not need

        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_node("machine", kind="machine", id=0)
        for node in self.numa_nodes:
            numa = f"numa{node.id}"
            graph.add_node(numa, kind="numa", id=node.id, memory_kib=node.memory_kib, pages=dict(node.pages))
            graph.add_edge("machine", numa)
            for cpu in node.cpus:
                _add_cpu(graph, numa, cpu)
        return graph

    @cached_property
    def _by_id(self) -> dict[int, Cpu]:
        return {cpu.id: cpu for cpu in self.cpus}

    def cores(self) -> list[tuple[int, ...]]:
        """Return the CPUs of each core, cores ordered by their first CPU."""
        return sorted({tuple(sorted(self.siblings(cpu.id))) for cpu in self.cpus})

    def __repr__(self) -> str:
        sockets = len({cpu.socket for cpu in self.cpus})
        return (
            f"<Topology: {_count(len(self.cpus), 'CPU')} in {_count(len(self.cores()), 'core')}, "
            f"{_count(sockets, 'socket')}, {_count(len(self.numa_nodes), 'NUMA node')}, "
            f"{self.memory_kib / 1024**2:.4g} GiB>"
        )

    def _repr_html_(self) -> str:
        """Return a table with a row a socket of a NUMA node and a cell a core that lists its threads."""
        rows = []
        for node in self.numa_nodes:
            sockets = sorted({cpu.socket for cpu in node.cpus})
            for socket in sockets:
                ids = {cpu.id for cpu in node.cpus if cpu.socket == socket}
                cores = [core for core in self.cores() if core[0] in ids]
                cells = "".join(f"<td>{'<br>'.join(map(str, core))}</td>" for core in cores)
                memory = f"{node.memory_kib / 1024**2:.4g} GiB"
                rows.append(f"<tr><th>NUMA {node.id}<br>{memory}</th><th>socket {socket}</th>{cells}</tr>")
        return f"<table><caption>{html.escape(repr(self))}</caption>{''.join(rows)}</table>"


def _add_cpu(graph: nx.DiGraph[str], numa: str, cpu: Cpu) -> None:
    socket = f"{numa}/socket{cpu.socket}"
    core = f"{socket}/die{cpu.die}/core{cpu.core}" if cpu.die else f"{socket}/core{cpu.core}"
    place: dict[str, Any] = {"numa_node": cpu.numa_node, "socket": cpu.socket, "die": cpu.die, "core": cpu.core}
    graph.add_node(socket, kind="socket", id=cpu.socket)
    graph.add_node(core, kind="core", id=cpu.core)
    graph.add_node(f"cpu{cpu.id}", kind="thread", id=cpu.id, **place)
    graph.add_edges_from([(numa, socket), (socket, core), (core, f"cpu{cpu.id}")])


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def distances_of(rows: Iterable[Iterable[int]], ids: Iterable[int]) -> dict[int, dict[int, int]]:
    """Return NUMA node -> (NUMA node -> distance) from a matrix in the order of `ids`."""
    order = list(ids)
    return {node: dict(zip(order, row, strict=False)) for node, row in zip(order, rows, strict=False)}


def _reserved(node: NumaNode, wanted: Mapping[int, int]) -> NumaNode:
    pages, free = dict(node.pages), node.memory_kib
    for size in sorted(wanted, reverse=True):
        pages[size] = min(wanted[size], free // size)
        free -= pages[size] * size
    return replace(node, pages={**pages, 4: free // 4})
