"""Hosts and guests in few words, for tables of cases."""

from __future__ import annotations

from typing import Any

from rtsim.nova import ComputeHost, Flavor, NovaConf, Placement, Release
from rtsim.nova.cell import HostCell, PagePool, assigned_cores
from rtsim.nova.cpuspec import rebuilt


def a_cell(
    siblings: list[list[int]],
    *,
    number: int = 0,
    shared: list[int] | None = None,
    dedicated: list[int] | None = None,
    used: tuple[int, ...] = (),
    memory_mib: int = 8192,
    pages: dict[int, int] | None = None,
    **extra: Any,
) -> HostCell:
    """A host cell; all CPUs dedicated, all memory in 4 KiB pages, unless said otherwise."""
    cpus = [cpu for core in siblings for cpu in core]
    pools = {4: memory_mib * 256} if pages is None else pages
    return HostCell(
        number,
        rebuilt(set(shared or [])),
        rebuilt(set(cpus if dedicated is None else dedicated)),
        assigned_cores([tuple(core) for core in siblings]),
        memory_mib,
        [PagePool(size, total) for size, total in pools.items()],
        pinned=set(used),
        **extra,
    )


def a_flavor(vcpus: int = 4, memory_mib: int = 1024, **specs: str) -> Flavor:
    """A flavor; keys without prefix are ``hw:`` extra specs, ``numa_cpus_0`` means ``hw:numa_cpus.0``."""
    named = {
        f"hw:{key.replace('numa_cpus_', 'numa_cpus.').replace('numa_mem_', 'numa_mem.')}": specs[key] for key in specs
    }
    return Flavor("test", vcpus, memory_mib, 1, named)


def placed(cells: list[HostCell], flavor: Flavor, release: str = "2026.2", **options: Any) -> Placement:
    """Place on a host of these cells."""
    conf = options.pop("conf", None) or NovaConf()
    return ComputeHost(cells, conf, Release.parse(release)).place(flavor, **options)


def pins(placement: Placement) -> list[int]:
    """The pinned CPUs, by vCPU."""
    return [placement.vcpu_pins[vcpu][0] for vcpu in sorted(placement.pinned)]
