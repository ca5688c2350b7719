"""When the sources of noise of one trace struck, and the time in which the trace would have shown them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Occurrences", "Source", "Timeline"]


class Source(NamedTuple):
    """One source of noise on one CPU; `cpu` is None for a thread that is bound to none."""

    kind: str
    name: str
    cpu: int | None
    policy: str | None = None
    priority: int | None = None


@dataclass
class Occurrences:
    """Of one source: when each began (ns), how long it ran itself (ns), in how many stays of a thread, and where."""

    begin_ns: list[int] = field(default_factory=list)
    duration_ns: list[int] = field(default_factory=list)
    pieces: list[int] = field(default_factory=list)
    cpus: list[int] = field(default_factory=list)

    def add(self, begin: int, duration: int, pieces: int, cpu: int) -> None:
        """Append one."""
        self.begin_ns.append(begin)
        self.duration_ns.append(duration)
        self.pieces.append(pieces)
        self.cpus.append(cpu)


@dataclass
class Timeline:
    """All occurrences of a trace, and the time in which it would have shown them.

    ``gaps_ns`` are the times at which events were lost: nothing is known across them.
    """

    sources: dict[Source, Occurrences] = field(default_factory=dict)
    first_ns: dict[int, int] = field(default_factory=dict)
    """By CPU: its first event."""
    last_ns: int = 0
    gaps_ns: list[int] = field(default_factory=list)
    resolution_ns: int = 1000

    @property
    def length_ns(self) -> int:
        """From the first event to the last."""
        return self.last_ns - min(self.first_ns.values(), default=self.last_ns)

    @property
    def cpus(self) -> tuple[int, ...]:
        """CPUs that had events."""
        return tuple(sorted(self.first_ns))
