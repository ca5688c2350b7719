"""The guest's NUMA cells while they are being fitted; Nova changes them in place, and so does the fitting here."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["GuestCell", "GuestTopology"]


@dataclass(slots=True)
class GuestCell:
    """One NUMA cell of a guest."""

    host_id: int
    """The host cell it is on; before fitting, its own number."""
    shared: set[int]
    """vCPUs that float over the host cell's shared CPUs."""
    pinned: set[int]
    """vCPUs that get a host CPU each."""
    memory_mib: int
    page_size: int | None = None
    """KiB, or PAGES_SMALL, PAGES_LARGE, PAGES_ANY until the first host cell that had pages decided."""
    policy: str | None = None
    thread_policy: str | None = None
    pins: dict[int, int] = field(default_factory=dict)
    """vCPU -> host CPU."""
    reserved: set[int] | None = None
    """Host CPUs set aside for the emulator thread."""
    threads: int | None = None
    """Threads per core that packing found, which releases before Xena showed to the guest."""

    @property
    def is_pinned(self) -> bool:
        """Whether the guest's policy is dedicated or mixed."""
        return self.policy == "dedicated" or self.policy == "mixed"


@dataclass(slots=True)
class GuestTopology:
    """All NUMA cells of a guest, in the guest's order."""

    cells: list[GuestCell]
    emulator_policy: str | None = None
