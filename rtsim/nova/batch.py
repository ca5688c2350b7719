"""Many cases in, one result line each: ``rtsim pin --batch``.

A result has the keys that the same case gives when run through Nova itself; a line that is no case gives an error
result, and the batch goes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rtsim.inputs.errors import InputError
from rtsim.nova.capabilities import host_cells
from rtsim.nova.cases import Case, CaseGuest, InvalidCase, read_case
from rtsim.nova.cell import HostCell
from rtsim.nova.conf import NovaConf
from rtsim.nova.constraints import GuestRequest, guest_request
from rtsim.nova.cputopology import CpuTopology
from rtsim.nova.errors import NovaRefusal, at_stage
from rtsim.nova.fit import fit_guest
from rtsim.nova.flavor import image_properties
from rtsim.nova.guest import GuestCell
from rtsim.nova.host import guest_cpu_topology
from rtsim.nova.placement import Placement
from rtsim.nova.rules import Release
from rtsim.nova.spawn import Spawn, describe_guest
from rtsim.nova.usage import account

__all__ = ["LONGEST_LINE", "place_case", "place_lines"]

LONGEST_LINE = 32 * 1024 * 1024
Result = dict[str, Any]


def place_lines(lines: Iterable[str | bytes], release: Release | None = None, *, xml: bool = True) -> Iterator[str]:
    """Yield one JSON result for each line that is not blank.

    Parameters
    ----------
    lines
        One case a line.
    release
        Nova's rules; by default the newest.
    xml
        Whether results carry the domain's fragments and the pins taken from them.
    """
    known = release or Release.newest()
    encode = json.JSONEncoder().encode
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield encode(place_case(_parsed(line), known, xml=xml))
        except InputError as error:
            place = f"{error.place}: " if error.place else ""
            message = f"line {number}: {place}{error.expected}"
            yield encode({"error": "InvalidCase", "message": message, "stage": "input"})


def _parsed(line: str | bytes) -> object:
    if len(line) > LONGEST_LINE:
        raise InvalidCase("case", f"expected at most {LONGEST_LINE} bytes a line")
    try:
        return json.loads(line)
    except RecursionError:
        raise InvalidCase("case", "expected JSON, found nesting without end") from None
    except ValueError:
        # UnicodeDecodeError included.
        raise InvalidCase("case", "expected JSON") from None


def place_case(data: object, release: Release, *, xml: bool = True) -> Result:
    """Return the result of one parsed case.

    Raises
    ------
    InvalidCase
        It is none.
    """
    case = read_case(data)
    result: Result = {}
    cells = case.cells
    if cells is None:
        assert case.capabilities is not None
        try:
            with at_stage("host"):
                cells = host_cells(case.capabilities, case.conf, release, case.online)
        except NovaRefusal as refusal:
            return refusal.as_result()
        if case.reload:
            cells = [cell.reloaded() for cell in cells]
        result["host_topology"] = [_host_cell(cell) for cell in cells]
    if not case.is_sequence:
        result.update(_place(case, case.guests[0], cells, release, xml)[0])
        return result
    result["sequence"] = sequence = []
    for guest in case.guests:
        outcome, after = _place(case, guest, cells, release, xml)
        sequence.append(outcome)
        if after is not None:
            cells = [cell.reassigned().reloaded() for cell in after]
    return result


def _place(
    case: Case, guest: CaseGuest, cells: Sequence[HostCell], release: Release, xml: bool
) -> tuple[Result, list[HostCell] | None]:
    """Return the result for one guest, and the host's cells after it where they change."""
    rules = release.rules
    try:
        image = image_properties(guest.image, rules)
        request = guest_request(guest.flavor, image, rules)
    except NovaRefusal as refusal:
        return refusal.as_result(), None
    result: Result = {
        "requested_numa": len(request.numa.cells) if request.numa else None,
        "emulator_threads_policy": request.emulator_policy,
        "realtime": {"enabled": request.realtime, "rt_vcpus": sorted(request.rt_vcpus) if request.rt_vcpus else None},
    }
    try:
        if request.numa is not None:
            with at_stage("fit"):
                fits = bool(cells) and fit_guest(
                    cells,
                    request.numa,
                    rules,
                    packing=_packing(case.conf, rules.packing_default),
                    limits=case.limits,
                    pci=case.pci,
                )
            if not fits:
                return {**result, "fit": False}, None
        with at_stage("cpu_topology"):
            topology = guest_cpu_topology(guest.flavor, request, release)
    except NovaRefusal as refusal:
        return _refused(refusal, request), None
    result["fit"] = True
    result["cpu_topology"] = _cpu_topology(topology)
    after = _account(result, request, cells, release, topology)
    if xml:
        _spawn(result, case, guest, image, request, topology, cells, release)
    return result, after


