"""What changed from release to release, as one table.

The algorithm is written once, for the newest release; where an older one decides differently, the code asks a named
rule. Each rule is a field of ``Rules`` with the value of the newest release, and a row of ``CHANGES`` says in which
release it became so and what held before. Sources: Nova's git history; beside each row stands the commit, or the
version in which the difference was read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from functools import cache

from rtsim.inputs.errors import InputError

__all__ = ["CHANGES", "Change", "Release", "Rules"]


@dataclass(frozen=True, slots=True)
class Rules:
    """How one release of Nova decides; the defaults are those of the newest."""

    emulator_isolate: bool = True
    """``hw:emulator_threads_policy`` exists, and ``isolate`` reserves a host CPU."""
    emulator_share: bool = True
    """``hw:emulator_threads_policy=share`` pins the emulator to ``cpu_shared_set``."""
    separate_cpu_sets: bool = True
    """``cpu_dedicated_set`` and ``cpu_shared_set`` divide a host; before, ``vcpu_pin_set`` served both."""
    cores_without_siblings: bool = True
    """Single-thread cores are listed as sibling sets of one; before, hosts without threads had no siblings at all."""
    resource_requests: bool = True
    """``resources:PCPU``, ``resources:VCPU`` and ``trait:HW_CPU_HYPERTHREADING`` mean a CPU policy."""
    inclusive_realtime_mask: bool = True
    """A mask without ``^`` lists the realtime vCPUs; before, ``0-N,`` was always put in front."""
    realtime_mask_optional: bool = True
    """With an emulator threads policy the mask may be left out; before, realtime always needed one."""
    mixed_policy: bool = True
    """``hw:cpu_policy=mixed`` and ``hw:cpu_dedicated_mask`` exist."""
    isolate_refused_on_smt: bool = True
    """``isolate`` does not fit hosts with threads unless they are configured the old way (bug 1889633)."""
    smallest_pages_counted: bool = True
    """A guest without a page size is checked against, and accounted as, the smallest pages."""
    modern_check_order: bool = True
    """Flavor and image are checked CPU policy first; before, NUMA nodes and page sizes came first."""
    mixed_checks_shared_cpus: bool = True
    """The shared part of a mixed guest must fit the shared CPUs and their overcommit limits."""
    cells_know_socket: bool = True
    """Host cells have a socket number, and PCI devices the affinity policy ``socket``."""
    usage_keeps_socket: bool = True
    """A cell keeps its socket number when a guest is accounted for."""
    topology_from_flavor_alone: bool = True
    """Guest sockets, cores and threads come from flavor and image; before, also from how cores were packed."""
    cells_sorted_by_use: bool = True
    """Host cells are tried by free CPUs and memory; before, in the order the host lists them."""
    packing_default: bool = False
    """Default of ``packing_host_numa_cells_allocation_strategy``."""
    fit_cache: bool = True
    """Outcomes are remembered per (host cell, guest cell), including the wrong ones."""
    locked_memory: bool = True
    """``hw:locked_memory`` exists."""
    default_cpu_shares: bool = False
    """Every guest gets ``<shares>`` of 1024 per vCPU."""
    mixed_cell_without_pins: bool = True
    """A guest cell of a mixed guest in which no vCPU is pinned fits."""
    pinned_memory_by_free_pages: bool = True
    """A pinned guest's memory is checked against free pages; before, against the cell's unused memory."""
    pci_requests_together: bool = True
    """A guest's PCI requests are served one after the other from what is left; otherwise each from all devices."""
    max_phys_addr: bool = True
    """``hw:maxphysaddr_mode`` exists."""
    pinless_usage: bool = True
    """A pinned guest cell without pins can be accounted for; before, that failed in Nova with an ``AttributeError``."""
    iothread_pinned: bool = True
    """Guests have one I/O thread, pinned like the emulator."""
    unavailable_dedicated_text: bool = True
    """A dedicated CPU that is missing is called "not available"; before, "not online"."""
    offline_pool_text: bool = True
    """The refusal of an offline ``cpu_shared_set`` shows its CPUs; before, the unfilled text, the values beside it."""
    claim_avoids_pci: bool = True
    """The final claim, too, tries cells without PCI devices first for guests that ask for none."""


@dataclass(frozen=True, slots=True)
class Change:
    """One row: until `release`, `rule` had the value `before`."""

    release: int
    rule: str
    before: bool
    commit: str


