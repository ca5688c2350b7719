"""What flavor and image together ask for, checked in Nova's order: the first thing wrong is the one reported.

The API checks the realtime mask, then the guest's CPU topology, then everything else; ``guest_request`` repeats that.
Its result is a fresh ``GuestTopology`` (or none: the guest floats), which fitting then fills in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rtsim.nova.cpuspec import parse_cpu_spec
from rtsim.nova.cputopology import CpuTopology, topology_limits
from rtsim.nova.errors import at_stage, refuse
from rtsim.nova.flavor import NUMA_NODES_MAX, POLICIES, THREAD_POLICIES, Flavor
from rtsim.nova.guest import GuestCell, GuestTopology
from rtsim.nova.rules import Rules
from rtsim.nova.values import PAGES_ANY, PAGES_LARGE, is_true, looks_like_int, page_size

__all__ = ["GuestRequest", "emulator_policy", "guest_request", "locked_memory", "realtime_enabled"]

EMULATOR_POLICIES = ("share", "isolate")
RESOURCE = {name: re.compile(rf"resources([1-9][0-9]*)?:{name}") for name in ("VCPU", "PCPU")}
TRAIT = re.compile(r"trait([1-9][0-9]*)?:HW_CPU_HYPERTHREADING")
NOT_A_SUBSET = {
    "realtime": (
        "Realtime policy vCPU(s) mask is configured with RT vCPUs that are not a subset of the vCPUs in the flavor. "
        "See hw:cpu_realtime_mask or hw_cpu_realtime_mask"
    ),
    "dedicated": (
        'Mixed instance dedicated vCPU(s) mask is not a subset of vCPUs in the flavor. See "hw:cpu_dedicated_mask"'
    ),
}


@dataclass(slots=True)
class GuestRequest:
    """What a guest asks for, once flavor and image are found consistent."""

    realtime: bool
    rt_vcpus: set[int] | None
    emulator_policy: str | None
    numa: GuestTopology | None
    topology: tuple[CpuTopology, CpuTopology]
    """The preferred and the largest sockets, cores and threads."""


def guest_request(flavor: Flavor, image: Mapping[str, Any], rules: Rules) -> GuestRequest:
    """Return what the guest asks for.

    Parameters
    ----------
    flavor
        The flavor.
    image
        Image properties, as typed by ``image_properties``.
    rules
        The release's rules.

    Raises
    ------
    NovaRefusal
        Stage ``api``, with the first thing wrong in Nova's order.
    """
    specs = flavor.extra_specs
    with at_stage("api"):
        rt_vcpus = _realtime_vcpus(flavor, image, rules) if rules.modern_check_order else None
        topology = topology_limits(specs, image)
        if rules.modern_check_order:
            numa = _numa_request(flavor, image, rt_vcpus, rules)
        else:
            numa, rt_vcpus = _early_numa_request(flavor, image, rules)
    return GuestRequest(realtime_enabled(specs), rt_vcpus, emulator_policy(specs, rules), numa, topology)


def realtime_enabled(specs: Mapping[str, str]) -> bool:
    """Return whether the flavor (the image has no say) wants realtime vCPUs."""
    return "hw:cpu_realtime" in specs and is_true(specs["hw:cpu_realtime"])


def emulator_policy(specs: Mapping[str, str], rules: Rules) -> str | None:
    """Return ``hw:emulator_threads_policy``: ``share``, ``isolate`` or none.

    Raises
    ------
    NovaRefusal
        ``InvalidEmulatorThreadsPolicy``.
    """
    policy = specs.get("hw:emulator_threads_policy")
    if not policy or not rules.emulator_isolate:
        return None
    if policy not in EMULATOR_POLICIES:
        raise refuse("InvalidEmulatorThreadsPolicy", requested=policy, available=EMULATOR_POLICIES)
    return policy


def _masked(mask: str, vcpus: int) -> set[int]:
    """Return a mask's vCPUs: with a leading ``^`` what is left of all, else what it lists."""
    return parse_cpu_spec(f"0-{vcpus - 1},{mask}" if mask.strip().startswith("^") else mask)


def _realtime_vcpus(flavor: Flavor, image: Mapping[str, Any], rules: Rules) -> set[int] | None:
    if not realtime_enabled(flavor.extra_specs):
        return None
    mask = image.get("hw_cpu_realtime_mask") or flavor.extra_specs.get("hw:cpu_realtime_mask")
    everyone = set(range(flavor.vcpus))
    chosen = _masked(mask, flavor.vcpus) if mask else everyone
    if not chosen:
        raise refuse("RealtimeMaskNotFoundOrInvalid")
    if chosen == everyone and not emulator_policy(flavor.extra_specs, rules):
        raise refuse("RealtimeMaskNotFoundOrInvalid")
    if chosen != everyone:
        emulator_policy(flavor.extra_specs, rules)  # a wrong policy is reported before a wrong mask
    if not chosen <= everyone:
        raise refuse("RealtimeMaskNotFoundOrInvalid", NOT_A_SUBSET["realtime"])
    return chosen


