"""On which host cells a guest's cells go.

Host cells are sorted, then every ordered choice of as many as the guest has cells is tried, and the first that fits is
taken. Attempts are not independent: guest cells are changed in place (page size, pins, reservation, number), and since
Zed outcomes are remembered under the pair of cell numbers, although the guest cell's number is one of the things that
change. That remembers wrong answers; it is what the running Nova does, so it is done here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice, permutations
from math import perm
from operator import attrgetter

from rtsim.inputs.errors import InputError
from rtsim.nova.cell import HostCell
from rtsim.nova.guest import GuestCell, GuestTopology
from rtsim.nova.pack import Note, pack
from rtsim.nova.pci import PciState
from rtsim.nova.rules import Rules
from rtsim.nova.values import PAGES_ANY, PAGES_LARGE, PAGES_SMALL

__all__ = ["Limits", "fit_guest", "sorted_cells"]

MOST_PERMUTATIONS = 1_000_000
"""More are not tried: Nova itself would try on, for days."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Overcommit limits for guests without pinned CPUs."""

    cpu_ratio: float = 4.0
    ram_ratio: float = 1.0


def fit_guest(
    host: Sequence[HostCell],
    guest: GuestTopology,
    rules: Rules,
    *,
    packing: bool = False,
    limits: Limits | None = None,
    pci: PciState | None = None,
    explain: Callable[[str], None] | None = None,
) -> bool:
    """Put the guest's cells on host cells, in place.

    Parameters
    ----------
    host
        The host's cells in the order the host lists them.
    guest
        The guest's cells; changed even where nothing fits.
    rules
        The release's rules.
    packing
        Try the most used cells first instead of the least used.
    limits
        Overcommit limits; without, none are checked.
    pci
        Devices on the host and those asked for.
    explain
        Gets a line for each thing tried.

    Returns
    -------
    bool
        Whether the guest is placed.
    """
    cells = guest.cells
    if len(host) < len(cells):
        if explain:
            explain(f"the guest has {len(cells)} NUMA cells, the host {len(host)}")
        return False
    order = sorted_cells(host, guest, rules, packing, pci)
    if explain and len(order) > 1:
        explain("host cells are tried in the order " + ", ".join(str(cell.host_id) for cell in order))
    reserve = 1 if guest.emulator_policy == "isolate" else 0
    if len(cells) > 1:
        return _fit_many(order, host, cells, reserve, limits, rules, pci, explain)
    # With one guest cell there is nothing to remember: each host cell comes up once.
    (only,) = cells
    note: Note | None = None
    for cell in order:
        if explain:
            note = _noting(explain, 0, cell)
        if _fit_cell(cell, only, reserve, limits, rules, note) and (
            pci is None or _pci_near((cell,), host, pci, rules, note)
        ):
            if note:
                note("fits")
            return True
    return False


def _fit_many(
    order: Sequence[HostCell],
    host: Sequence[HostCell],
    guest: list[GuestCell],
    reserve: int,
    limits: Limits | None,
    rules: Rules,
    pci: PciState | None,
    explain: Callable[[str], None] | None,
) -> bool:
    """Try every ordered choice of host cells, remembering outcomes from one choice to the next."""
    remember = rules.fit_cache
    does_fit: set[tuple[int, int]] = set()
    does_not: set[tuple[int, int]] = set()
    note: Note | None = None
    last = len(guest) - 1
    choices = enumerate(permutations(order, len(guest)))
    for number, choice in choices:
        place = 0
        changed = False
        for host_cell, guest_cell in zip(choice, guest, strict=True):
            # The guest cell's number is that of the host cell it was last put on.
            host_id, was_on = host_cell.host_id, guest_cell.host_id
            pair = host_id, was_on
            if explain:
                note = _noting(explain, place, host_cell)
            if pair in does_not:
                if note:
                    note("remembered as not fitting")
                break
            if pair in does_fit:
                if note:
                    note("remembered as fitting, with the pins of that attempt")
                if host_id != was_on:
                    guest_cell.host_id = host_id
                    changed = True
            else:
                changed = True
                fits = _fit_cell(host_cell, guest_cell, 0 if place else reserve, limits, rules, note)
                if remember:
                    (does_fit if fits else does_not).add(pair)
                if not fits:
                    break
                if note:
                    note("fits")
            place += 1
        else:
            if pci is None or _pci_near(choice, host, pci, rules, note):
                return True
        if number >= MOST_PERMUTATIONS:
            raise InputError("guest", "", f"expected a decision within {MOST_PERMUTATIONS} permutations of host cells")
        if not changed and place < last and not explain:
            # Everything was remembered: all further choices that begin with the same host cells end here, too.
            alike = perm(len(order) - place - 1, last - place)
            skipped = min(alike - number % alike - 1, MOST_PERMUTATIONS - number - 1)
            next(islice(choices, skipped, skipped), None)
    return False


def _pci_near(
    choice: Sequence[HostCell], host: Sequence[HostCell], pci: PciState, rules: Rules, note: Note | None
) -> bool:
    """Return whether the devices asked for are near enough to the chosen cells."""
    if not pci.requests:
        return True
    chosen = [cell.host_id for cell in choice]
    if pci.supports(chosen, host, together=rules.pci_requests_together):
        return True
    return note(f"the PCI devices asked for are not near enough to host cells {chosen}") if note else False


def _noting(tell: Callable[[str], None], place: int, host: HostCell) -> Note:
    def note(why: str) -> bool:
        tell(f"guest cell {place} on host cell {host.host_id}: {why}")
        return False

    return note


_memory = attrgetter("unused_memory_mib")
_floating = attrgetter("shared_used")
_cpus_and_memory = attrgetter("free_cpus", "unused_memory_mib")