CHANGES = (
    Change(16, "emulator_isolate", False, "d58515c905"),
    Change(18, "emulator_share", False, "f200a4ad26"),
    Change(20, "separate_cpu_sets", False, "8da70ef95e"),
    Change(20, "cores_without_siblings", False, "8da70ef95e"),
    Change(20, "resource_requests", False, "8da70ef95e"),
    Change(22, "inclusive_realtime_mask", False, "9fc63c7644"),
    Change(22, "realtime_mask_optional", False, "f5aa144593"),
    Change(22, "mixed_policy", False, "9c27033204"),
    Change(22, "isolate_refused_on_smt", False, "b065974187"),
    Change(22, "smallest_pages_counted", False, "d689533d9e"),
    Change(22, "modern_check_order", False, "867d447101"),
    Change(23, "mixed_checks_shared_cpus", False, "275ea2de36"),
    Change(23, "cells_know_socket", False, "b2471dd578"),
    Change(23, "pci_requests_together", True, "b2471dd578"),
    Change(24, "topology_from_flavor_alone", False, "387823b36d"),
    Change(25, "cells_sorted_by_use", False, "d13412648d"),
    Change(25, "packing_default", False, "d13412648d"),
    Change(26, "packing_default", True, "e76ec7af4d"),
    Change(26, "pci_requests_together", False, "26.0.0"),
    Change(26, "fit_cache", False, "099a6f63af"),
    Change(26, "locked_memory", False, "26.0.0"),
    Change(26, "default_cpu_shares", True, "f77a9fee5b"),
    Change(27, "unavailable_dedicated_text", False, "96f9518096"),
    Change(28, "mixed_cell_without_pins", False, "cffe3971ce"),
    Change(28, "pinless_usage", False, "cffe3971ce"),
    Change(28, "usage_keeps_socket", False, "28.0.0"),
    Change(29, "max_phys_addr", False, "29.0.0"),
    Change(30, "pinned_memory_by_free_pages", False, "f14c16af82"),
    Change(33, "iothread_pinned", False, "76d64b9cb4"),
    Change(34, "claim_avoids_pci", False, "76d06e115b"),
    Change(34, "offline_pool_text", False, "34.0.0"),
)

SERIES = {
    13: ("mitaka",),
    14: ("newton",),
    15: ("ocata",),
    16: ("pike",),
    17: ("queens",),
    18: ("rocky",),
    19: ("stein",),
    20: ("train",),
    21: ("ussuri",),
    22: ("victoria",),
    23: ("wallaby",),
    24: ("xena",),
    25: ("yoga",),
    26: ("zed",),
    27: ("2023.1", "antelope"),
    28: ("2023.2", "bobcat"),
    29: ("2024.1", "caracal"),
    30: ("2024.2", "dalmatian"),
    31: ("2025.1", "epoxy"),
    32: ("2025.2", "flamingo"),
    33: ("2026.1", "gazpacho"),
    34: ("2026.2", "hibiscus"),
}
KNOWN = (15, *range(22, 35))
"""The releases whose rules are complete; those between were only read in part."""


@dataclass(frozen=True, slots=True, order=True)
class Release:
    """A release of Nova by its major version."""

    major: int

    @classmethod
    def newest(cls) -> Release:
        """Return the newest release known."""
        return cls(KNOWN[-1])

    @classmethod
    def parse(cls, text: str | int | Release | None) -> Release:
        """Return the release of a code name, series or version (``ocata``, ``2026.2``, ``34``, ``34.0.0``).

        Raises
        ------
        InputError
            No such release, or one whose rules are not known.
        """
        if isinstance(text, Release):
            return text
        if text is None:
            return cls.newest()
        wanted = str(text).strip().lower()
        version = re.fullmatch(r"(\d{2})(\.\d+){0,2}", wanted)
        major = next((number for number, names in SERIES.items() if wanted in names), None)
        if major is None and version:
            major = int(version[1])
        if major is None or major not in KNOWN:
            raise InputError("release", "", f"expected ocata, victoria ... zed or 2023.1 ... 2026.2, found {text!r}")
        return cls(major)

    @property
    def name(self) -> str:
        """The name people use: ``ocata``, ``2026.2``."""
        return SERIES[self.major][0]

    @property
    def rules(self) -> Rules:
        """The rules of this release."""
        return _rules(self.major)

    @property
    def python2(self) -> bool:
        """Whether this release ran on Python 2.7, whose sets have another order."""
        return self.major < 20


@cache
def _rules(major: int) -> Rules:
    # Of several changes to one rule the next one after this release tells what held.
    older = {change.rule: change.before for change in reversed(CHANGES) if major < change.release}
    assert set(older) <= {field.name for field in fields(Rules)}
    return Rules(**older)
