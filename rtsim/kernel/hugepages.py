"""Huge pages that the kernel command line reserves at boot (Documentation/admin-guide/mm/hugetlbpage.rst, x86-64)."""

from __future__ import annotations

from collections.abc import Mapping

from rtsim.inputs.errors import InputError, shown
from rtsim.kernel.commandline import CommandLine

__all__ = ["boot_huge_pages"]

SIZES_KIB = {"2m": 2048, "2048k": 2048, "1g": 1 << 20, "1024m": 1 << 20, "1048576k": 1 << 20}


def boot_huge_pages(command_line: CommandLine, nodes: int) -> dict[int, dict[int, int]]:
    """Return node -> size in KiB -> pages: ``hugepages=`` of the ``hugepagesz=`` before it, spread over the nodes.

    Without ``hugepagesz=`` before it, ``hugepages=`` is of the default size: ``default_hugepagesz=``, or 2 MiB. It is
    one number, which the kernel spreads evenly, or ``NODE:PAGES,...``.

    Raises
    ------
    InputError
        Another size, or no such number.
    """
    size, default, source = None, 2048, command_line.source
    wanted: dict[int | None, str] = {}
    for name, value in command_line.in_order:
        if name == "hugepagesz":
            size = _size_kib(value, name, source)
        elif name == "default_hugepagesz":
            default = size = _size_kib(value, name, source)
        elif name == "hugepages":
            wanted[size] = value or ""
    found: dict[int, dict[int, int]] = {node: {} for node in range(nodes)}
    for of_size, text in wanted.items():
        for node, pages in _by_node(text, nodes, source).items():
            found[node][default if of_size is None else of_size] = pages
    return found


def _size_kib(value: str | None, name: str, source: str) -> int:
    size = SIZES_KIB.get((value or "").lower())
    if size is None:
        raise InputError(source, name, f"expected 2M or 1G, found {shown(value)}")
    return size


def _by_node(text: str, nodes: int, source: str) -> Mapping[int, int]:
    if _is_count(text):
        return {node: (int(text) + nodes - 1 - node) // nodes for node in range(nodes)}
    pages: dict[int, int] = {}
    for word in text.split(","):
        node, colon, number = word.partition(":")
        if not (colon and _is_count(node) and _is_count(number)):
            raise InputError(source, "hugepages", f"expected a number of pages, or NODE:PAGES,..., found {shown(text)}")
        if int(node) >= nodes:
            raise InputError(source, "hugepages", f"expected nodes 0 to {nodes - 1}, found {shown(node)}")
        pages[int(node)] = int(number)
    return pages


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 12
