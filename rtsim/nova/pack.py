"""Which of a cell's free CPUs a guest cell's vCPUs are pinned to.

Cores are taken first-fit in the order Nova lists them: first all vCPUs on as many threads a core as the widest core
has free, then one thread less, down to one thread of every core; last, for guests that do not insist on threads, free
threads wherever they are. Inside a core, threads come in the order CPython walks the core's set.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, islice, repeat
from math import gcd

from rtsim.nova.cell import HostCell
from rtsim.nova.guest import GuestCell
from rtsim.nova.rules import Rules

__all__ = ["Note", "pack"]

Note = Callable[[str], bool]
"""Takes the reason why something does not fit, and says no."""
Cores = list[set[int]]


def pack(host: HostCell, guest: GuestCell, reserve: int, rules: Rules, note: Note | None) -> bool:
    """Pin the guest cell's dedicated vCPUs to free CPUs of the host cell, and reserve one for the emulator if asked.

    Parameters
    ----------
    host, guest
        The cells; `guest` gets its pins and its reserved CPU when they exist.
    reserve
        CPUs to reserve for the emulator thread: 0 or 1.
    rules
        The release's rules.
    note
        Gets one line on why it did not work.

    Returns
    -------
    bool
        Whether all vCPUs and the emulator found a CPU.

    Raises
    ------
    ValueError
        The cell has no cores listed at all, on which Nova stumbles.
    """
    thread_policy = guest.thread_policy
    if thread_policy == "isolate":
        found = _whole_cores(host, guest, reserve, rules, note)
    elif thread_policy == "require" and host.threads_per_core <= 1:
        return note("the thread policy requires threads, the cell has one a core") if note else False
    else:
        found = _cores_by_threads(host.free_cores, guest, reserve, rules, note)
    if found is None:
        return False
    cpus, guest.reserved, threads = found
    guest.pins = dict(zip(sorted(guest.pinned), cpus, strict=True))
    guest.host_id = host.host_id
    if not rules.topology_from_flavor_alone:
        guest.threads = gcd(threads, (len(guest.pinned) + len(guest.shared)) % threads)
    return True


Found = tuple[list[int], set[int] | None, int]
"""CPUs for the vCPUs, CPUs for the emulator, threads a core."""


def _whole_cores(host: HostCell, guest: GuestCell, reserve: int, rules: Rules, note: Note | None) -> Found | None:
    """Isolate: one thread of each fully free core."""
    threads_per_core = host.threads_per_core
    cores = host.free_cores
    whole = [core for core in cores if len(core) >= threads_per_core]
    if not whole:
        if note:
            note("isolate needs a fully free core, there is none")
        return None
    if rules.isolate_refused_on_smt and threads_per_core != 1 and host.dedicated != host.shared:
        if note:
            note("isolate is refused on cores with threads where cpu_dedicated_set is configured (bug 1889633)")
        return None
    cpus = _first_threads(1, whole, len(guest.pinned))
    if not cpus or len(cpus) < len(guest.pinned):
        if note:
            note(f"{len(whole)} fully free cores for {len(guest.pinned)} isolated vCPUs")
        return None
    if not reserve:
        return cpus, None, 1
    left = [list(core) for core in cores]
    for cpu in cpus:
        for core in left:
            if cpu in core:
                left.remove(core)
    reserved = set(list(chain(*left))[:reserve])
    if not reserved:
        if note:
            note("no core is left for the emulator thread")
        return None
    return cpus, reserved, 1


def _cores_by_threads(cores: Cores, guest: GuestCell, reserve: int, rules: Rules, note: Note | None) -> Found | None:
    """Prefer and require: as many threads a core as possible, the same number on each."""
    require = guest.thread_policy == "require"
    wanted = len(guest.pinned)
    possible = wanted > 0 or rules.mixed_cell_without_pins
    cpus: list[int] | None = None
    threads = max(map(len, cores))  # Nova, too, stumbles over a cell without cores
    while threads > require:
        wide = [core for core in cores if len(core) >= threads]
        cpus = None
        if threads * len(wide) >= wanted and possible:
            cpus = _first_threads(threads, wide, wanted)
            if not reserve:
                break
            reserved = _spare(cores, cpus)
            if reserved:
                return cpus, reserved, threads
        threads -= 1
    if cpus and not reserve:
        return cpus, None, threads
    if not cpus and possible and not (require and cpus is None):
        # The last resort takes free threads wherever they are.
        cpus = list(islice(chain.from_iterable(cores), wanted))
        reserved = _spare(cores, cpus) if reserve else None
        if len(cpus) == wanted and (reserved or not reserve):
            return cpus, reserved, 1
    if note:
        note(_why_not(cores, wanted, require, reserve, cpus))
    return None


def _first_threads(threads: int, cores: Cores, wanted: int) -> list[int]:
    """Return the first CPUs for `wanted` vCPUs, at most `threads` of each core; the cores suffice."""
    return list(islice(chain.from_iterable(map(islice, cores, repeat(threads))), wanted))


def _spare(cores: Cores, cpus: list[int]) -> set[int] | None:
    """Return the first free CPU that no vCPU took, for the emulator thread."""
    for core in cores:
        for cpu in core:
            if cpu not in cpus:
                return {cpu} if cpus else None
    return None


def _why_not(cores: Cores, wanted: int, require: bool, reserve: int, cpus: list[int] | None) -> str:
    if cpus and reserve:
        return "no free CPU is left for the emulator thread"
    if require:
        pairs = sum(len(core) > 1 for core in cores)
        return f"{wanted} vCPUs must share cores, {pairs} cores have two or more free threads"
    return f"{wanted} vCPUs to pin, {len(cores)} cores with free threads do not hold them"
