"""Jumps of a trace's clock: found in a first reading, cut out in a second one.

A clock that is set, a virtual machine that its host stops for a while, and two traces in one file look alike: a step
from one event to the next in which the machine did nothing. Taken as time it would thin out whatever strikes.

A step *back* is a jump. A step *forward* is a silence of all CPUs, which an idle machine has too. It is taken for a
jump if all of this holds:

* it lasts `SHORTEST_NS`, and `TIMES_USUAL` times as long as any other silence of the trace;
* the trace goes on for `ALIVE_NS` without so long a silence before it, and after it;
* there is one in the trace, or one more for each `EACH_NS` that the trace is long without them.

So neither a few events a second nor a machine that works and rests in turn are taken for jumps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from rtsim.inputs.units import format_ns
from rtsim.traces.events import COLUMNS, LOST, MISSING, EventChunk
from rtsim.traces.trace import Trace

__all__ = ["Jump", "find_jumps", "jump_warnings", "parted", "without_jumps"]

BACK_NS = 10_000_000
"""An event that is earlier by less was only written late: an interrupt came between its stamp and its place."""
SHORTEST_NS = 1_000_000_000
"""Even an idle kernel does something every second or so: it counts its memory's pages and watches its clocks."""
TIMES_USUAL = 10
ALIVE_NS = 1_000_000_000
EACH_NS = 60_000_000_000
AFTER_NS = 1_000
"""What is left of a jump: the coarsest resolution, so that what comes after it is later than what came before."""
MOST_TOLD = 5
"""A damaged file may jump thousands of times."""


@dataclass(frozen=True)
class Jump:
    """One jump: before which event of the trace, counted from 0, the time before it, and how far (ns)."""

    event: int
    before_ns: int
    by_ns: int

    def __str__(self) -> str:
        at = f"{self.before_ns // 10**9}.{self.before_ns % 10**9 // 1000:06}"
        if self.by_ns < 0:
            return f"after {at} the clock jumps back by {format_ns(-self.by_ns)}, which is cut out"
        return f"after {at} no CPU does anything for {format_ns(self.by_ns)}: cut out as a jump of the clock"


def find_jumps(trace: Trace) -> tuple[Jump, ...]:
    """Return the jumps of a trace, in its order.

    None where a trace is in order of time for each CPU only (Perfetto): its steps over all CPUs tell nothing.

    Raises
    ------
    InputError
        As reading the trace.
    """
    steps = _Steps()
    for chunk in trace:
        if not trace.notes.in_order:
            return ()
        steps.read(chunk)
    silences = {each.event for each in steps.unusual()}
    return tuple(each for each in steps.wide if each.by_ns < 0 or each.event in silences)


def jump_warnings(jumps: Sequence[Jump]) -> list[str]:
    """Return what to tell of jumps: the first of them, and how many more there are."""
    told = [str(jump) for jump in jumps[:MOST_TOLD]]
    more = len(jumps) - len(told)
    return [*told, f"the clock jumps {more} times more, which is cut out"] if more else told


def parted(chunks: Iterable[EventChunk], jumps: Iterable[Jump]) -> Iterator[tuple[EventChunk, int]]:
    """Yield the chunks, parted by a mark at each jump, and how far (ns) jumps have put the clock forward by then.

    A mark is a ``lost_events`` in a chunk of its own: nothing is known across it.
    """
    waiting, seen, ahead_ns = deque(jumps), 0, 0
    for chunk in chunks:
        begin = 0
        while waiting and waiting[0].event < seen + len(chunk):
            jump = waiting.popleft()
            at = jump.event - seen
            yield _piece(chunk, begin, at), ahead_ns
            yield _mark(chunk, at, jump), ahead_ns
            begin, ahead_ns = at, ahead_ns + jump.by_ns - AFTER_NS
        yield _piece(chunk, begin, len(chunk)), ahead_ns
        seen += len(chunk)


def without_jumps(chunk: EventChunk, ahead_ns: int) -> EventChunk:
    """Return a part that `parted` yields, with the times it had if the clock had not jumped."""
    if ahead_ns == 0:
        return chunk
    values = chunk.values.copy()
    for row in (COLUMNS.index("time_ns"), COLUMNS.index("start_ns")):
        values[row] = np.where(values[row] == MISSING, MISSING, values[row] - ahead_ns)
    return EventChunk(values, chunk.names)


def _piece(chunk: EventChunk, begin: int, end: int) -> EventChunk:
    return EventChunk(chunk.values[:, begin:end], chunk.names)


def _mark(chunk: EventChunk, at: int, jump: Jump) -> EventChunk:
    known = {"time_ns": jump.before_ns, "cpu": int(chunk.column("cpu")[at]), "event": chunk.names.index(LOST)}
    values = np.array([[known.get(name, MISSING)] for name in COLUMNS], np.int64)
    return EventChunk(values, chunk.names)


@dataclass
class _Steps:
    """The steps from one event to the next."""

    wide: list[Jump] = field(default_factory=list)
    """Those that may be jumps, in order."""
    usual_ns: int = 0
    """The longest of the others."""
    seen: int = 0
    first_ns: int | None = None
    last_ns: int = 0

    def read(self, chunk: EventChunk) -> None:
        """Take the events of a chunk."""
        times = chunk.column("time_ns")
        if not len(times):
            return
        if self.first_ns is None:
            self.first_ns = self.last_ns = int(times[0])
        before = np.concatenate(([self.last_ns], times[:-1]))
        steps = times - before
        wide = (steps >= SHORTEST_NS) | (steps <= -BACK_NS)
        for at in np.flatnonzero(wide).tolist():
            self.wide.append(Jump(self.seen + at, int(before[at]), int(steps[at])))
        self.usual_ns = max(self.usual_ns, int(steps[~wide].max(initial=0)))
        self.seen, self.last_ns = self.seen + len(times), int(times[-1])

    def unusual(self) -> list[Jump]:
        """Return the silences that are taken for jumps, the shortest first."""
        begun = [self.first_ns or 0, *(each.before_ns + each.by_ns for each in self.wide)]
        ended = [*(each.before_ns for each in self.wide), self.last_ns]
        alive = [end - begin for begin, end in zip(begun, ended, strict=True)]
        silences = [
            (each, min(around) >= ALIVE_NS)
            for each, around in zip(self.wide, pairwise(alive), strict=True)
            if each.by_ns > 0
        ]
        usual_ns = max((each.by_ns for each, lonely in silences if not lonely), default=self.usual_ns)
        found = sorted((each for each, lonely in silences if lonely), key=lambda each: each.by_ns)
        while found and found[0].by_ns < TIMES_USUAL * usual_ns:
            usual_ns = found.pop(0).by_ns
        return found if len(found) <= 1 + sum(alive) // EACH_NS else []
