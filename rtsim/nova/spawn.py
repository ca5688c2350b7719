"""What the compute node tells libvirt about a fitted guest: pins, emulator, realtime, memory.

Some guests that were claimed fail here; those refusals have the stage ``xml``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rtsim.nova.capabilities import available_shared
from rtsim.nova.cell import HostCell
from rtsim.nova.conf import NovaConf
from rtsim.nova.constraints import GuestRequest, locked_memory
from rtsim.nova.cputopology import CpuTopology
from rtsim.nova.errors import at_stage, refuse
from rtsim.nova.flavor import Flavor
from rtsim.nova.guest import GuestCell
from rtsim.nova.placement import PlacedCell, Placement
from rtsim.nova.rules import Rules

__all__ = ["Spawn", "describe_guest"]


@dataclass(slots=True)
class Spawn:
    """The compute node a guest is spawned on."""

    host: Sequence[HostCell]
    conf: NovaConf
    rules: Rules
    online: set[int]


def describe_guest(
    node: Spawn,
    flavor: Flavor,
    image: Mapping[str, Any],
    request: GuestRequest,
    topology: CpuTopology,
) -> Placement:
    """Return the placement that Nova would write into the domain XML.

    Parameters
    ----------
    node
        The compute node.
    flavor, image
        The flavor, and the image's typed properties.
    request
        What the guest asks for; its NUMA cells are fitted.
    topology
        Sockets, cores and threads of the guest.

    Raises
    ------
    NovaRefusal
        Stage ``xml``: the CPU sets are not online, or the options contradict the guest.
    """
    conf, rules = node.conf, node.rules
    specs = flavor.extra_specs
    cells = request.numa.cells if request.numa else []
    with at_stage("xml"):
        floating = None
        if conf.vcpu_pin_set or (conf.cpu_shared_set and rules.separate_cpu_sets):
            floating = available_shared(conf, rules, node.online)
        pins, emulator = _pins(node, cells, request)
        _check_memory(conf, cells, request, rules)
        huge = _huge_pages(node.host, cells)
        shares, period, quota = _quota(specs, flavor.vcpus, conf, rules)
        locked = request.realtime or locked_memory(specs, image, rules)
        max_phys_addr = _max_phys_addr(specs, image) if rules.max_phys_addr else None
    emulator_cpus = tuple(sorted(emulator))
    if not cells:
        # Nova gives no pins: the guest floats over the shared set, or over the whole host.
        everywhere = tuple(sorted(node.online if floating is None else floating))
        pins = dict.fromkeys(range(flavor.vcpus), everywhere)
        emulator_cpus = everywhere
    rt_vcpus = tuple(sorted(request.rt_vcpus)) if request.rt_vcpus else ()
    return Placement(
        vcpus=flavor.vcpus,
        memory_kib=flavor.memory_mib * 1024,
        vcpu_pins=pins,
        pinned=frozenset([vcpu for cell in cells for vcpu in cell.pins]),
        emulator_cpus=emulator_cpus,
        rt_vcpus=rt_vcpus,
        rt_priority=conf.realtime_scheduler_priority if rt_vcpus else 0,
        cells=tuple(
            [
                PlacedCell(
                    cell.host_id,
                    tuple(sorted(cell.shared | cell.pinned)),
                    cell.memory_mib * 1024,
                    cell.page_size or None,
                )
                for cell in cells
            ]
        ),
        cpu_topology=None if _without_cpu(conf) else topology,
        iothreads={1: emulator_cpus} if rules.iothread_pinned and cells else {},
        cpu_shares=shares,
        cpu_quota=quota,
        cpu_period=period,
        locked=locked,
        nosharepages=request.realtime,
        file_backed=conf.file_backed_memory > 0,
        floating_cpus=tuple(sorted(floating)) if floating is not None and not cells else None,
        huge_pages=huge,
        shared_memory=any(cell.page_size and cell.page_size in _large_sizes(node.host) for cell in cells),
        cpu_mode=_cpu_mode(conf),
        max_phys_addr=max_phys_addr,
        tuned=bool(cells),
        name=flavor.name,
    )


def _pins(
    node: Spawn, cells: Sequence[GuestCell], request: GuestRequest
) -> tuple[dict[int, tuple[int, ...]], set[int]]:
    """Return each vCPU's CPUs, by vCPU, and the emulator's."""
    realtime = request.rt_vcpus or ()
    shared_pool = node.conf.shared_cpus() if cells and node.rules.emulator_share else None
    by_id = {cell.host_id: cell for cell in node.host}
    pins: dict[int, tuple[int, ...]] = {}
    emulator: set[int] = set()
    policy = request.numa.emulator_policy if request.numa else None
    for cell in cells:
        floating = by_id[cell.host_id].shared
        floating_cpus = tuple(sorted(floating))
        for vcpu in cell.shared | cell.pinned:
            pin = cell.pins.get(vcpu)
            pins[vcpu] = floating_cpus if pin is None else (pin,)
            if policy == "isolate":
                emulator |= cell.reserved or set()
            elif policy == "share" and shared_pool:
                emulator |= _online_pool(shared_pool, node.online, node.rules)
            elif vcpu not in realtime:
                emulator.update(pins[vcpu])
    return dict(sorted(pins.items())), emulator


def _online_pool(shared: set[int], online: set[int], rules: Rules) -> set[int]:
    pool = shared & online
    if not pool:
        text = (
            "Invalid cpu_shared_set config, one or more of the specified cpuset is not online. Online cpuset(s): "
            "%(online)s, requested cpuset(s): %(req)s"
        )
        values = {"online": sorted(online), "req": sorted(shared)}
        raise refuse("Invalid", text % values if rules.offline_pool_text else str((text, values)))
    return pool


def _check_memory(conf: NovaConf, cells: Sequence[GuestCell], request: GuestRequest, rules: Rules) -> None:
    if request.realtime and request.emulator_policy == "share" and rules.emulator_share and not conf.cpu_shared_set:
        raise refuse("RealtimeMaskNotFoundOrInvalid")
    if conf.file_backed_memory > 0 and any(cell.page_size for cell in cells):
        raise refuse("MemoryPagesUnsupported")


def _huge_pages(host: Sequence[HostCell], cells: Sequence[GuestCell]) -> tuple[tuple[int, int], ...]:
    """Return (guest cell, KiB) where pages larger than the smallest of the host's first cell were asked for."""
    if not any(cell.page_size for cell in cells):
        return ()
    smallest = sorted(pool.size_kib for pool in host[0].pages)[0]
    return tuple(
        [(number, cell.page_size) for number, cell in enumerate(cells) if cell.page_size and cell.page_size > smallest]
    )


