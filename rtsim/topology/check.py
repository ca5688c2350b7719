"""What every reader holds its topology against before handing it out."""

from __future__ import annotations

from rtsim.inputs.cpulist import MAX_CPUS
from rtsim.inputs.errors import InputError
from rtsim.topology.topology import Topology

__all__ = ["checked"]


def checked(topology: Topology, source: str) -> Topology:
    """Return `topology` if its facts agree with each other.

    Raises
    ------
    InputError
        No CPUs, a NUMA node or CPU number twice, or sibling lists that name unknown CPUs or leave out their own.
    """
    nodes = [node.id for node in topology.numa_nodes]
    if len(set(nodes)) != len(nodes):
        raise InputError(source, "", f"expected each NUMA node once, found node {_repeated(nodes)} twice")
    ids = [cpu.id for node in topology.numa_nodes for cpu in node.cpus]
    if not ids:
        raise InputError(source, "", "expected at least one CPU")
    known = set(ids)
    if len(known) != len(ids):
        raise InputError(source, "", f"expected each CPU once, found CPU {_repeated(ids)} twice")
    if max(ids) >= MAX_CPUS:
        raise InputError(source, "", f"expected CPU numbers below {MAX_CPUS}, found {max(ids)}")
    for cpu in topology.cpus:
        if cpu.siblings and cpu.id not in cpu.siblings:
            raise InputError(source, f"CPU {cpu.id}", f"expected itself among its siblings, found {cpu.siblings}")
        unknown = set(cpu.siblings) - known
        if unknown:
            raise InputError(source, f"CPU {cpu.id}", f"expected siblings that exist, found CPU {min(unknown)}")
    return topology


def _repeated(numbers: list[int]) -> int:
    return next(number for number in numbers if numbers.count(number) > 1)
