"""Reads ``virsh capabilities``: NUMA cells, CPUs and sibling lists in the order written, which Nova's choices see."""

from __future__ import annotations

import os
from xml.etree.ElementTree import Element

from rtsim.inputs.cpulist import parse_cpulist, parse_cpulist_ordered
from rtsim.inputs.errors import InputError, at, shown
from rtsim.inputs.xml import integer, integer_attribute, line_of, parse_xml, parse_xml_text
from rtsim.topology.check import checked
from rtsim.topology.topology import Cpu, NumaNode, Topology

__all__ = ["capabilities_from_text", "read_capabilities"]

_KIB = {"b": 1 / 1024, "bytes": 1 / 1024, "KiB": 1, "MiB": 1024, "GiB": 1024**2, "TiB": 1024**3}


def read_capabilities(path: str | os.PathLike[str]) -> Topology:
    """Return the topology of a ``virsh capabilities`` file.

    A CPU that is offline (libvirt lists it without socket and siblings) is kept, with an empty sibling list.

    Raises
    ------
    InputError
        The file is not such a file, or contradicts itself.
    """
    return _topology(parse_xml(path), os.fspath(path))


def capabilities_from_text(text: str, source: str = "capabilities") -> Topology:
    """Return the topology of `text`; as `read_capabilities`."""
    return _topology(parse_xml_text(text, source), source)


def _topology(root: Element, source: str) -> Topology:
    if root.tag != "capabilities":
        raise InputError(source, line_of(root), "expected <capabilities>, as `virsh capabilities` prints")
    cells = root.findall("./host/topology/cells/cell")
    if not cells:
        raise InputError(source, "", "expected <host><topology><cells> with at least one <cell>")
    nodes = tuple(_cell(cell, source) for cell in cells)
    return checked(Topology(nodes, _caches(root, source)), source)


def _cell(cell: Element, source: str) -> NumaNode:
    number = integer_attribute(cell, "id", source)
    memory = cell.find("memory")
    pages = {
        _kib(page, page.get("size"), source): integer(page.text, page, "a number", source)
        for page in cell.findall("pages")
    }
    distances = {
        integer_attribute(item, "id", source): integer_attribute(item, "value", source)
        for item in cell.findall("./distances/sibling")
    }
    return NumaNode(
        id=number,
        memory_kib=_kib(memory, memory.text, source) if memory is not None else 0,
        pages=pages,
        cpus=tuple(_cpu(cpu, number, source) for cpu in cell.findall("./cpus/cpu")),
        distances=distances,
    )


def _cpu(element: Element, numa_node: int, source: str) -> Cpu:
    number = integer_attribute(element, "id", source)
    with at(source, line_of(element)):
        siblings = parse_cpulist_ordered(element.get("siblings", ""))
    return Cpu(
        id=number,
        numa_node=numa_node,
        socket=integer_attribute(element, "socket_id", source, default=0),
        die=integer_attribute(element, "die_id", source, default=0),
        core=integer_attribute(element, "core_id", source, default=number),
        siblings=siblings,
    )


def _caches(root: Element, source: str) -> tuple[tuple[int, ...], ...]:
    """Return the CPUs of each bank of the highest cache level."""
    banks = root.findall("./host/cache/bank")
    levels = [integer_attribute(bank, "level", source) for bank in banks]
    caches = []
    for bank, level in zip(banks, levels, strict=True):
        if level == max(levels) and bank.get("type") in ("both", "data", None):
            with at(source, line_of(bank)):
                caches.append(parse_cpulist(bank.get("cpus", "")))
    return tuple(cache for cache in caches if cache)


def _kib(element: Element, text: str | None, source: str) -> int:
    unit = element.get("unit", "KiB")
    if unit not in _KIB:
        raise InputError(source, line_of(element), f"expected unit= one of {', '.join(_KIB)}, found {shown(unit)}")
    return int(integer(text, element, "a size", source) * _KIB[unit])