def _dedicated_vcpus(flavor: Flavor, rules: Rules) -> set[int] | None:
    mask = flavor.extra_specs.get("hw:cpu_dedicated_mask")
    if not mask or not rules.mixed_policy:
        return None
    pinned = _masked(mask, flavor.vcpus)
    everyone = set(range(flavor.vcpus))
    if not pinned or not everyone - pinned:
        raise refuse("InvalidMixedInstanceDedicatedMask")
    if not pinned <= everyone:
        raise refuse("InvalidMixedInstanceDedicatedMask", NOT_A_SUBSET["dedicated"])
    return pinned


def _cpu_policy(specs: Mapping[str, str], image: Mapping[str, Any], rules: Rules) -> str | None:
    """The flavor's word counts, unless only the image has one; it may not ask for more than the flavor."""
    wanted, from_image = specs.get("hw:cpu_policy"), image.get("hw_cpu_policy")
    known = POLICIES if rules.mixed_policy else POLICIES[:2]
    if wanted and wanted not in known:
        raise refuse("InvalidCPUAllocationPolicy", source="flavor extra specs", requested=wanted, available=known)
    if from_image == "dedicated" and wanted in ("mixed", "shared"):
        raise refuse("ImageCPUPinningForbidden")
    if from_image == "mixed" and wanted == "shared":
        raise refuse("ImageCPUPinningForbidden")
    return wanted or from_image or None


def _thread_policy(specs: Mapping[str, str], image: Mapping[str, Any]) -> str | None:
    wanted, from_image = specs.get("hw:cpu_thread_policy"), image.get("hw_cpu_thread_policy")
    if wanted and wanted not in THREAD_POLICIES:
        raise refuse(
            "InvalidCPUThreadAllocationPolicy",
            source="flavor extra specs",
            requested=wanted,
            available=THREAD_POLICIES,
        )
    if wanted is None:
        return from_image
    # An image that disagrees with a flavor's "prefer" is silently ignored.
    if wanted != "prefer" and from_image and from_image != wanted:
        raise refuse("ImageCPUThreadPolicyForbidden")
    return wanted


def _requested(specs: Mapping[str, str], name: str) -> int:
    total = 0
    for key, value in specs.items():
        if RESOURCE[name].match(key):
            try:
                total += int(value)
            except ValueError:
                continue
    return total


def _policy_by_resources(policy: str | None, emulator: str | None, flavor: Flavor) -> str | None:
    """``resources:PCPU`` and ``resources:VCPU`` are another way to say dedicated and shared."""
    if "resources" not in " ".join(flavor.extra_specs):
        return policy
    shared, pinned = _requested(flavor.extra_specs, "VCPU"), _requested(flavor.extra_specs, "PCPU")
    if policy and (shared or pinned):
        raise refuse(
            "InvalidRequest",
            "It is not possible to use the 'resources:VCPU' or 'resources:PCPU' extra specs in combination with the "
            "'hw:cpu_policy' extra spec or 'hw_cpu_policy' image metadata property; use one or the other",
        )
    if shared and pinned:
        raise refuse(
            "InvalidRequest",
            "It is not possible to specify both 'resources:VCPU' and 'resources:PCPU' extra specs; use one or the "
            "other",
        )
    if pinned:
        if emulator == "isolate" and pinned != flavor.vcpus + 1:
            raise refuse(
                "InvalidRequest",
                "You have requested 'hw:emulator_threads_policy=isolate' but have not requested sufficient PCPUs to "
                "handle this policy; you must allocate exactly flavor.vcpus + 1 PCPUs.",
            )
        if emulator != "isolate" and pinned != flavor.vcpus:
            raise refuse(
                "InvalidRequest",
                "There is a mismatch between the number of PCPUs requested via 'resourcesNN:PCPU' and the flavor); "
                "you must allocate exactly flavor.vcpus PCPUs",
            )
        policy = "dedicated"
    return "shared" if shared else policy


