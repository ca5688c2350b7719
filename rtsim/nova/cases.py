"""One case of the batch: a host, its configuration and a guest (or several in turn), as JSON, checked key by key.

Everything that is no case is reported by the key at fault; what is a case goes to Nova's rules as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from rtsim.inputs.errors import InputError, shown
from rtsim.nova.capabilities import CapabilitiesCell, CapabilitiesCpu
from rtsim.nova.cell import HostCell, PagePool, assigned_cores
from rtsim.nova.conf import NovaConf
from rtsim.nova.cpuspec import parse_cpu_spec, rebuilt
from rtsim.nova.errors import NovaRefusal
from rtsim.nova.fit import Limits
from rtsim.nova.flavor import MOST_VCPUS, Flavor
from rtsim.nova.pci import PciPool, PciRequest, PciState

__all__ = ["Case", "CaseGuest", "InvalidCase", "read_case"]

MOST_CPUS = 1 << 16
MOST_CELLS = 1024
LARGEST = 1 << 53
ARCHITECTURES = ("x86_64", "i686", "aarch64", "ppc64", "ppc64le")


class InvalidCase(InputError):  # noqa: N818 (the name results carry)
    """A line that is no case; `place` is the key at fault."""

    def __init__(self, place: str, expected: str) -> None:
        super().__init__("case", place, expected)

    def inside(self, outer: str) -> InvalidCase:
        """Return the same error with its key seen from further out."""
        return InvalidCase(f"{outer}.{self.place}" if self.place else outer, self.expected)


@dataclass(slots=True)
class CaseGuest:
    """A guest of a case."""

    flavor: Flavor
    image: Mapping[str, Any]


@dataclass(slots=True)
class Case:
    """A checked case."""

    guests: list[CaseGuest]
    is_sequence: bool
    conf: NovaConf
    cells: list[HostCell] | None
    """The host's cells, where the case gives them as Nova keeps them."""
    capabilities: list[CapabilitiesCell] | None
    """The host's cells, where the case gives them as libvirt does."""
    online: set[int] | None
    reload: bool
    """Whether cells from capabilities make the trip through the database."""
    strict_online: bool
    limits: Limits | None
    pci: PciState | None


def read_case(data: object) -> Case:
    """Return a parsed line as a case.

    Raises
    ------
    InvalidCase
        A key is missing or its value is of the wrong kind.
    """
    case = _object(data, "case")
    host = _object(_required(case, "host"), "host")
    conf = _conf(case.get("conf"))
    try:
        cells, capabilities = _host(host)
        online = _online(host, capabilities)
        reload = _flag(host, "roundtrip", True)
    except InvalidCase as error:
        raise error.inside("host") from None
    sequence = case.get("sequence")
    return Case(
        guests=[_guest(case)] if sequence is None else _each(case, "sequence", _guest),
        is_sequence=sequence is not None,
        conf=conf,
        cells=cells,
        capabilities=capabilities,
        online=online,
        reload=reload,
        strict_online=_flag(case, "strict_online", False),
        limits=_limits(case.get("limits")),
        pci=_pci(case.get("pci")),
    )


Data = Mapping[str, Any]
T = TypeVar("T")


def _object(value: object, key: str) -> Data:
    if not isinstance(value, dict):
        raise InvalidCase(key, f"expected an object, found {_shown(value)}")
    return value


def _shown(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "text", type(None): "null", bool: "true or false"}
    return kinds.get(type(value)) or shown(value)


def _required(data: Data, key: str) -> Any:
    if key not in data:
        raise InvalidCase(key, "expected, and missing")
    return data[key]


def _each(data: Data, key: str, read: Callable[[Data], T]) -> list[T]:
    """Return what `read` makes of each object in a list; null and a missing key are an empty list."""
    value = data.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidCase(key, f"expected a list, found {_shown(value)}")
    items: list[T] = []
    for item in value:
        if not isinstance(item, dict):
            raise InvalidCase(f"{key}[{len(items)}]", f"expected an object, found {_shown(item)}")
        try:
            items.append(read(item))
        except InvalidCase as error:
            raise error.inside(f"{key}[{len(items)}]") from None
    return items


def _flag(data: Data, key: str, default: bool) -> bool:
    value = data.get(key, default)
    if not isinstance(value, bool):
        raise InvalidCase(key, f"expected true or false, found {_shown(value)}")
    return value


