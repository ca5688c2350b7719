"""Interrupts of a real host: rates per interrupt and CPU from two copies of ``/proc/interrupts``, and their masks.

Two copies some time apart tell how often each interrupt struck each CPU; a copy of ``/proc/irq`` tells where it may be
sent. Both are about the host as it was: what its command line removed is missing from them already.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rtsim.inputs.cpulist import MAX_CPUS, parse_cpulist
from rtsim.inputs.errors import InputError, at, shown
from rtsim.inputs.files import read_text

__all__ = [
    "InterruptCounts",
    "InterruptSource",
    "interrupt_rates",
    "is_managed_name",
    "read_interrupts",
    "read_irq_affinity",
]

Cpus = frozenset[int]

WRAP = 2**32
"""The kernel counts in 32 bits."""
FASTEST_HZ = 10_000_000
"""No interrupt strikes one CPU more often; a count that says so went backwards."""

_HEAD = re.compile(r"(?:\s*CPU\d+)+\s*")
_ROW = re.compile(r"\s*(\w+):((?:\s+\d+)*)\s*(.*)")
_NO_ACTION = re.compile(r"[\d.]+(?:-\w+)?")
_MANAGED = re.compile(
    r"nvme\d+q[1-9]\d*|virtio\d+-req\S*|(?:megasas|mpt3sas|aacraid|smartpqi|hisi_sas|lpfc|qla2xxx)\S*", re.ASCII
)
"""Names of queues whose drivers let the kernel spread them over the CPUs and pin them there."""


@dataclass(frozen=True)
class InterruptCounts:
    """One copy of ``/proc/interrupts``."""

    source: str
    cpus: tuple[int, ...]
    """CPUs on line, in the order of the columns."""
    counts: Mapping[str, tuple[int, ...]] = field(hash=False)
    """Interrupt (its number, or NMI, LOC, ...) -> count since boot on each CPU."""
    names: Mapping[str, str] = field(hash=False)
    """Interrupt -> its handlers (``eth0-TxRx-3``), or the kernel's description (Local timer interrupts)."""


@dataclass(frozen=True)
class InterruptSource:
    """One interrupt of a host."""

    irq: str
    """Its number, or the kernel's abbreviation: NMI, LOC, RES, CAL, TLB, ..."""
    name: str
    rates_hz: Mapping[int, float] = field(hash=False)
    """CPU -> interrupts a second; CPUs that had none are left out."""
    affinity: Cpus | None
    """Where it may be sent; None: not known."""

    @property
    def is_device(self) -> bool:
        """Whether it is a device's: it has a number, a mask and a handler that may become a thread."""
        return self.irq.isdigit()

    @property
    def is_managed(self) -> bool:
        """Whether, by its name, the kernel chose its CPUs (only ``isolcpus=managed_irq`` keeps it away)."""
        return self.is_device and is_managed_name(self.name)


def is_managed_name(handler: str) -> bool:
    """Tell whether a handler's name is that of a queue whose CPUs the kernel chooses."""
    return _MANAGED.fullmatch(handler) is not None


def read_interrupts(path: str | os.PathLike[str]) -> InterruptCounts:
    """Return a copy of ``/proc/interrupts``.

    Raises
    ------
    InputError
        The file is none.
    """
    source = os.fspath(path)
    lines = read_text(path).splitlines()
    if not lines or not _HEAD.fullmatch(lines[0]):
        raise InputError(source, "line 1", "expected the columns CPU0 CPU1 ..., as /proc/interrupts has them")
    cpus = tuple(int(word.removeprefix("CPU")) for word in lines[0].split())
    if max(cpus) >= MAX_CPUS or len(set(cpus)) != len(cpus):
        raise InputError(source, "line 1", f"expected each CPU once, below {MAX_CPUS}")
    counts: dict[str, tuple[int, ...]] = {}
    names: dict[str, str] = {}
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        match = _ROW.fullmatch(line)
        if match is None:
            raise InputError(source, f"line {number}", f"expected IRQ: COUNTS DESCRIPTION, found {shown(line)}")
        values = tuple(map(int, match[2].split()))
        if len(values) == len(cpus):  # ERR and MIS have one count for the machine
            counts[match[1]] = values
            names[match[1]] = _name(match[1], match[3].strip())
    return InterruptCounts(source, cpus, counts, names)


def _name(irq: str, description: str) -> str:
    """Return the handlers' names: what follows the last gap of ``chip  hwirq-trigger  name``."""
    if not irq.isdigit():
        return description or irq
    name = description.rpartition("  ")[2].strip()
    return f"irq {irq}" if not name or _NO_ACTION.fullmatch(name) else name


def read_irq_affinity(folder: str | os.PathLike[str]) -> dict[str, Cpus]:
    """Return interrupt number -> CPUs, from ``N/smp_affinity_list`` in a copy of ``/proc/irq``.

    Raises
    ------
    InputError
        The folder cannot be read, or such a file holds no CPU list.
    """
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise InputError(os.fspath(folder), "", f"expected a folder: {error.strerror}") from None
    found = {}
    for name in names:
        file = Path(folder) / name / "smp_affinity_list"
        if name.isdigit() and file.is_file():
            with at(str(file)):
                found[name] = frozenset(parse_cpulist(read_text(file).strip()))
    return found


def interrupt_rates(
    before: InterruptCounts,
    after: InterruptCounts,
    elapsed_ns: int,
    affinity: Mapping[str, Cpus] | None = None,
) -> tuple[InterruptSource, ...]:
    """Return the interrupts that struck between two copies, with their rates.

    Parameters
    ----------
    elapsed_ns
        Time between them.
    affinity
        As `read_irq_affinity` returns it.

    Raises
    ------
    InputError
        The copies are of different machines, in the wrong order, or `elapsed_ns` is not above zero.
    """
    if elapsed_ns <= 0:
        raise InputError(after.source, "", f"expected some time between the copies, found {elapsed_ns} ns")
    if before.cpus != after.cpus:
        raise InputError(after.source, "line 1", f"expected the CPUs of {before.source}")
    found = []
    for irq, counts in after.counts.items():
        earlier = before.counts.get(irq, (0,) * len(counts))  # requested in between
        rates = {}
        for cpu, first, last in zip(after.cpus, earlier, counts, strict=True):
            rate = (last - first) % WRAP * 1e9 / elapsed_ns
            if rate > FASTEST_HZ:
                expected = f"expected counts not below those of {before.source}, found {last} after {first}"
                raise InputError(after.source, f"{irq}: CPU{cpu}", expected)
            if rate:
                rates[cpu] = rate
        if rates:
            found.append(InterruptSource(irq, after.names[irq], rates, (affinity or {}).get(irq)))
    return tuple(found)