def _thread_policy_by_trait(policy: str | None, specs: Mapping[str, str], image: Mapping[str, Any]) -> str | None:
    traits = [value for key, value in specs.items() if key.startswith("trait") and TRAIT.match(key)]
    trait = traits[0] if traits else None
    if trait is None and "HW_CPU_HYPERTHREADING" in image.get("traits_required", ()):
        trait = "required"
    if policy and trait:
        raise refuse(
            "InvalidRequest",
            "It is not possible to use the 'trait:HW_CPU_HYPERTHREADING' extra spec in combination with the "
            "'hw:cpu_thread_policy' extra spec or 'hw_cpu_thread_policy' image metadata property; use one or the "
            "other",
        )
    if trait == "forbidden":
        return "isolate"
    return "require" if trait == "required" else policy


def _check_combination(
    policy: str | None, threads: str | None, emulator: str | None, dedicated: set[int] | None, realtime: set[int] | None
) -> None:
    if policy in ("shared", None):
        if threads:
            raise refuse("CPUThreadPolicyConfigurationInvalid")
        if emulator == "isolate":
            raise refuse("BadRequirementEmulatorThreadsPolicy")
        if dedicated:
            raise refuse("RequiredMixedInstancePolicy")
        if realtime:
            raise refuse("RealtimeConfigurationInvalid")
    elif policy == "dedicated":
        if dedicated:
            raise refuse("RequiredMixedInstancePolicy")
    elif bool(realtime) == bool(dedicated):
        raise refuse("RequiredMixedOrRealtimeCPUMask")


def _node_count(specs: Mapping[str, str], image: Mapping[str, Any]) -> int | None:
    wanted, from_image = specs.get("hw:numa_nodes"), image.get("hw_numa_nodes")
    if wanted and from_image:
        raise refuse("ImageNUMATopologyForbidden", name="hw_numa_nodes")
    nodes = wanted or from_image
    if nodes is None:
        return None
    if not looks_like_int(nodes) or int(nodes) < 1:
        raise refuse("InvalidNUMANodesNumber", nodes=nodes)
    return int(nodes)


def _page_size(specs: Mapping[str, str], image: Mapping[str, Any]) -> int | float | None:
    wanted, from_image = specs.get("hw:mem_page_size"), image.get("hw_mem_page_size")
    if not wanted:
        if from_image:
            raise refuse("MemoryPageSizeForbidden", pagesize=from_image, against="<empty>")
        return None
    size = page_size(wanted)
    if not from_image:
        return size
    if size not in (PAGES_ANY, PAGES_LARGE):
        raise refuse("MemoryPageSizeForbidden", pagesize=from_image, against=wanted)
    return page_size(from_image)


def locked_memory(specs: Mapping[str, str], image: Mapping[str, Any], rules: Rules) -> bool:
    """Return whether the guest's memory is to be locked by ``hw:locked_memory``.

    Raises
    ------
    NovaRefusal
        Flavor and image disagree, or no page size is asked for.
    """
    wanted, locked = specs.get("hw:locked_memory"), image.get("hw_locked_memory")
    if not rules.locked_memory:
        return False
    if wanted is not None:
        flavor = is_true(wanted)
        if locked is not None and locked != flavor:
            raise refuse("FlavorImageLockedMemoryConflict", image=locked, flavor=flavor)
        locked = flavor
    if locked and not (specs.get("hw:mem_page_size") or image.get("hw_mem_page_size")):
        raise refuse("LockMemoryForbidden")
    return bool(locked)


def _numa_request(
    flavor: Flavor, image: Mapping[str, Any], realtime: set[int] | None, rules: Rules
) -> GuestTopology | None:
    specs = flavor.extra_specs
    policy = _cpu_policy(specs, image, rules)
    threads = _thread_policy(specs, image)
    dedicated = _dedicated_vcpus(flavor, rules)
    emulator = emulator_policy(specs, rules)
    policy = _policy_by_resources(policy, emulator, flavor)
    threads = _thread_policy_by_trait(threads, specs, image)
    _check_combination(policy, threads, emulator, dedicated, realtime)
    if policy == "mixed":
        dedicated = dedicated or realtime
    nodes = _node_count(specs, image)
    pages = _page_size(specs, image)
    locked_memory(specs, image, rules)
    persistent = any(label.strip() for label in specs["hw:pmem"].split(",")) if "hw:pmem" in specs else False
    pinned = policy in ("dedicated", "mixed")
    if not (nodes or pages or persistent or pinned):
        return None
    if policy == "dedicated":
        dedicated = set(range(flavor.vcpus))
    cells = _guest_cells(flavor, image, nodes or 1, dedicated or set())
    if threads == "":
        raise ValueError("Field value  is invalid")
    for cell in cells:
        cell.page_size = None if pages is None else int(pages)
        cell.policy = policy
        cell.thread_policy = threads
    return GuestTopology(cells, emulator)


def _listed(specs: Mapping[str, str], key: str) -> list[str]:
    values: list[str] = []
    for node in range(NUMA_NODES_MAX):
        value = specs.get(f"{key}.{node}")
        if value is None:
            break
        values.append(value)
    return values