def _packing(conf: NovaConf, default: bool) -> bool:
    chosen = conf.packing_host_numa_cells_allocation_strategy
    return default if chosen is None else chosen


def _refused(refusal: NovaRefusal, request: GuestRequest) -> Result:
    result: Result = dict(refusal.as_result())
    if refusal.stage == "cpu_topology":
        result["cells"] = [_guest_cell(cell, None) for cell in request.numa.cells] if request.numa else None
    return result


def _account(
    result: Result, request: GuestRequest, cells: Sequence[HostCell], release: Release, topology: CpuTopology
) -> list[HostCell] | None:
    if request.numa is None:
        result["cells"] = None
        return None
    shown = _cpu_topology(topology)
    result["cells"] = [_guest_cell(cell, shown) for cell in request.numa.cells]
    try:
        with at_stage("usage"):
            after = account(cells, request.numa.cells, release.rules)
    except NovaRefusal as refusal:
        result["usage_error"] = refusal.as_result()
        return None
    result["host_after"] = [
        {
            "id": cell.host_id,
            "pinned_cpus": sorted(cell.pinned),
            "memory_usage_mib": cell.memory_used_mib,
            "cpu_usage": cell.shared_used,
            "mempages": _pages(cell),
        }
        for cell in after
    ]
    return after


def _spawn(
    result: Result,
    case: Case,
    guest: CaseGuest,
    image: Mapping[str, Any],
    request: GuestRequest,
    topology: CpuTopology,
    cells: Sequence[HostCell],
    release: Release,
) -> None:
    try:
        with at_stage("xml"):
            online = _online(case, cells)
        node = Spawn(cells, case.conf, release.rules, online)
        placement = describe_guest(node, guest.flavor, image, request, topology)
    except NovaRefusal as refusal:
        result["xml_error"] = refusal.as_result()
        return
    result["xml"] = placement.to_xml()
    if placement.cells:
        result["vcpupin"] = {str(vcpu): list(cpus) for vcpu, cpus in placement.vcpu_pins.items()}
        emulator = set(placement.emulator_cpus)
        result["realtime"]["emulator_pcpus"] = list(placement.emulator_cpus)
        result["realtime"]["emulator_vcpus"] = _inside(placement, emulator)


def _inside(placement: Placement, emulator: set[int]) -> list[int]:
    """Return the vCPUs that run on the emulator's CPUs only."""
    if not emulator:
        return []
    return [vcpu for vcpu, cpus in placement.vcpu_pins.items() if emulator.issuperset(cpus)]


def _online(case: Case, cells: Sequence[HostCell]) -> set[int]:
    """Return the online CPUs: those given, else all that the host's cells and its shared set name."""
    if case.online is not None:
        return case.online
    online: set[int] = set()
    for cell in cells:
        online |= cell.online_cpus()
    shared = case.conf.shared_cpus()
    if shared and not case.strict_online:
        online |= shared
    return online


def _cpu_topology(topology: CpuTopology) -> dict[str, int]:
    sockets, cores, threads = topology
    return {"sockets": sockets, "cores": cores, "threads": threads}


def _guest_cell(cell: GuestCell, topology: dict[str, int] | None) -> Result:
    return {
        "id": cell.host_id,
        "memory_mib": cell.memory_mib,
        "cpuset": sorted(cell.shared),
        "pcpuset": sorted(cell.pinned),
        "cpu_pinning": {str(vcpu): cpu for vcpu, cpu in sorted(cell.pins.items())},
        "cpuset_reserved": sorted(cell.reserved) if cell.reserved else None,
        "pagesize": cell.page_size,
        "cpu_policy": cell.policy,
        "cpu_thread_policy": cell.thread_policy,
        "cpu_topology": topology,
    }


def _pages(cell: HostCell) -> list[dict[str, int]]:
    return [
        {"size_kb": pool.size_kib, "total": pool.total, "used": pool.used, "reserved": pool.reserved}
        for pool in cell.pages
    ]


def _host_cell(cell: HostCell) -> Result:
    return {
        "id": cell.host_id,
        "cpuset": sorted(cell.shared),
        "pcpuset": sorted(cell.dedicated),
        "siblings": [list(core) for core in cell.siblings],
        "pinned_cpus": sorted(cell.pinned),
        "memory_mib": cell.memory_mib,
        "memory_usage_mib": cell.memory_used_mib,
        "cpu_usage": cell.shared_used,
        "socket": cell.socket,
        "mempages": _pages(cell),
    }