def _whole(value: object, key: str, low: int = 0, high: int = LARGEST) -> int:
    """Return a whole number; one with a fraction of zero counts."""
    if type(value) is int and low <= value <= high:
        return value
    if isinstance(value, float) and low <= value <= high and value.is_integer():
        return int(value)
    raise InvalidCase(key, f"expected a whole number from {low} to {high}, found {_shown(value)}")


def _needed(data: Data, key: str, low: int = 0, high: int = LARGEST) -> int:
    value = data.get(key)
    if type(value) is int and low <= value <= high:
        return value
    return _whole(_required(data, key), key, low, high)


def _optional(data: Data, key: str, low: int = -LARGEST) -> int:
    value = data.get(key, 0)
    if type(value) is int and -LARGEST <= value <= LARGEST and value >= low:
        return value
    return _whole(value, key, low)


INTEGERS = ({int}, set[type]())


def _cpus(value: object, key: str) -> list[int]:
    """Return a list of CPUs, given as numbers or as a cpulist."""
    if type(value) is list:
        if set(map(type, value)) in INTEGERS and (not value or (min(value) >= 0 and max(value) < MOST_CPUS)):
            return value
        wrong = next(cpu for cpu in value if type(cpu) is not int or not 0 <= cpu < MOST_CPUS)
        raise InvalidCase(key, f"expected CPU numbers from 0 to {MOST_CPUS - 1}, found {_shown(wrong)}")
    if value is None:
        return []
    if not isinstance(value, str):
        raise InvalidCase(key, f"expected a list of CPU numbers or a CPU list, found {_shown(value)}")
    try:
        cpus = sorted(parse_cpu_spec(value))
    except NovaRefusal:
        raise InvalidCase(key, "expected a CPU list such as 0-3,8 or a list of CPU numbers") from None
    if cpus and not 0 <= cpus[0] <= cpus[-1] < MOST_CPUS:
        raise InvalidCase(key, f"expected CPUs from 0 to {MOST_CPUS - 1}, found {shown(cpus[-1])}")
    return cpus


CONF_KEYS = frozenset(
    {"cpu_shared_set", "cpu_dedicated_set", "vcpu_pin_set", "reserved_huge_pages", "realtime_scheduler_priority"}
    | {"packing_host_numa_cells_allocation_strategy", "file_backed_memory", "cpu_mode", "virt_type"}
    | {"cpu_power_management"}
)


def _conf(value: object) -> NovaConf:
    # A case's guests see the host's own CPU model unless it says otherwise; keys of other options are passed over.
    options: dict[str, Any] = {"cpu_mode": "host-passthrough"}
    if value is not None:
        options |= {key: item for key, item in _object(value, "conf").items() if key in CONF_KEYS}
    try:
        return NovaConf.from_mapping(options, "conf")
    except InputError as error:
        raise InvalidCase(f"conf.{error.place}", error.expected) from None


def _host(host: Data) -> tuple[list[HostCell] | None, list[CapabilitiesCell] | None]:
    if host.get("caps_cells") is not None:
        capabilities = _each(host, "caps_cells", _capabilities_cell)
        if not capabilities:
            raise InvalidCase("caps_cells", "expected at least one cell")
        _check_ids([cell.id for cell in capabilities], "caps_cells")
        if host.get("arch", "x86_64") not in ARCHITECTURES:
            raise InvalidCase("arch", f"expected one of {', '.join(ARCHITECTURES)}")
        return None, capabilities
    if not isinstance(_required(host, "cells"), list):
        raise InvalidCase("cells", f"expected a list, found {_shown(host['cells'])}")
    cells = _each(host, "cells", _cell)
    _check_ids([cell.host_id for cell in cells], "cells")
    return cells, None


def _check_ids(ids: Sequence[int], key: str) -> None:
    if len(set(ids)) != len(ids):
        raise InvalidCase(key, "expected cells with different ids")
    if len(ids) > MOST_CELLS:
        raise InvalidCase(key, f"expected at most {MOST_CELLS} cells")


def _cell(data: Data) -> HostCell:
    socket = data.get("socket")
    return HostCell(
        _needed(data, "id"),
        rebuilt(set(_cpus(data.get("cpuset"), "cpuset"))),
        rebuilt(set(_cpus(data.get("pcpuset"), "pcpuset"))),
        assigned_cores(_cores(data.get("siblings"))),
        _needed(data, "memory_mib"),
        _each(data, "mempages", _pool),
        memory_used_mib=_optional(data, "memory_usage_mib"),
        shared_used=_optional(data, "cpu_usage"),
        pinned=set(_cpus(data.get("pinned_cpus"), "pinned_cpus")),
        socket=None if socket is None else _whole(socket, "socket", -LARGEST),
    )


