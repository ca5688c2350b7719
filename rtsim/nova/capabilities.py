"""From libvirt's host capabilities and ``nova.conf`` to the host cells the compute node reports.

Nova collects each cell's sibling lists in a set of tuples and then sorts sets, which sorts nothing: cores end up in
the order of tuple hashes. The same sets are built here, so that the order comes out the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rtsim.nova.cell import HostCell, PagePool, assigned_cores
from rtsim.nova.conf import NovaConf
from rtsim.nova.cpuspec import rebuilt
from rtsim.nova.errors import refuse
from rtsim.nova.python2 import set_order, tuple_set_order
from rtsim.nova.rules import Release, Rules

__all__ = ["CapabilitiesCell", "CapabilitiesCpu", "host_cells"]


@dataclass(frozen=True, slots=True)
class CapabilitiesCpu:
    """One ``<cpu>`` of the capabilities; `siblings` in the order written."""

    id: int
    siblings: tuple[int, ...]
    socket: int | None = 0
    core: int = 0


@dataclass(frozen=True, slots=True)
class CapabilitiesCell:
    """One NUMA cell of the capabilities, in the order written."""

    id: int
    memory_kib: int
    cpus: tuple[CapabilitiesCpu, ...]
    pages: tuple[tuple[int, int], ...] = field(default=())
    """(size in KiB, pages)."""


def host_cells(
    cells: Sequence[CapabilitiesCell], conf: NovaConf, release: Release, online: set[int] | None = None
) -> list[HostCell]:
    """Return the cells a compute node reports for these capabilities and this configuration, unused.

    Raises
    ------
    NovaRefusal
        ``Invalid``: a configured CPU set that is no list or names CPUs that are not online.
    """
    if online is None:
        online = {cpu.id for cell in cells for cpu in cell.cpus}
    rules = release.rules
    reserved = conf.reserved_pages()
    shared = available_shared(conf, rules, online)
    dedicated = _available_dedicated(conf, rules, online)
    only_shared = conf.cpu_shared_set and not conf.vcpu_pin_set and rules.separate_cpu_sets
    if not dedicated and not only_shared:
        dedicated = shared
    return [_host_cell(cell, shared, dedicated, reserved, release) for cell in cells]


def _host_cell(
    cell: CapabilitiesCell,
    shared: set[int],
    dedicated: set[int],
    reserved: dict[tuple[int, float], int],
    release: Release,
) -> HostCell:
    cpus = {cpu.id for cpu in cell.cpus}
    sockets = {cpu.socket for cpu in cell.cpus}
    mine_shared, mine_dedicated = cpus & shared, cpus & dedicated
    cpus &= shared | dedicated
    if release.python2:
        cores = [core & cpus for core in _cores_of_python2(cell)]
        if not release.rules.cores_without_siblings:
            cores = [core for core in cores if len(core) > 1]
            # Without threads there are no siblings; each free CPU is then a core, in the order of the CPU set.
            cores = cores or [{cpu} for cpu in set_order(mine_dedicated)]
    else:
        lists = {tuple(set(cpu.siblings)) for cpu in cell.cpus}
        cores = [core & cpus for core in sorted(set(siblings) for siblings in lists)]
    return HostCell(
        cell.id,
        rebuilt(mine_shared),
        rebuilt(mine_dedicated),
        assigned_cores([tuple(core) for core in cores if core], listed=False),
        int(cell.memory_kib / 1024),
        [PagePool(size, total, 0, reserved.get((cell.id, size), 0)) for size, total in cell.pages],
        socket=next(iter(sockets)) if len(sockets) == 1 and release.rules.cells_know_socket else None,
    )


def _cores_of_python2(cell: CapabilitiesCell) -> list[set[int]]:
    return [set(siblings) for siblings in tuple_set_order([tuple(set_order(set(cpu.siblings))) for cpu in cell.cpus])]


def available_shared(conf: NovaConf, rules: Rules, online: set[int]) -> set[int]:
    """Return the CPUs for floating vCPUs (and, on hosts configured the old way, for all).

    Raises
    ------
    NovaRefusal
        ``Invalid``: as configured, some are not online.
    """
    if not rules.separate_cpu_sets:
        return (conf.legacy_cpus() or online) & online
    if conf.vcpu_pin_set:
        option, cpus = "vcpu_pin_set", conf.legacy_cpus()
    elif conf.cpu_shared_set:
        option, cpus = "[compute] cpu_shared_set", conf.shared_cpus()
    elif conf.cpu_dedicated_set:
        return set()
    else:
        return online
    assert cpus is not None
    if not cpus <= online:
        raise refuse(
            "Invalid",
            f"Invalid '{option}' config: one or more of the configured CPUs is not online. Online cpuset(s): "
            f"{sorted(online)}, configured cpuset(s): {sorted(cpus)}",
        )
    return cpus


def _available_dedicated(conf: NovaConf, rules: Rules, online: set[int]) -> set[int]:
    if not conf.cpu_dedicated_set or not rules.separate_cpu_sets:
        return set()
    cpus = conf.dedicated_cpus()
    assert cpus is not None
    if not cpus <= online:
        word = "available" if rules.unavailable_dedicated_text else "online"
        raise refuse(
            "Invalid",
            f"Invalid '[compute] cpu_dedicated_set' config: one or more of the configured CPUs is not {word}. "
            f"{word.capitalize()} cpuset(s): {sorted(online)}, configured cpuset(s): {sorted(cpus)}",
        )
    return cpus