def _guest_cells(flavor: Flavor, image: Mapping[str, Any], nodes: int, dedicated: set[int]) -> list[GuestCell]:
    """Return the guest's cells: as listed in flavor or image, else split evenly."""
    cpus = [parse_cpu_spec(text) for text in _listed(flavor.extra_specs, "hw:numa_cpus")] or None
    if cpus and "hw_numa_cpus" in image:
        raise refuse("ImageNUMATopologyForbidden", name="hw_numa_cpus")
    memory = [int(text) for text in _listed(flavor.extra_specs, "hw:numa_mem")] or None
    if memory and "hw_numa_mem" in image:
        raise refuse("ImageNUMATopologyForbidden", name="hw_numa_mem")
    cpus = cpus or image.get("hw_numa_cpus")
    memory = memory or image.get("hw_numa_mem")
    if cpus is None and memory is None:
        return _even_cells(flavor, nodes, dedicated)
    if cpus is None or memory is None or len(cpus) != nodes or len(memory) != nodes:
        raise refuse("ImageNUMATopologyIncomplete")
    return _listed_cells(flavor, dedicated, cpus, memory)


def _even_cells(flavor: Flavor, nodes: int, dedicated: set[int]) -> list[GuestCell]:
    if flavor.vcpus % nodes or flavor.memory_mib % nodes:
        raise refuse("ImageNUMATopologyAsymmetric")
    per_cell = flavor.vcpus // nodes
    ranges = (set(range(node * per_cell, (node + 1) * per_cell)) for node in range(nodes))
    return [
        GuestCell(node, cpus - dedicated, cpus & dedicated, flavor.memory_mib // nodes)
        for node, cpus in enumerate(ranges)
    ]


def _listed_cells(flavor: Flavor, dedicated: set[int], cpus: list[set[int]], memory: list[int]) -> list[GuestCell]:
    free = set(range(flavor.vcpus))
    cells: list[GuestCell] = []
    for node, (wanted, size) in enumerate(zip(cpus, memory, strict=True)):
        for cpu in wanted:
            if cpu > flavor.vcpus - 1:
                raise refuse("ImageNUMATopologyCPUOutOfRange", cpunum=cpu, cpumax=flavor.vcpus - 1)
            if cpu not in free:
                raise refuse("ImageNUMATopologyCPUDuplicates", cpunum=cpu)
            free.remove(cpu)
        cells.append(GuestCell(node, wanted - dedicated, wanted & dedicated, size))
    if free:
        raise refuse("ImageNUMATopologyCPUsUnassigned", cpuset=free)
    if sum(memory) != flavor.memory_mib:
        raise refuse("ImageNUMATopologyMemoryOutOfRange", memsize=sum(memory), memtotal=flavor.memory_mib)
    return cells


def _early_numa_request(
    flavor: Flavor, image: Mapping[str, Any], rules: Rules
) -> tuple[GuestTopology | None, set[int] | None]:
    """Return what releases before Victoria made of it: nodes and pages first, and realtime always with a mask."""
    specs = flavor.extra_specs
    nodes = _node_count(specs, image)
    pages = _page_size(specs, image)
    cells = _guest_cells(flavor, image, nodes or 1, set()) if nodes or pages else None
    policy = _cpu_policy(specs, image, rules)
    threads = _thread_policy(specs, image)
    realtime = realtime_enabled(specs)
    mask = image.get("hw_cpu_realtime_mask") or specs.get("hw:cpu_realtime_mask")
    if realtime and policy != "dedicated":
        raise refuse("RealtimeConfigurationInvalid")
    if realtime and not mask:
        raise refuse("RealtimeMaskNotFoundOrInvalid")
    rt_vcpus = parse_cpu_spec(f"0-{flavor.vcpus - 1},{mask}") if realtime else None
    if realtime and not rt_vcpus:
        raise refuse("RealtimeMaskNotFoundOrInvalid")
    if policy != "dedicated" and threads:
        raise refuse("CPUThreadPolicyConfigurationInvalid")
    if policy == "dedicated":
        everyone = set(range(flavor.vcpus))
        cells = cells or [GuestCell(0, everyone, set(), flavor.memory_mib)]
        for cell in cells:
            cell.shared, cell.pinned = set(), cell.shared
    if cells is None:
        return None, rt_vcpus
    for cell in cells:
        cell.page_size = None if pages is None else int(pages)
        cell.policy = policy if policy == "dedicated" else None
        cell.thread_policy = threads
    return GuestTopology(cells, emulator_policy(specs, rules)), rt_vcpus