def _cores(value: object) -> list[tuple[int, ...]]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidCase("siblings", f"expected a list, found {_shown(value)}")
    return [tuple(_cpus(core, f"siblings[{number}]")) for number, core in enumerate(value)]


def _pool(data: Data) -> PagePool:
    return PagePool(
        _needed(data, "size_kb", 1), _needed(data, "total"), _optional(data, "used"), _optional(data, "reserved")
    )


def _capabilities_cell(data: Data) -> CapabilitiesCell:
    if not isinstance(_required(data, "cpus"), list):
        raise InvalidCase("cpus", f"expected a list, found {_shown(data['cpus'])}")
    return CapabilitiesCell(
        _needed(data, "id"),
        _needed(data, "memory_kib"),
        tuple(_each(data, "cpus", _capabilities_cpu)),
        tuple(_each(data, "mempages", _pages)),
    )


def _pages(data: Data) -> tuple[int, int]:
    return _needed(data, "size_kb", 1), _needed(data, "total")


def _capabilities_cpu(data: Data) -> CapabilitiesCpu:
    socket = data.get("socket_id", 0)
    return CapabilitiesCpu(
        _needed(data, "id", 0, MOST_CPUS - 1),
        tuple(_cpus(_required(data, "siblings"), "siblings")),
        None if socket is None else _whole(socket, "socket_id", -LARGEST),
    )


def _online(host: Data, capabilities: list[CapabilitiesCell] | None) -> set[int] | None:
    if capabilities is None:
        return None
    if host.get("online_cpus") is not None:
        return set(_cpus(host["online_cpus"], "online_cpus"))
    return {cpu.id for cell in capabilities for cpu in cell.cpus}


def _guest(data: Data) -> CaseGuest:
    flavor = _object(_required(data, "flavor"), "flavor")
    image = data.get("image")
    properties = None if image is None else _object(image, "image").get("properties")
    try:
        specs = flavor.get("extra_specs")
        wanted = Flavor(
            "oracle",
            _needed(flavor, "vcpus", 0, MOST_VCPUS),
            _needed(flavor, "memory_mib"),
            1,
            {} if specs is None else _specs(_object(specs, "extra_specs")),
        )
    except InvalidCase as error:
        raise error.inside("flavor") from None
    return CaseGuest(wanted, {} if properties is None else _object(properties, "image.properties"))


def _specs(specs: Data) -> Mapping[str, str]:
    if set(map(type, specs.values())) <= {str}:
        return specs
    return {key: _as_text(value, key) for key, value in specs.items()}


def _as_text(value: object, key: str) -> str:
    try:
        return str(value)
    except ValueError:  # a number of thousands of digits
        raise InvalidCase(f"extra_specs.{key}", f"expected text, found {shown(value)}") from None


def _limits(value: object) -> Limits | None:
    if value is None or value == {}:
        return None
    limits = _object(value, "limits")
    return Limits(_ratio(limits, "cpu_allocation_ratio", 4.0), _ratio(limits, "ram_allocation_ratio", 1.0))


def _ratio(limits: Data, key: str, default: float) -> float:
    value = limits.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
        raise InvalidCase(f"limits.{key}", f"expected a number, found {_shown(value)}")
    return float(value)


def _pci(value: object) -> PciState | None:
    if value is None or value == {}:
        return None
    data = _object(value, "pci")
    try:
        return PciState(_each(data, "pools", _pci_pool), _each(data, "requests", _pci_request))
    except InvalidCase as error:
        raise error.inside("pci") from None


def _pci_pool(data: Data) -> PciPool:
    node = data.get("numa_node")
    return PciPool(None if node is None else _whole(node, "numa_node", -1), _needed(data, "count"), _product(data))


def _pci_request(data: Data) -> PciRequest:
    policy = data.get("numa_policy")
    if policy not in (None, "required", "legacy", "preferred", "socket"):
        raise InvalidCase("numa_policy", "expected required, legacy, preferred or socket")
    return PciRequest(_whole(data.get("count", 1), "count"), policy, _product(data))


def _product(data: Data) -> str:
    value = data.get("product_id", "10fb")
    if not isinstance(value, str):
        raise InvalidCase("product_id", f"expected text, found {_shown(value)}")
    return value
