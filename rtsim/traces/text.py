"""Text traces: ftrace's ``trace`` and ``trace_pipe``, ``trace-cmd report``, ``perf script`` and ``perf sched script``.

Read in chunks of fixed size: memory does not grow with the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO

import numpy as np
import numpy.typing as npt

from rtsim.inputs.errors import InputError, shown
from rtsim.traces.events import COLUMNS, EventChunk, TraceNotes

__all__ = ["TextTrace"]

Bytes = npt.NDArray[np.uint8]

_CHUNK_BYTES = 4 * 1024 * 1024
_CHUNK_EVENTS = 32 * 1024
_FRUITLESS_LINES = 10_000
"""A file whose first lines hold no event is refused after so many: it may be 10 GB of something else."""

_ENTRIES = re.compile(rb"#\s*entries-in-buffer/entries-written:\s*(\d{1,18})/(\d{1,18})")


class TextTrace:
    """The events of a text trace, in chunks; iterate once.

    Parameters
    ----------
    stream
        Open in binary mode; the caller closes it.
    source
        Its name in errors.

    Attributes
    ----------
    notes
        A `TraceNotes`, complete after the last chunk.
    """

    def __init__(self, stream: IO[bytes], source: str) -> None:
        self.source = source
        self.notes = TraceNotes()
        self._stream = stream

    def __iter__(self) -> Iterator[EventChunk]:
        """Yield the chunks.

        Raises
        ------
        InputError
            The file is no trace, its clock does not count seconds, or a line has no end.
        """
        from rtsim.traces.scan import NOTES, new_interned, scan  # loads Numba

        interned = new_interned()
        names = interned.texts(0)
        counts = np.zeros(len(NOTES), dtype=np.int64)
        counts[NOTES.index("last_time_ns")] = -1
        buffer = np.empty(_CHUNK_BYTES, dtype=np.uint8)
        values = np.empty((len(COLUMNS), _CHUNK_EVENTS), dtype=np.int64)
        held, ended = 0, False
        while not ended or held:
            if not ended:
                held, ended = self._fill(buffer, held, first=self.notes.events == 0)
            skipped = int(counts[NOTES.index("skipped")])
            filled, used = scan(buffer, held, values.T, interned.index, interned.pool, counts)
            self._check(dict(zip(NOTES, counts.tolist(), strict=True)), buffer, skipped, filled)
            if used == 0:
                self._without_end(held, ended)
                break
            names.extend(interned.texts(len(names)))
            if filled:
                yield EventChunk(values[:, :filled].copy(), names)
            buffer[: held - used] = buffer[used:held].copy()
            held -= used
        if self.notes.events == 0:
            raise InputError(self.source, "", f"expected events of a trace, found none{self._first_skipped()}")

    def _fill(self, buffer: Bytes, held: int, *, first: bool) -> tuple[int, bool]:
        """Read on behind the `held` bytes; return how many there are now, and whether the file has ended."""
        got = self._stream.readinto(buffer[held:].data)  # type: ignore[attr-defined]
        if first:
            self._look_at_start(buffer[: min(held + got, 64 * 1024)].tobytes())
        return held + got, got == 0 and held < len(buffer)

    def _look_at_start(self, start: bytes) -> None:
        if b"\0" in start:
            raise InputError(self.source, f"byte {start.index(0)}", "expected the text of a trace, found other bytes")
        if start.startswith(b"# tracer:") and b"latency trace v" in start[:200]:
            raise InputError(self.source, "", "expected ftrace's default layout, found that of options/latency-format")
        if entries := _ENTRIES.search(start):
            self.notes.overwritten = max(int(entries[2]) - int(entries[1]), 0)

    def _check(self, counts: dict[str, int], buffer: Bytes, skipped_before: int, filled: int) -> None:
        """Take over what `scan` counted."""
        notes = self.notes
        if counts["skipped"] and not skipped_before:
            at = counts["first_skipped_at"]
            text = buffer[at : at + 60].tobytes().partition(b"\n")[0].decode("utf-8", "replace")
            notes.first_skipped = f"line {counts['first_skipped_line']}: {shown(text)}"
        if counts["ticks"]:
            raise InputError(
                self.source, "", "expected times in seconds, found a trace_clock that counts ticks (counter, x86-tsc)"
            )
        notes.lost_markers, notes.lost_events = counts["lost_markers"], counts["lost_events"]
        notes.skipped_lines = counts["skipped"]
        notes.steps_back, notes.largest_step_back_ns = counts["steps_back"], counts["largest_step_back_ns"]
        notes.gaps, notes.largest_gap_ns = counts["gaps"], counts["largest_gap_ns"]
        notes.events = notes.events + filled
        if notes.events - notes.lost_markers <= 0 and counts["skipped"] > _FRUITLESS_LINES:
            raise InputError(self.source, "", f"expected events of a trace{self._first_skipped()}")
        if counts["names_full"]:
            notes.more = ["there are too many different names: those met last are missing"]

    def _without_end(self, held: int, ended: bool) -> None:
        """What is left has no line end: the last line may lack digits, so it is not read."""
        if not ended:
            raise InputError(self.source, "", f"expected lines of at most {_CHUNK_BYTES} bytes")
        self.notes.cut_off = held > 0

    def _first_skipped(self) -> str:
        return f"; the first line that is none: {self.notes.first_skipped}" if self.notes.first_skipped else ""
