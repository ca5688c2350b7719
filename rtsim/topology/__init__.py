"""What the hardware is: the machine as NUMA nodes, sockets, cores and threads, and the readers of its descriptions."""

from rtsim.topology.capabilities import capabilities_from_text, read_capabilities
from rtsim.topology.domains import SchedDomain, scheduling_domains
from rtsim.topology.hwloc import read_hwloc
from rtsim.topology.lscpu import read_lscpu
from rtsim.topology.sysfs import read_sysfs
from rtsim.topology.topology import Cpu, NumaNode, Topology

__all__ = [
    "Cpu",
    "NumaNode",
    "SchedDomain",
    "Topology",
    "capabilities_from_text",
    "read_capabilities",
    "read_hwloc",
    "read_lscpu",
    "read_sysfs",
    "scheduling_domains",
]
