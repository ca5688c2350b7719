"""From a libvirt domain XML, as written by Nova or printed by ``virsh dumpxml``, back to a placement."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from rtsim.inputs.errors import InputError, shown
from rtsim.inputs.xml import line_of, parse_xml, parse_xml_text
from rtsim.nova.cpuspec import format_cpu_spec, parse_cpu_spec
from rtsim.nova.cputopology import CpuTopology
from rtsim.nova.errors import NovaRefusal
from rtsim.nova.flavor import MOST_VCPUS
from rtsim.nova.placement import PlacedCell, Placement

__all__ = ["read_domain"]

UNITS = {"b": 1, "bytes": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
UNITS |= {f"{prefix}b": 1000**power for power, prefix in enumerate("kmgt", start=1)}
UNITS |= {f"{prefix}ib": 1024**power for power, prefix in enumerate("kmgt", start=1)}
MOST_CPUS = 1 << 16


@dataclass(slots=True)
class Source:
    """An element and where it is from, for messages."""

    name: str

    def wrong(self, element: Element, attribute: str, expected: str) -> InputError:
        """Return the error for an attribute (or the text, if empty) of an element."""
        return InputError(self.name, line_of(element) + (f" {attribute}" if attribute else ""), f"expected {expected}")

    def number(self, element: Element, attribute: str, low: int, high: int, default: int | None = None) -> int:
        """Return a whole number from an attribute, or from the text if `attribute` is empty."""
        text = element.get(attribute) if attribute else (element.text or "").strip()
        if text is None and default is not None:
            return default
        if text is None or not re.fullmatch(r"\d{1,18}", text) or not low <= int(text) <= high:
            raise self.wrong(element, attribute, f"a whole number from {low} to {high}, found {shown(text)}")
        return int(text)

    def cpus(self, element: Element, attribute: str, count: int = MOST_CPUS) -> tuple[int, ...]:
        """Return a CPU list from an attribute, ascending; all below `count`."""
        text = element.get(attribute)
        try:
            cpus = sorted(parse_cpu_spec(text or ""))
        except NovaRefusal:
            raise self.wrong(element, attribute, f"a CPU list such as 0-3,^2, found {shown(text)}") from None
        if cpus and not 0 <= cpus[-1] < count:
            raise self.wrong(element, attribute, f"numbers from 0 to {count - 1}, found {cpus[-1]}")
        return tuple(cpus)

    def kib(self, element: Element, text: str | None, unit: str | None, attribute: str = "") -> int:
        """Return an amount of memory in KiB."""
        factor = UNITS.get((unit or "KiB").lower())
        if factor is None:
            raise self.wrong(element, "unit", f"a unit of memory, found {shown(unit)}")
        if text is None or not re.fullmatch(r"\s*\d{1,18}\s*", text):
            raise self.wrong(element, attribute, f"an amount of memory, found {shown(text)}")
        return int(text) * factor // 1024


def read_domain(source: str | os.PathLike[str]) -> Placement:
    """Read a domain XML: a path, or the text itself.

    vCPUs without a pin get the cpuset of ``<vcpu>``, or no CPUs at all, which means any. Elements that do not bear on
    placement are passed over.

    Raises
    ------
    InputError
        No domain XML, or numbers in it that are impossible.
    """
    inline = isinstance(source, str) and "<" in source
    where = Source("domain" if inline else os.fspath(source))
    root = parse_xml_text(str(source), where.name) if inline else parse_xml(source)
    if root.tag != "domain":
        raise InputError(where.name, line_of(root), "expected a <domain>")
    return _placement(where, root)


def _placement(where: Source, root: Element) -> Placement:
    vcpu = root.find("vcpu")
    if vcpu is None:
        raise InputError(where.name, "<vcpu>", "expected, and missing")
    vcpus = where.number(vcpu, "", 1, MOST_VCPUS)
    anywhere = where.cpus(vcpu, "cpuset") if vcpu.get("cpuset") else None
    tune = root.find("cputune")
    tune = Element("cputune") if tune is None else tune
    pins = _pins(where, tune, vcpus, anywhere or ())
    emulator = tune.find("emulatorpin")
    realtime = _realtime(where, tune, vcpus)
    highest = max(realtime.values(), key=lambda found: found[1], default=("fifo", 0))
    memory = root.find("memory")
    if memory is None:
        raise InputError(where.name, "<memory>", "expected, and missing")
    huge = _huge_pages(where, root)
    cells = _cells(where, root, vcpus, huge)
    cpu = root.find("cpu")
    backing = root.find("memoryBacking")
    return Placement(
        vcpus=vcpus,
        memory_kib=where.kib(memory, memory.text, memory.get("unit")),
        vcpu_pins=pins,
        pinned=frozenset(_owners(pins)),
        emulator_cpus=(anywhere or ()) if emulator is None else where.cpus(emulator, "cpuset"),
        rt_vcpus=tuple(sorted(realtime)),
        rt_priority=highest[1],
        rt_policy="rr" if highest[0] == "rr" else "fifo",
        rt_priorities=realtime if len(set(realtime.values())) > 1 else {},
        cells=cells,
        cpu_topology=_topology(where, cpu, vcpus),
        iothreads={
            where.number(pin, "iothread", 1, MOST_CPUS): where.cpus(pin, "cpuset")
            for pin in tune.findall("iothreadpin")
        },
        cpu_shares=_tuned(where, tune, "shares"),
        cpu_quota=_tuned(where, tune, "quota"),
        cpu_period=_tuned(where, tune, "period"),
        locked=backing is not None and backing.find("locked") is not None,
        nosharepages=backing is not None and backing.find("nosharepages") is not None,
        file_backed=backing is not None
        and (source := backing.find("source")) is not None
        and source.get("type") == "file",
        floating_cpus=anywhere,
        huge_pages=_backed(cells, huge),
        memory_nodes=() if cells else _common_nodes(where, root),
        shared_memory=cpu is not None and any(cell.get("memAccess") == "shared" for cell in cpu.iterfind("numa/cell")),
        cpu_mode=None if cpu is None else cpu.get("mode"),
        pvspinlock=_state(where, root.find("features/pvspinlock")),
        hint_dedicated=bool(_state(where, root.find("features/kvm/hint-dedicated"))),
        max_phys_addr=_max_phys_addr(where, cpu),
        tuned=tune.find("vcpupin") is not None or emulator is not None,
        warnings=tuple(_warnings(root, tune, pins)),
        name=(root.findtext("name") or "guest").strip(),
    )


def _pins(where: Source, tune: Element, vcpus: int, anywhere: tuple[int, ...]) -> dict[int, tuple[int, ...]]:
    pins: dict[int, tuple[int, ...]] = dict.fromkeys(range(vcpus), anywhere)
    for pin in tune.findall("vcpupin"):
        vcpu = where.number(pin, "vcpu", 0, vcpus - 1)
        pins[vcpu] = where.cpus(pin, "cpuset")
    return pins


def _owners(pins: Mapping[int, tuple[int, ...]]) -> Iterator[int]:
    """Yield the vCPUs that are pinned to one CPU to which no other is."""
    users: Counter[tuple[int, ...]] = Counter(cpus for cpus in pins.values() if len(cpus) == 1)
    for vcpu, cpus in pins.items():
        if users[cpus] == 1:
            yield vcpu


Realtime = dict[int, tuple[str, int]]


def _realtime(where: Source, tune: Element, vcpus: int) -> Realtime:
    """Return policy and priority of each realtime vCPU; later elements win."""
    found: Realtime = {}
    for element in tune.findall("vcpusched"):
        policy = element.get("scheduler")
        chosen = where.cpus(element, "vcpus", vcpus)
        if policy in ("batch", "idle"):
            continue
        if policy not in ("fifo", "rr"):
            raise where.wrong(element, "scheduler", f"fifo, rr, batch or idle, found {shown(policy)}")
        priority = where.number(element, "priority", 1, 99)
        found.update(dict.fromkeys(chosen, (policy, priority)))
    return found


def _huge_pages(where: Source, root: Element) -> dict[int | None, int]:
    """Return page sizes in KiB by guest cell; the key None holds for cells not named."""
    pages = root.find("memoryBacking/hugepages")
    if pages is None:
        return {}
    if not pages.findall("page"):
        return {None: 2048}
    sizes: dict[int | None, int] = {}
    for page in pages.findall("page"):
        size = where.kib(page, page.get("size"), page.get("unit"), "size")
        named = where.cpus(page, "nodeset") if page.get("nodeset") else (None,)
        sizes |= dict.fromkeys(named, size)
    return sizes


def _backed(cells: Sequence[PlacedCell], huge: Mapping[int | None, int]) -> tuple[tuple[int, int], ...]:
    if cells:
        return tuple((number, cell.page_size_kib) for number, cell in enumerate(cells) if cell.page_size_kib)
    size = huge.get(0, huge.get(None))
    return () if size is None else ((0, size),)


def _common_nodes(where: Source, root: Element) -> tuple[int, ...]:
    """Return the host cells that all memory of the domain is bound to; none if it is left open."""
    memory = root.find("numatune/memory")
    return where.cpus(memory, "nodeset") if memory is not None and memory.get("nodeset") else ()


def _cells(where: Source, root: Element, vcpus: int, huge: Mapping[int | None, int]) -> tuple[PlacedCell, ...]:
    nodes = {
        where.number(node, "cellid", 0, MOST_CPUS): where.cpus(node, "nodeset")
        for node in root.iterfind("numatune/memnode")
    }
    common = _common_nodes(where, root)
    cells: list[PlacedCell] = []
    for place, cell in enumerate(root.iterfind("cpu/numa/cell")):
        number = where.number(cell, "id", 0, MOST_CPUS, place)
        on = nodes.get(number, common)
        cells.append(
            PlacedCell(
                on[0] if len(on) == 1 else None,
                where.cpus(cell, "cpus", vcpus),
                where.kib(cell, cell.get("memory"), cell.get("unit"), "memory"),
                huge.get(number, huge.get(None)),
            )
        )
    return tuple(cells)


def _topology(where: Source, cpu: Element | None, vcpus: int) -> CpuTopology | None:
    element = None if cpu is None else cpu.find("topology")
    if element is None:
        return None
    sockets, cores, threads = (where.number(element, part, 1, vcpus) for part in ("sockets", "cores", "threads"))
    cores *= where.number(element, "dies", 1, vcpus, 1) * where.number(element, "clusters", 1, vcpus, 1)
    if sockets * cores * threads != vcpus:
        raise where.wrong(element, "", f"sockets, cores and threads that make {vcpus} vCPUs")
    return sockets, cores, threads


def _tuned(where: Source, tune: Element, tag: str) -> int | None:
    element = tune.find(tag)
    if element is None:
        return None
    text = (element.text or "").strip()
    if not re.fullmatch(r"-?\d{1,18}", text):
        raise where.wrong(element, "", f"a whole number, found {shown(text)}")
    return int(text)


def _max_phys_addr(where: Source, cpu: Element | None) -> tuple[str, int | None] | None:
    element = None if cpu is None else cpu.find("maxphysaddr")
    if element is None:
        return None
    bits = where.number(element, "bits", 1, 64) if element.get("bits") else None
    return element.get("mode", "passthrough"), bits


def _state(where: Source, element: Element | None) -> bool | None:
    """Return whether a feature is on; None if it is not named."""
    if element is None:
        return None
    if element.get("state", "on") not in ("on", "off"):
        raise where.wrong(element, "state", f"on or off, found {shown(element.get('state'))}")
    return element.get("state") != "off"


def _warnings(root: Element, tune: Element, pins: Mapping[int, tuple[int, ...]]) -> Iterator[str]:
    if root.find("memoryBacking/hugepages") is not None and root.find("memoryBacking/hugepages/page") is None:
        yield "huge pages without a size: taken as 2 MiB, the usual default"
    if any(element.get("scheduler") in ("batch", "idle") for element in tune.findall("vcpusched")):
        yield "vCPUs under SCHED_BATCH or SCHED_IDLE are taken as ordinary ones"
    vcpu = root.find("vcpu")
    if vcpu is not None and vcpu.get("current") not in (None, (vcpu.text or "").strip()):
        yield "vCPUs that are plugged in later are taken as present"
    free = [vcpu for vcpu, cpus in pins.items() if not cpus]
    if free and len(free) < len(pins):
        yield f"vCPUs {format_cpu_spec(free)} have no pin: they may run on any CPU, those of other vCPUs included"
