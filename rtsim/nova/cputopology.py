"""The sockets, cores and threads a guest sees: from flavor and image, not from the host."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from rtsim.nova.errors import refuse

__all__ = ["CpuTopology", "best_topology", "topology_limits"]

CpuTopology = tuple[int, int, int]
"""Sockets, cores, threads."""
UNLIMITED = 65536
NOTHING = (0, 0, 0)
Names = tuple[str, str, str]
Keys = tuple[Names, Names]
PREFERENCES: Keys = (
    ("hw:cpu_sockets", "hw:cpu_cores", "hw:cpu_threads"),
    ("hw_cpu_sockets", "hw_cpu_cores", "hw_cpu_threads"),
)
MAXIMA: Keys = (
    ("hw:cpu_max_sockets", "hw:cpu_max_cores", "hw:cpu_max_threads"),
    ("hw_cpu_max_sockets", "hw_cpu_max_cores", "hw_cpu_max_threads"),
)
"""Flavor keys, image keys."""


def topology_limits(specs: Mapping[str, str], image: Mapping[str, Any]) -> tuple[CpuTopology, CpuTopology]:
    """Return the preferred and the largest allowed topology; 0 in the preferred one means no preference.

    Raises
    ------
    NovaRefusal
        ``InvalidRequest`` for a flavor value that is no number, ``ImageVCPULimitsRangeExceeded``,
        ``ImageVCPUTopologyRangeExceeded``.
    """
    flavor_max, image_max = _asked(specs, image, MAXIMA)
    limit = (UNLIMITED, UNLIMITED, UNLIMITED)
    if flavor_max is not NOTHING or image_max is not NOTHING:
        pairs = list(zip(image_max, flavor_max, strict=True))
        if any(largest and asked > largest for asked, largest in pairs):
            raise refuse("ImageVCPULimitsRangeExceeded", image=image_max, flavor=flavor_max)
        sockets, cores, threads = (from_image or from_flavor or UNLIMITED for from_image, from_flavor in pairs)
        limit = (sockets, cores, threads)
    preferred, from_image = _asked(specs, image, PREFERENCES)
    if _beyond(preferred, limit):
        preferred = NOTHING
    if _beyond(from_image, limit):
        raise refuse("ImageVCPUTopologyRangeExceeded", image=from_image, limit=limit)
    # One preference in the image puts all three of the flavor's aside.
    return (from_image if any(from_image) else preferred), limit


def _beyond(topology: CpuTopology, limit: CpuTopology) -> bool:
    return topology[0] > limit[0] or topology[1] > limit[1] or topology[2] > limit[2]


def _asked(specs: Mapping[str, str], image: Mapping[str, Any], keys: Keys) -> tuple[CpuTopology, CpuTopology]:
    """Return what flavor and image ask for under these keys."""
    flavor = wanted = NOTHING
    sockets, cores, threads = keys[0]
    if sockets in specs or cores in specs or threads in specs:
        try:
            flavor = (int(specs.get(sockets, 0)), int(specs.get(cores, 0)), int(specs.get(threads, 0)))
        except ValueError as error:
            raise refuse("InvalidRequest", f"Invalid flavor extra spec. Error: {error}") from None
    if image:
        sockets, cores, threads = keys[1]
        wanted = (image.get(sockets, 0), image.get(cores, 0), image.get(threads, 0))
    return flavor, wanted


def best_topology(vcpus: int, preferred: CpuTopology, limit: CpuTopology, threads: int | None = None) -> CpuTopology:
    """Return the topology that meets most preferences; among equals, that with most sockets.

    Parameters
    ----------
    vcpus
        vCPUs of the guest.
    preferred, limit
        As ``topology_limits`` returns them.
    threads
        Threads per core that packing found, which bounds the threads before Xena.

    Raises
    ------
    NovaRefusal
        ``ImageVCPULimitsRangeImpossible``.
    """
    sockets, cores, most_threads = min(vcpus, limit[0]), min(vcpus, limit[1]), min(vcpus, limit[2])
    possible = [
        topology
        for topology in _factorings(vcpus)
        if topology[0] <= sockets and topology[1] <= cores and topology[2] <= most_threads
    ]
    if not possible:
        raise refuse("ImageVCPULimitsRangeImpossible", sockets=sockets, cores=cores, threads=most_threads, vcpus=vcpus)
    if threads:
        wanted = max(1, min(preferred[2], threads) if preferred[2] else threads)
        most = max((topology[2] for topology in possible if topology[2] <= wanted), default=0)
        possible = [topology for topology in possible if topology[2] == most]
    if not any(preferred):
        return possible[0]
    return max(possible, key=lambda topology: _score(topology, preferred))


def _score(topology: CpuTopology, preferred: CpuTopology) -> int:
    return sum(bool(want) and want == have for have, want in zip(topology, preferred, strict=True))


@lru_cache(maxsize=4096)
def _factorings(vcpus: int) -> list[CpuTopology]:
    """Return all sockets x cores x threads that give `vcpus`: fewest threads first, then most sockets."""
    divisors = [number for number in range(1, vcpus + 1) if vcpus % number == 0]
    found = [
        (sockets, cores, vcpus // sockets // cores)
        for sockets in divisors
        for cores in divisors
        if vcpus % (sockets * cores) == 0
    ]
    return sorted(found, key=lambda t: (t[0] * t[1], t[0], t[2]), reverse=True)