def sorted_cells(
    host: Sequence[HostCell], guest: GuestTopology, rules: Rules, packing: bool, pci: PciState | None
) -> Sequence[HostCell]:
    """Return host cells in the order they are tried.

    The least used come first (with `packing` the most used): by free CPUs, or by floating vCPUs for guests without
    pins, then by unused memory. Cells with PCI devices come first for guests that ask for some, last for others. A
    guest with as many cells as the host gets them unsorted.
    """
    if not rules.cells_sorted_by_use:
        if pci is None or pci.requests:
            return host
        nodes = {pool.node for pool in pci.pools}
        return sorted(host, key=lambda cell: cell.host_id in nodes)
    if len(host) == len(guest.cells):
        return host
    if guest.cells[0].is_pinned:
        order = sorted(host, key=_cpus_and_memory, reverse=not packing)
    else:
        order = sorted(host, key=_memory, reverse=not packing)
        order.sort(key=_floating, reverse=packing)
    if pci is not None:
        devices = pci.per_node()
        order.sort(key=lambda cell: devices.get(cell.host_id, 0), reverse=bool(pci.requests))
    return order


def _fit_cell(
    host: HostCell, guest: GuestCell, reserve: int, limits: Limits | None, rules: Rules, note: Note | None
) -> bool:
    """Check one guest cell against one host cell, memory first, and pin it."""
    policy = guest.policy
    pinned = policy == "dedicated" or policy == "mixed"
    # The order matters here: where a page size is asked for, it is settled even if the CPUs do not fit.
    if not (_pages_fit(host, guest, note) if guest.page_size else _memory_fits(host, guest, pinned, rules, note)):
        return False
    if pinned and len(guest.pinned) + reserve > host.free_cpus:
        return note(_too_few_cpus(host, len(guest.pinned) + reserve)) if note else False
    floats = policy != "dedicated" and (policy != "mixed" or rules.mixed_checks_shared_cpus)
    if floats and len(guest.shared) > len(host.shared):
        return note(f"{len(guest.shared)} shared vCPUs, the cell has {len(host.shared)} shared CPUs") if note else False
    if pinned:
        if not rules.pinned_memory_by_free_pages and guest.memory_mib > host.unused_memory_mib:
            return note(f"{guest.memory_mib} MiB wanted, {host.unused_memory_mib} MiB unused") if note else False
        if not pack(host, guest, reserve, rules, note):
            return False
        if not (guest.pinned or guest.shared):
            return note("a guest cell without vCPUs never counts as fitting") if note else False
    if floats and limits is not None and not _within_limits(host, guest, limits, note):
        return False
    guest.host_id = host.host_id
    return True


def _too_few_cpus(host: HostCell, wanted: int) -> str:
    if wanted > len(host.dedicated):
        return f"{wanted} dedicated CPUs wanted, the cell has {len(host.dedicated)}"
    return f"{wanted} dedicated CPUs wanted, {host.free_cpus} are free"


def _within_limits(host: HostCell, guest: GuestCell, limits: Limits, note: Note | None) -> bool:
    cpus, most_cpus = host.shared_used + len(guest.shared), len(host.shared) * limits.cpu_ratio
    if cpus > most_cpus:
        return note(f"{cpus} shared vCPUs exceed {limits.cpu_ratio:g} times the shared CPUs") if note else False
    memory, most_memory = host.memory_used_mib + guest.memory_mib, host.memory_mib * limits.ram_ratio
    if memory > most_memory:
        return note(f"{memory} MiB exceed {limits.ram_ratio:g} times the cell's memory") if note else False
    return True


def _pages_fit(host: HostCell, guest: GuestCell, note: Note | None) -> bool:
    """Find pages of the size asked for; the size found is what the guest cell asks for on every further host cell."""
    memory_kib = guest.memory_mib * 1024
    wanted = guest.page_size
    assert wanted
    for size in (wanted,) if wanted > 0 else _candidate_sizes(host, wanted):
        if memory_kib % size:
            continue
        for pool in host.pages:
            if pool.size_kib == size:
                if memory_kib <= pool.free_kib:
                    guest.page_size = size
                    return True
                break
    return note(f"no pages of the size asked for hold {guest.memory_mib} MiB") if note else False


def _memory_fits(host: HostCell, guest: GuestCell, pinned: bool, rules: Rules, note: Note | None) -> bool:
    """Check the memory of a guest that asks for no page size."""
    pool = host.smallest_pages
    if pool is not None and rules.smallest_pages_counted:
        memory_kib, size, pages = guest.memory_mib * 1024, pool.size_kib, pool.total
        if pinned and rules.pinned_memory_by_free_pages:
            pages -= pool.used + pool.reserved
        if memory_kib > pages * size or memory_kib % size:
            return note(f"{guest.memory_mib} MiB wanted, {pages * size // 1024} in small pages") if note else False
        return True
    available = host.memory_mib
    if pinned and rules.pinned_memory_by_free_pages:
        available = host.unused_memory_mib
    if guest.memory_mib > available:
        return note(f"{guest.memory_mib} MiB wanted, the cell has {available} MiB") if note else False
    return True


def _candidate_sizes(host: HostCell, wanted: int) -> list[int]:
    """Return the sizes that ``small``, ``large`` or ``any`` may become, biggest first."""
    sizes = sorted([pool.size_kib for pool in host.pages], reverse=True)
    if wanted == PAGES_ANY:
        return sizes
    if wanted == PAGES_LARGE:
        return sizes[:-1]
    # Other numbers below zero name sizes that no host has.
    return sizes[-1:] if wanted == PAGES_SMALL else []
