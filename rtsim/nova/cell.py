"""A host's NUMA cell as Nova's resource tracker sees it: which CPUs, how used, which pages.

A cell is never changed once made; accounting for a guest makes new ones (``rtsim.nova.usage``). What fitting derives
from it, free CPUs and the free threads of each core, is therefore computed once and kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rtsim.nova.cpuspec import rebuilt, stored_and_loaded

__all__ = ["HostCell", "PagePool"]


@dataclass(slots=True)
class PagePool:
    """Pages of one size in one cell."""

    size_kib: int
    total: int
    used: int = 0
    reserved: int = 0

    @property
    def free_kib(self) -> int:
        """Memory in pages neither used nor reserved."""
        return (self.total - self.used - self.reserved) * self.size_kib


class _Ascending(set[int]):
    """A set that iterates in ascending order."""

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(super().__iter__()))


def _size(pool: PagePool) -> int:
    return pool.size_kib


class HostCell:
    """One NUMA cell of a host.

    Parameters
    ----------
    host_id
        The cell's number.
    shared, dedicated
        CPUs for floating and for pinned vCPUs; both sets are kept in the order they iterate in.
    siblings
        The threads of each core, in the order Nova lists cores.
    memory_mib, memory_used_mib
        Memory of the cell, and that of the guests on it.
    shared_used
        Floating vCPUs on the cell.
    pinned
        Dedicated CPUs in use.
    pages
        Page pools in the order libvirt lists them.
    socket
        Socket number, or none where the cell has several.

    Attributes
    ----------
    free
        Dedicated CPUs not in use.
    free_cpus
        How many those are.
    unused_memory_mib
        Memory not taken by guests; negative when overcommitted.
    smallest_pages
        The pool of the smallest pages, if the cell lists any.
    ascending
        Whether cores and threads are walked in ascending order instead of Nova's.
    """

    __slots__ = (
        "_cores",
        "ascending",
        "dedicated",
        "free",
        "free_cpus",
        "host_id",
        "memory_mib",
        "memory_used_mib",
        "pages",
        "pinned",
        "shared",
        "shared_used",
        "siblings",
        "smallest_pages",
        "socket",
        "unused_memory_mib",
    )

    def __init__(
        self,
        host_id: int,
        shared: set[int],
        dedicated: set[int],
        siblings: Sequence[set[int]],
        memory_mib: int,
        pages: list[PagePool],
        *,
        memory_used_mib: int = 0,
        shared_used: int = 0,
        pinned: set[int] | None = None,
        socket: int | None = None,
    ) -> None:
        self.host_id = host_id
        self.shared = shared
        self.dedicated = dedicated
        self.siblings = siblings
        self.memory_mib = memory_mib
        self.pages = pages
        self.memory_used_mib = memory_used_mib
        self.shared_used = shared_used
        self.pinned = pinned if pinned is not None else set()
        self.socket = socket
        self.ascending = False
        self.free: set[int] = dedicated - self.pinned or set()
        self.free_cpus = len(self.free)
        self.unused_memory_mib = memory_mib - memory_used_mib
        self._cores: list[set[int]] | None = None
        self.smallest_pages = min(pages, key=_size) if pages else None

    @property
    def threads_per_core(self) -> int:
        """Threads of the widest core, used or not."""
        return max(map(len, self.siblings)) or 1

    @property
    def free_cores(self) -> list[set[int]]:
        """Free threads of each core, cores without any included, in Nova's order."""
        cores = self._cores
        if cores is None:
            free = self.free
            cores = self._cores = [core & free for core in self.siblings]
            if self.ascending:
                self._cores = cores = [_Ascending(core) for core in cores]
        return cores

    def online_cpus(self) -> set[int]:
        """Return every CPU the cell names."""
        return self.shared.union(self.dedicated, *self.siblings)

    def reassigned(self) -> HostCell:
        """Return the cell after its sets were assigned to a new object, as accounting does."""
        return self._with_sets(rebuilt(self.dedicated), assigned_cores(map(tuple, self.siblings), listed=False))

    def reloaded(self) -> HostCell:
        """Return the cell after a trip through the database, which may change the order inside its sets."""
        return self._with_sets(stored_and_loaded(self.dedicated), reload_cores(self.siblings))

    def canonical(self) -> HostCell:
        """Return the cell with its cores, and the threads in them, walked in ascending order."""
        cell = self._with_sets(self.dedicated, sorted(self.siblings, key=min))
        cell.ascending = True
        return cell

    def _with_sets(self, dedicated: set[int], siblings: Sequence[set[int]]) -> HostCell:
        return HostCell(
            self.host_id,
            self.shared,
            dedicated,
            siblings,
            self.memory_mib,
            self.pages,
            memory_used_mib=self.memory_used_mib,
            shared_used=self.shared_used,
            pinned=self.pinned,
            socket=self.socket,
        )


_reloaded: dict[tuple[int, ...], set[int]] = {}
MOST_REMEMBERED = 100_000


def reload_cores(siblings: Iterable[set[int]]) -> list[set[int]]:
    """Return sibling sets as they iterate after the database; equal orders share one set, as nobody changes them."""
    if len(_reloaded) > MOST_REMEMBERED:
        _reloaded.clear()
    cores: list[set[int]] = []
    for core in siblings:
        order = tuple(core)
        known = _reloaded.get(order)
        if known is None:
            known = _reloaded[order] = stored_and_loaded(core)
        cores.append(known)
    return cores


_assigned: dict[tuple[int, ...], set[int]] = {}
_listed: dict[tuple[int, ...], set[int]] = {}


def assigned_cores(siblings: Iterable[tuple[int, ...]], *, listed: bool = True) -> list[set[int]]:
    """Return cores as sets that iterate as after being assigned to a cell.

    Parameters
    ----------
    siblings
        The threads of each core.
    listed
        Whether they were a plain list before; otherwise a set that iterated in this order.
    """
    cache = _listed if listed else _assigned
    if len(cache) > MOST_REMEMBERED:
        cache.clear()
    cores: list[set[int]] = []
    for core in siblings:
        known = cache.get(core)
        if known is None:
            known = cache[core] = rebuilt(set(core) if listed else core)
        cores.append(known)
    return cores
