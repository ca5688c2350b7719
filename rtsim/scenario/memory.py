"""The memory of a guest on its host: which page faults it can have, and how much slower remote memory makes it.

======================  ========================================================================================
pages that are missing  of guests
======================  ========================================================================================
first_touch             all. The host still has to allocate and clear the page unless memory is locked, or of huge
                        pages, which QEMU allocates before the guest starts
collapse                whose memory khugepaged may still make transparent huge pages of; locked memory was made so
                        when the guest started
numa_hint               on several nodes, bound to none of them, with ``kernel.numa_balancing``
ksm                     whose pages may be merged (no ``nosharepages``), with KSM switched on
swap                    not locked, on a host that reclaims memory
======================  ========================================================================================

Huge pages (hugetlbfs) are never moved, merged or swapped, so only first touches are left, one a page.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from rtsim.nova import Placement
from rtsim.profile import Arrival, CostEntry, MemoryFault
from rtsim.scenario.guests import Guest
from rtsim.scenario.host import Host

__all__ = ["VcpuFault", "contention", "faults_of", "memory_latency", "remote_share", "slowdown"]

SMALL_KIB, THP_KIB = 4, 2048
COMMITTED = Fraction(6, 5)
"""How full the memory is for which profiles give the rate of pages that are read from swap."""


@dataclass(frozen=True)
class VcpuFault:
    """A source of page faults of one vCPU."""

    vcpu: int
    fault: MemoryFault
    arrival: Arrival
    cost: CostEntry | None
    """What the host does beyond the exit; None: nothing."""


def faults_of(guest: Guest, host: Host) -> Iterator[VcpuFault]:
    """Yield what can make the guest's vCPUs miss pages, by the rules of this module."""
    for fault in host.profile.memory_faults:
        for vcpu in range(guest.placement.vcpus):
            realtime = vcpu in guest.placement.rt_vcpus
            if fault.vcpus == "all" or (fault.vcpus == "rt") == realtime:
                found = _of_vcpu(guest.placement, host, vcpu, fault)
                if found is not None:
                    yield found


def _of_vcpu(placement: Placement, host: Host, vcpu: int, fault: MemoryFault) -> VcpuFault | None:
    costs = host.profile.costs.page_fault
    pages_kib = _huge_page_kib(placement, vcpu)
    transparent = pages_kib is None and _transparent_hugepage(host) != "never"
    if fault.reason == "first_touch":
        size_kib = pages_kib or (THP_KIB if transparent else SMALL_KIB)
        missing = pages_kib is None and not placement.locked
        cost = (costs.huge if transparent else costs.small) if missing else None
        return VcpuFault(vcpu, fault, fault.arrival.slowed(size_kib // SMALL_KIB), cost)
    exists = {
        "collapse": transparent and not placement.locked,
        "numa_hint": _is_balanced(placement, host),
        "ksm": host.memory.ksm and not placement.nosharepages,
        "swap": host.memory.committed > 1 and not placement.locked,
    }
    if pages_kib is not None or not exists[fault.reason]:
        return None
    # khugepaged holds the lock that the fault needs while it copies; a hint fault only puts the page back
    cost = {"collapse": costs.huge, "numa_hint": None, "ksm": costs.small, "swap": costs.swap}[fault.reason]
    arrival = fault.arrival.slowed(1 / _swapping(host)) if fault.reason == "swap" else fault.arrival
    return VcpuFault(vcpu, fault, arrival, cost)


def _swapping(host: Host) -> Fraction:
    """Return how often a page is found swapped out, over how often it is at `COMMITTED`.

    Of the pages in use a share of ``1 - 1 / committed`` does not fit; each is as likely to be used next as any other.
    """
    return (1 - 1 / Fraction(host.memory.committed)) / (1 - 1 / COMMITTED)


def _huge_page_kib(placement: Placement, vcpu: int) -> int | None:
    """Return the size of the huge pages (hugetlbfs) behind a vCPU's memory, None without."""
    backed = dict(placement.huge_pages)
    number = next((number for number, cell in enumerate(placement.cells) if vcpu in cell.vcpus), 0)
    return backed.get(number)


def _transparent_hugepage(host: Host) -> str:
    """Return when the host makes huge pages; QEMU asks for them, so madvise is as good as always."""
    return host.memory.transparent_hugepage or host.kernel.command_line.value("transparent_hugepage") or "always"


def _is_balanced(placement: Placement, host: Host) -> bool:
    """Return whether NUMA balancing scans the guest: it leaves memory alone that is bound to a node."""
    bound = placement.memory_nodes or any(cell.host_id is not None for cell in placement.cells)
    return len(host.topology.numa_nodes) > 1 and bool(host.kernel.sysctl["numa_balancing"]) and not bound


# ---- slower memory ----------------------------------------------------------------------------------------------


def remote_share(guest: Guest, host: Host) -> float:
    """Return the share of the guest's memory accesses that go to another node, over its vCPUs.

    Memory that is bound is where it is bound; other memory lies on the nodes that the vCPUs may run on, evenly: that
    is where they touched it first.
    """
    placement, everywhere = guest.placement, host.topology.cpu_ids
    shares = []
    for vcpu in range(placement.vcpus):
        runs = {host.topology.cpu(cpu).numa_node for cpu in placement.vcpu_pins.get(vcpu) or everywhere}
        memory = _memory_nodes(placement, vcpu) or _nodes_of(placement, host)
        shares.append(1 - len(runs & memory) / (len(runs) * len(memory)))
    return sum(shares) / len(shares)


def _memory_nodes(placement: Placement, vcpu: int) -> frozenset[int]:
    """Return the nodes that the memory of a vCPU's cell is bound to."""
    cell = next((cell for cell in placement.cells if vcpu in cell.vcpus), None)
    if cell is not None and cell.host_id is not None:
        return frozenset({cell.host_id})
    return frozenset(placement.memory_nodes)


def _nodes_of(placement: Placement, host: Host) -> frozenset[int]:
    pins = [placement.vcpu_pins.get(vcpu) or host.topology.cpu_ids for vcpu in range(placement.vcpus)]
    return frozenset(host.topology.cpu(cpu).numa_node for cpus in pins for cpu in cpus)


def contention(host: Host) -> float:
    """Return the latency of memory under the bandwidth that others use, over that of idle memory.

    The waiting time of a queue with random arrivals and equal services (Pollaczek and Khinchine), 1 + r / (2 (1 - r)).
    """
    load = host.memory.bandwidth
    return 1 + load / (2 * (1 - load))


def memory_latency(host: Host, remote: float = 0.0) -> float:
    """Return the latency of memory of which a share `remote` is on another node, over that of idle memory at hand."""
    return contention(host) * (1 + remote * (host.profile.costs.numa_remote.value - 1))


def slowdown(host: Host, latency: float) -> float:
    """Return how much longer the kernel's steps take with memory of `latency`."""
    return 1 + host.profile.costs.memory_share.value * (latency - 1)
