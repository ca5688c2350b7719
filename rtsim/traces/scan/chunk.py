"""Finds the events in the bytes of a text trace; compiled by Numba, because a night's trace has 10**8 lines.

Python that Numba compiles: it walks over the bytes of a chunk once and writes integers. Texts (commands, events,
functions) are interned: each gets a number when it is first met, and its bytes are kept. The layouts it knows:

    <idle>-0       [003] d..2.    34.986484: sched_switch: prev_comm=swapper/3 prev_pid=0 ...      ftrace
    per-312   (    311) [003] d..2.    34.986484: sched_switch: ...                                with record-tgid
    <idle>-0     [003]   184.800704: sched_switch:         swapper/3:0 [120] R ==> per:312 [120]   trace-cmd report
    per   312 [003]    34.986484:       sched:sched_switch: prev_comm=per prev_pid=312 ...         perf script

What its lines mean is the table at the head of `rtsim.traces.events`; which word fills which column, `FIELDS` below.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from rtsim.traces.events import MISSING
from rtsim.traces.scan.arguments import arguments
from rtsim.traces.scan.header import NO_TIME, OK, event, header
from rtsim.traces.scan.jit import entry_point, part
from rtsim.traces.scan.numbers import digit, find, find_text, integer, skip_spaces
from rtsim.traces.scan.tables import CPU, EVENT, LOST_CODE, NUMBER, TIME
from rtsim.traces.scan.texts import MOST_NAMES

__all__ = ["NOTES", "scan"]

NOTES: Final = ("lost_markers", "lost_events", "skipped", "first_skipped_at", "steps_back", "largest_step_back_ns",
                "gaps", "largest_gap_ns", "ticks", "last_time_ns", "lines", "first_skipped_line",
                "names_full")  # fmt: skip
"""What `scan` counts, in this order, across calls; the first skipped line is given by its number and its offset."""

(_LOST_MARKERS, _LOST_EVENTS, _SKIPPED, _SKIPPED_AT, _BACK, _BACK_NS, _GAPS, _GAP_NS, _TICKS, _LAST, _LINES,
 _SKIPPED_LINE, _FULL) = range(len(NOTES))  # fmt: skip


_GAP_FROM_NS = 10_000_000_000


_CPU_START = np.frombuffer(b"CPU:", dtype=np.uint8)
_EVENTS_LOST = np.frombuffer(b"EVENTS", dtype=np.uint8)
_CPUS = np.frombuffer(b"cpus=", dtype=np.uint8)
_VERSION = np.frombuffer(b"version = ", dtype=np.uint8)


@part
def _marker(buf: Any, p: int, end: int, row: Any, notes: Any) -> bool:
    """Read ``CPU:1 [LOST 12 EVENTS]`` (ftrace) or ``CPU:1 [12 EVENTS DROPPED]`` (trace-cmd; may lack the number)."""
    if find_text(buf, p, min(end, p + 4), _CPU_START) != p or find_text(buf, p, end, _EVENTS_LOST) >= end:
        return False
    cpu, q = integer(buf, p + 4, end)
    if cpu < 0:
        return False
    while q < end and not digit(buf[q]):
        q += 1
    lost, _ = integer(buf, q, end)
    row[EVENT], row[CPU], row[NUMBER] = LOST_CODE, cpu, lost
    row[TIME] = max(notes[_LAST], 0)
    notes[_LOST_MARKERS] += 1
    notes[_LOST_EVENTS] += max(lost, 0)
    return True


@part
def _title(buf: Any, p: int, end: int) -> bool:
    """Return whether this is one of the lines that ``trace-cmd report`` prints first."""
    return find_text(buf, p, min(end, p + 5), _CPUS) == p or find_text(buf, p, min(end, p + 10), _VERSION) == p


@part
def _clock(time_ns: int, notes: Any) -> None:
    last = notes[_LAST]
    if last >= 0:
        if time_ns < last:
            notes[_BACK] += 1
            notes[_BACK_NS] = max(notes[_BACK_NS], last - time_ns)
        elif time_ns - last >= _GAP_FROM_NS:
            notes[_GAPS] += 1
            notes[_GAP_NS] = max(notes[_GAP_NS], time_ns - last)
    notes[_LAST] = time_ns


@part
def _line(buf: Any, p: int, end: int, row: Any, index: Any, pool: Any, notes: Any) -> bool:
    """Read one line into `row`; return whether it is an event or a marker."""
    p = skip_spaces(buf, p, end)
    if p >= end or buf[p] == 35:
        return False
    for column in range(len(row)):
        row[column] = MISSING
    if _marker(buf, p, end, row, notes):
        return True
    if notes[_LAST] < 0 and _title(buf, p, end):
        return False
    wrong, q = header(buf, p, end, row, index, pool)
    if wrong == OK:
        q = event(buf, q, end, row, index, pool)
        if q <= end:
            arguments(buf, q, end, row, index, pool)
            _clock(row[TIME], notes)
            return True
    elif wrong == NO_TIME:
        notes[_TICKS] += 1
    if notes[_SKIPPED] == 0:
        notes[_SKIPPED_AT], notes[_SKIPPED_LINE] = p, notes[_LINES]
    notes[_SKIPPED] += 1
    return False


@entry_point
def scan(buf: Any, size: int, rows: Any, index: Any, pool: Any, notes: Any) -> Any:
    """Read the whole lines in ``buf[:size]`` into `rows` while there is room.

    Parameters
    ----------
    buf
        Bytes, shape (at least size,).
    rows
        Shape (rows, len(COLUMNS)): filled from the first one on.
    index, pool, notes
        Carried from call to call: `new_interned`, and zeros of shape (len(NOTES),) with ``last_time_ns`` -1.

    Returns
    -------
    (rows filled, bytes read)
        What is left begins with a line that is not complete, or for which there was no room.
    """
    filled, p = 0, 0
    while filled < len(rows):
        end = find(buf, p, size, 10)
        if end >= size:
            break
        notes[_LINES] += 1
        stop = end - 1 if end > p and buf[end - 1] == 13 else end
        if _line(buf, p, stop, rows[filled], index, pool, notes):
            filled += 1
        p = end + 1
    notes[_FULL] = index[0] >= MOST_NAMES - 1
    return filled, p
