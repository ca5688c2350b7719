"""The part of a line before the event's arguments: task, CPU, time, name."""

from __future__ import annotations

from typing import Any

from rtsim.traces.scan.jit import part
from rtsim.traces.scan.numbers import digit, find, integer, seconds, skip_spaces
from rtsim.traces.scan.tables import COMM, CPU, EVENT, FUNCTION_CODE, NAME, PID, TIME
from rtsim.traces.scan.texts import intern

OK, _NO_EVENT, NO_TIME = 0, 1, 2


@part
def find_cpu(buf: Any, p: int, end: int) -> int:
    """Return where the CPU stands, ``[003]`` after a space; `end` if nowhere."""
    while True:
        p = find(buf, p + 1, end, 91)
        if p >= end:
            return end
        if buf[p - 1] == 32:
            q = p + 1
            while q < end and digit(buf[q]):
                q += 1
            if q < end and buf[q] == 93 and 0 < q - p - 1 <= 5:
                return p


@part
def _task(buf: Any, p: int, end: int, row: Any, index: Any, pool: Any) -> bool:
    """Read ``comm-pid``, ``comm-pid (tgid)``, ``comm pid`` or ``comm pid/tid`` that lies in [p, end)."""
    while end > p and buf[end - 1] == 32:
        end -= 1
    if end > p and buf[end - 1] == 41:  # the thread group in brackets
        while end > p and buf[end - 1] != 40:
            end -= 1
        end -= 1
        while end > p and buf[end - 1] == 32:
            end -= 1
    digits = end
    while digits > p and digit(buf[digits - 1]):
        digits -= 1
    pid, _ = integer(buf, digits, end)
    if pid < 0:
        return False
    if digits > p and buf[digits - 1] == 47:  # perf's pid/tid: the thread's is the one to keep
        digits -= 1
        while digits > p and digit(buf[digits - 1]):
            digits -= 1
    if digits <= p or (buf[digits - 1] != 45 and buf[digits - 1] != 32):
        return False
    digits -= 1
    while digits > p and buf[digits - 1] == 32:
        digits -= 1
    row[PID] = pid
    row[COMM] = intern(buf, p, digits, index, pool)
    return digits > p


@part
def header(buf: Any, p: int, end: int, row: Any, index: Any, pool: Any) -> Any:
    """Read everything before the event's name; return (what went wrong, where the name starts)."""
    bracket = find_cpu(buf, p, end)
    if bracket >= end or not _task(buf, p, bracket, row, index, pool):
        return _NO_EVENT, p
    cpu, q = integer(buf, bracket + 1, end)
    row[CPU] = cpu
    q = skip_spaces(buf, q + 1, end)
    if q < end and not digit(buf[q]):  # flags
        q = skip_spaces(buf, find(buf, q, end, 32), end)
    time_ns, stop = seconds(buf, q, end)
    if time_ns < 0 or stop >= end or buf[stop] != 58:
        ticks, stop = integer(buf, q, end)
        return (NO_TIME if ticks >= 0 and stop < end and buf[stop] == 58 else _NO_EVENT), q
    row[TIME] = time_ns
    return OK, skip_spaces(buf, stop + 1, end)


@part
def event(buf: Any, p: int, end: int, row: Any, index: Any, pool: Any) -> int:
    """Read the event's name from p on; return where its arguments start, `end` + 1 if there is no name."""
    count, q = integer(buf, p, end)  # perf's period
    if count >= 0 and q < end and buf[q] == 32:
        p = skip_spaces(buf, q, end)
    q = p
    while q < end and buf[q] != 32:
        q += 1
    if q > p + 1 and buf[q - 1] == 58:
        system = q - 1
        while system > p and buf[system - 1] != 58:
            system -= 1
        row[EVENT] = intern(buf, system, q - 1, index, pool)
        return skip_spaces(buf, q, end)
    if q + 3 < end and buf[q + 1] == 60 and buf[q + 2] == 45:  # function <-parent
        row[EVENT] = FUNCTION_CODE
        row[NAME] = intern(buf, p, q, index, pool)
        return end
    return end + 1
