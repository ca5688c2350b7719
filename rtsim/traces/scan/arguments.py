"""The arguments of an event: ``key=value`` words, trace-cmd's short forms, sentences of osnoise and KVM."""

from __future__ import annotations

from typing import Any

import numpy as np

from rtsim.traces.events import MISSING
from rtsim.traces.scan.header import find_cpu
from rtsim.traces.scan.jit import part
from rtsim.traces.scan.numbers import digit, find, find_text, hexadecimal, integer, seconds
from rtsim.traces.scan.tables import (
    ADDRESS,
    COMM,
    COMMAND,
    EVENT,
    INT,
    KEYS,
    KIND_OF,
    KVM,
    NAME,
    NOISE,
    NUMBER,
    OTHER_COMM,
    OTHER_CPU,
    OTHER_PID,
    OTHER_PRIO,
    PID,
    PRIO,
    START,
    STATE,
    SWITCH,
    TASKS,
    THREAD_NOISE,
    VALUE,
    WORD,
    WORK,
)
from rtsim.traces.scan.texts import intern

_ARROW = np.frombuffer(b" ==> ", dtype=np.uint8)
_CPU_WORD = np.frombuffer(b" CPU:", dtype=np.uint8)
_START_WORD = np.frombuffer(b" start ", dtype=np.uint8)
_DURATION_WORD = np.frombuffer(b" duration ", dtype=np.uint8)
_INTERFERENCE_WORD = np.frombuffer(b" interference ", dtype=np.uint8)
_VCPU_WORD = np.frombuffer(b"vcpu ", dtype=np.uint8)
_REASON_WORD = np.frombuffer(b"reason ", dtype=np.uint8)
_FUNCTION_WORD = np.frombuffer(b"function ", dtype=np.uint8)
_STRUCT_WORD = np.frombuffer(b"struct ", dtype=np.uint8)


@part
def _word_end(buf: Any, p: int, end: int) -> int:
    """Return where a word ends: at a space, a bracket, or the ``/0x12`` that trace-cmd adds to functions."""
    while p < end and buf[p] != 32 and buf[p] != 93:
        if buf[p] == 47 and p + 2 < end and buf[p + 1] == 48 and buf[p + 2] == 120:
            break
        p += 1
    return p


@part
def _command_end(buf: Any, p: int, end: int) -> int:
    """Return where a command ends, which may hold spaces: before the ``pid=`` that always follows it."""
    q = p + 3
    while q < end and not (buf[q] == 61 and buf[q - 1] == 100 and buf[q - 2] == 105 and buf[q - 3] == 112):
        q += 1
    if q >= end:
        return end
    while q > p and buf[q] != 32:
        q -= 1
    return q


@part
def _pairs(buf: Any, p: int, end: int, kind: int, row: Any, index: Any, pool: Any) -> None:
    """Read ``key=value`` words, also in brackets; keys that the kind does not know are passed over."""
    while p < end:
        while p < end and (buf[p] == 32 or buf[p] == 91 or buf[p] == 40):
            p += 1
        begin = p
        hashed: Any = 2166136261
        while p < end and buf[p] != 61 and buf[p] != 32:
            hashed = ((hashed ^ np.int64(buf[p])) * 16777619) & 0xFFFFFFFF
            p += 1
        if p >= end or buf[p] != 61:
            continue
        slot = hashed & 255
        while KEYS[slot, 0] != hashed and KEYS[slot, 0] >= 0:
            slot = (slot + 1) & 255
        p += 1
        column = KEYS[slot, 2 + 2 * kind]
        if KEYS[slot, 0] >= 0 and KEYS[slot, 1] == p - 1 - begin and column >= 0:
            p = _value(buf, p, end, column, KEYS[slot, 3 + 2 * kind], row, index, pool)
        else:
            p = find(buf, p, end, 32)


@part
def _value(buf: Any, p: int, end: int, column: int, ends: int, row: Any, index: Any, pool: Any) -> int:
    if ends == INT:
        row[column], p = integer(buf, p, end)
        return find(buf, p, end, 32)
    if ends == ADDRESS:
        prefix = 2 if p + 1 < end and buf[p] == 48 and buf[p + 1] == 120 else 0
        row[column], p = hexadecimal(buf, p + prefix, end)
        return find(buf, p, end, 32)
    if ends == WORD:
        stop = _word_end(buf, p, end)
    elif ends == COMMAND:
        stop = _command_end(buf, p, end)
    else:
        stop = end
    row[column] = intern(buf, p, stop, index, pool)
    return find(buf, stop, end, 32)


