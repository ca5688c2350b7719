"""Reads hwloc XML, version 2: what ``lstopo --of xml`` writes."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from xml.etree.ElementTree import Element

from rtsim.inputs.cpulist import MAX_CPUS
from rtsim.inputs.errors import InputError, shown
from rtsim.inputs.xml import integer, integer_attribute, line_of, parse_xml
from rtsim.topology.check import checked
from rtsim.topology.topology import Cpu, NumaNode, Topology, distances_of

__all__ = ["read_hwloc"]

_CACHE = re.compile(r"L([2-9])Cache")


def read_hwloc(path: str | os.PathLike[str]) -> Topology:
    """Return the topology of an hwloc XML file.

    Raises
    ------
    InputError
        The file is not hwloc's XML of version 2, or contradicts itself.
    """
    source = os.fspath(path)
    root = parse_xml(path)
    machine = root.find("./object[@type='Machine']")
    if root.tag != "topology" or machine is None:
        raise InputError(source, line_of(root), "expected <topology> with a Machine, as `lstopo --of xml` writes")
    if not root.get("version", "").startswith("2"):
        raise InputError(source, line_of(root), "expected version 2 (write it with hwloc 2, or lstopo of hwloc 3)")
    found = _Found([], [], {})
    _walk(machine, _Place(), found, source)
    return checked(_assembled(found, root, source), source)


@dataclass(frozen=True)
class _Place:
    """Where in the tree we are."""

    socket: int = 0
    die: int = 0
    core: int | None = None
    core_cpus: tuple[int, ...] = ()


@dataclass
class _Found:
    cpus: list[Cpu]
    nodes: list[tuple[Element, tuple[int, ...]]]
    caches: dict[int, list[tuple[int, ...]]]


def _walk(element: Element, place: _Place, found: _Found, source: str) -> None:
    kind = element.get("type", "")
    if kind == "Package":
        place = replace(place, socket=_index(element, source))
    elif kind == "Die":
        place = replace(place, die=_index(element, source))
    elif kind == "Core":
        place = replace(place, core=_index(element, source), core_cpus=_cpuset(element, source))
    elif kind == "NUMANode":
        found.nodes.append((element, _cpuset(element, source)))
    elif kind == "PU":
        number = _index(element, source)
        core = number if place.core is None else place.core
        found.cpus.append(Cpu(number, 0, place.socket, place.die, core, place.core_cpus or (number,)))
    cache = _CACHE.fullmatch(kind)
    if cache:
        found.caches.setdefault(int(cache[1]), []).append(_cpuset(element, source))
    for child in element.findall("object"):
        _walk(child, place, found, source)


def _assembled(found: _Found, root: Element, source: str) -> Topology:
    if not found.nodes:
        raise InputError(source, "", "expected at least one NUMANode")
    ids = [_index(element, source) for element, _ in found.nodes]
    distances = _distances(root, source)
    nodes = []
    placed = 0
    for number, (element, cpuset) in zip(ids, found.nodes, strict=True):
        members = set(cpuset)
        cpus = tuple(replace(cpu, numa_node=number) for cpu in found.cpus if cpu.id in members)
        placed += len(cpus)
        memory = integer_attribute(element, "local_memory", source) // 1024
        pages = {
            integer_attribute(page, "size", source) // 1024: integer_attribute(page, "count", source)
            for page in element.findall("page_type")
        }
        default = {other: 10 if other == number else 20 for other in ids}
        nodes.append(NumaNode(number, memory, pages, cpus, distances.get(number, default)))
    if placed != len(found.cpus):
        raise InputError(source, "", "expected each CPU in exactly one NUMANode")
    caches = found.caches[max(found.caches)] if found.caches else []
    return Topology(tuple(nodes), tuple(tuple(sorted(cache)) for cache in caches))


def _distances(root: Element, source: str) -> dict[int, dict[int, int]]:
    """Return the matrix of operating system distances between NUMA nodes, if the file has one."""
    matrix = root.find("./distances2[@type='NUMANode']")
    if matrix is None:
        return {}
    indexes = _numbers(matrix.findall("indexes"), source)
    values = _numbers(matrix.findall("u64values"), source)
    n = len(indexes)
    if len(values) != n * n:
        raise InputError(source, line_of(matrix), f"expected {n * n} distances, found {len(values)}")
    return distances_of((values[i * n : (i + 1) * n] for i in range(n)), indexes)


def _numbers(elements: list[Element], source: str) -> list[int]:
    return [integer(word, element, "numbers", source) for element in elements for word in (element.text or "").split()]


def _cpuset(element: Element, source: str) -> tuple[int, ...]:
    """Return the CPUs of hwloc's bitmap: 32-bit words, the highest first: ``0x1,0x80000001`` or ``0xf,,0x0``."""
    text = element.get("cpuset", "")
    words = text.split(",")
    if not text or len(words) > MAX_CPUS // 32 or not all(re.fullmatch(r"(0x[0-9a-fA-F]{1,8})?", w) for w in words):
        raise InputError(source, line_of(element), f"expected cpuset= with a bitmap, found {shown(text)}")
    bits = 0
    for word in words:
        bits = bits << 32 | (int(word, 16) if word else 0)
    return tuple(cpu for cpu in range(bits.bit_length()) if bits >> cpu & 1)


def _index(element: Element, source: str) -> int:
    default = 0 if element.get("type") in ("Package", "Die") else None
    return integer_attribute(element, "os_index", source, default)
