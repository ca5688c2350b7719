"""Huge pages that the kernel command line reserves at boot, as mm/hugetlb.c reads it on x86-64."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from rtsim.inputs.errors import InputError, shown
from rtsim.kernel.commandline import CommandLine

__all__ = ["boot_huge_pages"]

DEFAULT_KIB = 2048
SIZES_KIB = (DEFAULT_KIB, 1 << 20)
MEMORY = re.compile(r"(0x[0-9a-f]{1,16}|\d{1,20})([kmgtpe]?)", re.IGNORECASE)
"""What the kernel's memparse takes; it does not look at what follows."""


def boot_huge_pages(command_line: CommandLine, nodes: int) -> dict[int, dict[int, int]]:
    """Return node -> size in KiB -> pages: ``hugepages=`` of the ``hugepagesz=`` before it, spread over the nodes.

    Without ``hugepagesz=`` before it, ``hugepages=`` is of the default size: ``default_hugepagesz=``, or 2 MiB. It is
    one number, which the kernel spreads evenly, or ``NODE:PAGES,...`` (since 5.16). Of what is given twice the kernel
    takes the first.

    Raises
    ------
    InputError
        Another size, or no such number.
    """
    read = _Read(command_line.source)
    for name, value in command_line.in_order:
        if name == "hugepagesz":
            read.size(value)
        elif name == "default_hugepagesz":
            read.default_size(value)
        elif name == "hugepages":
            read.number(value or "")
    found: dict[int, dict[int, int]] = {node: {} for node in range(nodes)}
    for size, text in read.finished().items():
        for node, pages in _by_node(text, nodes, command_line.source).items():
            found[node][size] = pages
    return found


@dataclass
class _Read:
    """What has been read so far, in the words of the kernel's variables."""

    source: str
    numbers: dict[int, str | None] = field(default_factory=dict)
    """Number of pages of each size that was named, None as long as there is none."""
    parsed: int | None = None
    """The size that a number is of (``parsed_hstate``), None before any is named."""
    valid: bool = True
    """Whether a number is of anything (``parsed_valid_hugepagesz``)."""
    default: int | None = None
    of_default: str | None = None
    """The number that came before any size (``default_hstate_max_huge_pages``)."""

    def size(self, value: str | None) -> None:
        """Read ``hugepagesz=``: a size comes once, but that of ``default_hugepagesz=`` which has no number yet."""
        size = _size_kib(value, "hugepagesz", self.source)
        self.valid = size not in self.numbers or (size == self.default and self.numbers[size] is None)
        if self.valid:
            self.parsed = size
            self.numbers.setdefault(size, None)

    def default_size(self, value: str | None) -> None:
        """Read ``default_hugepagesz=``, which comes once."""
        size = _size_kib(value, "default_hugepagesz", self.source)
        self.valid = self.default is None
        if not self.valid:
            return
        self.default = self.parsed = size
        self.numbers.setdefault(size, None)
        if self.of_default is not None:
            self.numbers[size], self.of_default = self.of_default, None

    def number(self, text: str) -> None:
        """Read ``hugepages=``: only the first after a size counts, and none after a size that does not."""
        if not self.valid:
            self.valid = True
        elif self.parsed is None:
            self.of_default = text if self.of_default is None else self.of_default
        elif self.numbers[self.parsed] is None:
            self.numbers[self.parsed] = text

    def finished(self) -> dict[int, str]:
        """Return the numbers by size; one that came before any size is of 2 MiB where no default is named."""
        found = {size: text for size, text in self.numbers.items() if text is not None}
        return found if self.of_default is None else {**found, DEFAULT_KIB: self.of_default}


def _size_kib(value: str | None, name: str, source: str) -> int:
    match = MEMORY.match(value or "")
    if match:
        base = 16 if match[1][:2].lower() == "0x" else 10
        size = int(match[1], base) << (10 * " kmgtpe".index(match[2].lower() or " "))
        if size % 1024 == 0 and size // 1024 in SIZES_KIB:
            return size // 1024
    raise InputError(source, name, f"expected 2M or 1G, found {shown(value)}")


def _by_node(text: str, nodes: int, source: str) -> Mapping[int, int]:
    if _is_count(text):
        return {node: (int(text) + nodes - 1 - node) // nodes for node in range(nodes)}
    pages: dict[int, int] = {}
    for word in text.removesuffix(",").split(","):
        node, colon, number = word.partition(":")
        if not (colon and _is_count(node) and _is_count(number)):
            raise InputError(source, "hugepages", f"expected a number of pages, or NODE:PAGES,..., found {shown(text)}")
        if int(node) >= nodes:
            raise InputError(source, "hugepages", f"expected nodes 0 to {nodes - 1}, found {shown(node)}")
        pages[int(node)] = int(number)
    return pages


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 12