def _large_sizes(host: Sequence[HostCell]) -> list[int]:
    """Return all page sizes of the first cell but the smallest."""
    return sorted(pool.size_kib for pool in host[0].pages)[1:]


def _quota(
    specs: Mapping[str, str], vcpus: int, conf: NovaConf, rules: Rules
) -> tuple[int | None, int | None, int | None]:
    if conf.virt_type not in ("lxc", "kvm", "qemu"):
        return None, None, None
    shares, period, quota = (
        int(specs[key]) if (key := f"quota:cpu_{name}") in specs else None for name in ("shares", "period", "quota")
    )
    if shares is None and rules.default_cpu_shares:
        shares = 1024 * vcpus
    return shares, period, quota


def _max_phys_addr(specs: Mapping[str, str], image: Mapping[str, Any]) -> tuple[str, int | None] | None:
    mode = specs.get("hw:maxphysaddr_mode") or image.get("hw_maxphysaddr_mode")
    bits = specs.get("hw:maxphysaddr_bits") or image.get("hw_maxphysaddr_bits")
    return (mode, int(bits) if bits else None) if mode else None


def _cpu_mode(conf: NovaConf) -> str | None:
    if conf.virt_type in ("kvm", "qemu") and conf.cpu_mode is None:
        return "host-model"
    return None if conf.cpu_mode == "none" else conf.cpu_mode


def _without_cpu(conf: NovaConf) -> bool:
    """Whether the guest gets no ``<cpu>`` at all, as containers."""
    return conf.virt_type not in ("kvm", "qemu") and conf.cpu_mode in (None, "none")