@part
def _plugin_task(buf: Any, p: int, end: int, row: Any, pid: int, comm: int, prio: int, index: Any, pool: Any) -> int:
    """Read trace-cmd's ``comm:pid [prio]``; return where it ends, -1 if it is none."""
    bracket = find_cpu(buf, p, end)
    colon = bracket - 2
    while colon > p and digit(buf[colon]):
        colon -= 1
    if bracket >= end or colon <= p or buf[colon] != 58:
        return -1
    row[pid], _ = integer(buf, colon + 1, bracket)
    row[comm] = intern(buf, p, colon, index, pool)
    row[prio], stop = integer(buf, bracket + 1, end)
    return int(stop) + 1


@part
def _plugin_switch(buf: Any, p: int, end: int, row: Any, index: Any, pool: Any) -> None:
    arrow = find_text(buf, p, end, _ARROW)
    stop = _plugin_task(buf, p, arrow, row, PID, COMM, PRIO, index, pool)
    if stop >= 0 and stop + 1 < arrow:
        row[STATE] = intern(buf, stop + 1, arrow, index, pool)
    if arrow < end:
        _plugin_task(buf, arrow + 5, end, row, OTHER_PID, OTHER_COMM, OTHER_PRIO, index, pool)


@part
def _plugin_wakeup(buf: Any, p: int, end: int, row: Any, index: Any, pool: Any) -> None:
    stop = _plugin_task(buf, p, end, row, OTHER_PID, OTHER_COMM, OTHER_PRIO, index, pool)
    cpu = find_text(buf, max(stop, p), end, _CPU_WORD)
    if stop >= 0 and cpu < end:
        row[OTHER_CPU], _ = integer(buf, cpu + 5, end)


@part
def noise(buf: Any, p: int, end: int, row: Any, thread: bool, index: Any, pool: Any) -> None:
    """Read osnoise's ``[name:number] start 12.345678901 duration 1234 ns``."""
    start = find_text(buf, max(p - 1, 0), end, _START_WORD)
    colon = start
    while colon > p and buf[colon] != 58:
        colon -= 1
    if colon > p:
        row[OTHER_PID if thread else NUMBER], _ = integer(buf, colon + 1, start)
        row[OTHER_COMM if thread else NAME] = intern(buf, p, colon, index, pool)
    if start < end:
        row[START], _ = seconds(buf, start + 7, end)
    duration = find_text(buf, start, end, _DURATION_WORD)
    if duration < end:
        row[VALUE], _ = integer(buf, duration + 10, end)
    interference = find_text(buf, duration, end, _INTERFERENCE_WORD)
    if interference < end:
        row[NUMBER], _ = integer(buf, interference + 14, end)


@part
def _after(buf: Any, p: int, end: int, word: Any) -> int:
    """Return where what follows `word` starts; `end` if it is not there."""
    found = find_text(buf, p, end, word)
    return min(found + len(word), end)


@part
def _numbered_word(
    buf: Any, p: int, end: int, number_after: Any, name_after: Any, row: Any, index: Any, pool: Any
) -> None:
    number = _after(buf, p, end, number_after)
    if number < end:
        row[NUMBER], _ = integer(buf, number, end)
    name = _after(buf, p, end, name_after)
    if name < end:
        row[NAME] = intern(buf, name, _word_end(buf, name, end), index, pool)


@part
def arguments(buf: Any, p: int, end: int, row: Any, index: Any, pool: Any) -> None:
    event = row[EVENT]
    if event < 0 or event >= len(KIND_OF):
        return
    kind = KIND_OF[event]
    if kind == NOISE:
        noise(buf, p, end, row, event == THREAD_NOISE, index, pool)
    elif kind == KVM:
        _numbered_word(buf, p, end, _VCPU_WORD, _REASON_WORD, row, index, pool)
    elif kind == WORK:
        _numbered_word(buf, p, end, _STRUCT_WORD, _FUNCTION_WORD, row, index, pool)
    else:
        _pairs(buf, p, end, kind, row, index, pool)
        if kind == SWITCH and row[OTHER_PID] == MISSING:
            _plugin_switch(buf, p, end, row, index, pool)
        elif kind == TASKS and row[OTHER_PID] == MISSING:
            _plugin_wakeup(buf, p, end, row, index, pool)
