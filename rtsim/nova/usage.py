"""What a placed guest takes from a host's cells, as the resource tracker counts it, and what removing it gives back."""

from __future__ import annotations

from collections.abc import Sequence

from rtsim.nova.cell import HostCell, PagePool
from rtsim.nova.cpuspec import rebuilt
from rtsim.nova.errors import refuse
from rtsim.nova.guest import GuestCell
from rtsim.nova.rules import Rules

__all__ = ["account"]


def account(
    host: Sequence[HostCell], guest: Sequence[GuestCell], rules: Rules, *, remove: bool = False
) -> list[HostCell]:
    """Return the host's cells with a guest added (or removed).

    The sets keep their order; what the trip through the database does to them is ``HostCell.reloaded``'s matter.

    Parameters
    ----------
    host
        The cells before.
    guest
        The guest's fitted cells.
    rules
        The release's rules.
    remove
        Give back instead of taking.

    Raises
    ------
    NovaRefusal
        ``CPUPinningUnknown``, ``CPUPinningInvalid`` (or ``CPUUnpinning...``): the guest's CPUs are not this cell's, or
        not free. Nova can bring that about itself.
    IndexError
        The cell lists no page sizes, on which Nova stumbles.
    """
    sign = -1 if remove else 1
    after: list[HostCell] = []
    for cell in host:
        mine = [part for part in guest if part.host_id == cell.host_id]
        socket = cell.socket if rules.usage_keeps_socket else None
        pages, memory, shared, pinned = cell.pages, cell.memory_used_mib, cell.shared_used, cell.pinned
        for part in mine:
            pages = _pages(pages, part, sign, rules)
            memory += sign * part.memory_mib
            shared += sign * len(part.shared)
            if part.is_pinned:
                if not part.pins and not rules.pinless_usage:
                    raise AttributeError("'NoneType' object has no attribute 'values'")
                pinned = _pinned(cell, pinned, part, remove)
        after.append(
            HostCell(
                cell.host_id,
                cell.shared,
                cell.dedicated,
                cell.siblings,
                cell.memory_mib,
                pages,
                memory_used_mib=max(0, memory),
                shared_used=max(0, shared),
                pinned=pinned,
                socket=socket,
            )
        )
    return after


def _pages(pools: list[PagePool], guest: GuestCell, sign: int, rules: Rules) -> list[PagePool]:
    size = guest.page_size
    if not size and rules.smallest_pages_counted:
        size = sorted(pool.size_kib for pool in pools)[0]
    return [
        PagePool(
            pool.size_kib,
            pool.total,
            int(max(0, pool.used + guest.memory_mib * 1024 / pool.size_kib * sign)),
            pool.reserved,
        )
        if pool.size_kib == size
        else pool
        for pool in pools
    ]


def _pinned(cell: HostCell, pinned: set[int], guest: GuestCell, remove: bool) -> set[int]:
    """Return the cell's CPUs in use with the guest's added or removed; isolated guests take whole cores."""
    cpus = set(guest.pins.values())
    if guest.reserved:
        cpus |= guest.reserved
    if guest.thread_policy == "isolate":
        whole: set[int] = set()
        for core in cell.siblings:
            if cpus & core:
                whole.update(rebuilt(core))
        cpus = whole
    if cpus <= cell.dedicated and (cpus <= pinned if remove else not cpus & pinned):
        return pinned - cpus if remove else pinned | cpus
    known = rebuilt(cell.dedicated)
    prefix = "CPUUnpinning" if remove else "CPUPinning"
    if cpus - cell.dedicated:
        raise refuse(f"{prefix}Unknown", requested=list(cpus), available=list(known))
    available = list(rebuilt(pinned)) if remove else list(known - pinned)
    raise refuse(f"{prefix}Invalid", requested=list(cpus), available=available)
