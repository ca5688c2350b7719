"""Walking over bytes: blanks, words, numbers and times."""

from __future__ import annotations

from typing import Any

import numpy as np

from rtsim.traces.events import MISSING
from rtsim.traces.scan.jit import part


@part
def digit(byte: int) -> bool:
    return 48 <= byte <= 57


@part
def skip_spaces(buf: Any, p: int, end: int) -> int:
    while p < end and buf[p] == 32:
        p += 1
    return p


@part
def find(buf: Any, p: int, end: int, byte: int) -> int:
    """Return where `byte` next is, `end` if nowhere."""
    while p < end and buf[p] != byte:
        p += 1
    return p


@part
def find_text(buf: Any, p: int, end: int, text: Any) -> int:
    last = end - len(text)
    while p <= last:
        same = True
        for i in range(len(text)):
            if buf[p + i] != text[i]:
                same = False
                break
        if same:
            return p
        p += 1
    return end


@part
def integer(buf: Any, p: int, end: int) -> Any:
    """Return (value, where it ends) of a decimal or 0x number, of 64 bits; (MISSING, p) if there is none."""
    begin = p
    negative = p < end and buf[p] == 45
    if negative:
        p += 1
    if p + 2 < end and buf[p] == 48 and buf[p + 1] == 120:
        return hexadecimal(buf, p + 2, end)
    first = p
    value = np.int64(0)
    while p < end and digit(buf[p]) and p - first < 18:
        value = value * 10 + np.int64(buf[p] - 48)
        p += 1
    if p == first or (p < end and digit(buf[p])):
        return np.int64(MISSING), begin
    return (-value if negative else value), p


@part
def hexadecimal(buf: Any, p: int, end: int) -> Any:
    first = p
    value = np.int64(0)
    while p < end and p - first < 16:
        byte = np.int64(buf[p])
        if 48 <= byte <= 57:
            nibble = byte - 48
        elif 97 <= byte <= 102:
            nibble = byte - 87
        else:
            break
        high = value >> 59  # the top five bits, so that the shift below never leaves 64 bits
        value = ((value & 0x07FFFFFFFFFFFFFF) << 4) | nibble
        if high & 1:
            value = value | np.int64(MISSING)
        p += 1
    return (value if p > first else np.int64(MISSING)), p


@part
def seconds(buf: Any, p: int, end: int) -> Any:
    """Return (ns, where it ends) of ``12.345678`` or with up to 9 places; (MISSING, p) if there is none."""
    whole, dot = integer(buf, p, min(end, p + 11))
    if whole < 0 or whole > 9_000_000_000 or dot >= end or buf[dot] != 46:
        return np.int64(MISSING), p
    q = dot + 1
    part = np.int64(0)
    while q < end and digit(buf[q]) and q - dot <= 9:
        part = part * 10 + np.int64(buf[q] - 48)
        q += 1
    places = q - dot - 1
    if places < 3 or (q < end and digit(buf[q])):
        return np.int64(MISSING), p
    for _ in range(9 - places):
        part *= 10
    return whole * 1_000_000_000 + part, q
