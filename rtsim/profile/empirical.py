"""Reads measured distributions: value and weight a line, one value a line, or a cyclictest-like histogram.

Numbers are nanoseconds, those of a histogram (recognised by cyclictest's ``# Histogram`` or ``# Total`` comment)
microseconds; a comment ``# unit: us`` says otherwise. Values of a histogram are truncated to their bucket, so bucket v
stands for v to v + 1, spread evenly; several columns (threads) are added up.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from rtsim.inputs.errors import InputError, shown
from rtsim.inputs.files import read_text
from rtsim.inputs.units import LARGEST_NS, NS_PER_UNIT
from rtsim.profile.distributions import Empirical

__all__ = ["read_empirical"]

_UNIT = re.compile(r"#\s*unit:\s*(\S+)", re.IGNORECASE)
_NUMBER = re.compile(r"\d{1,19}(\.\d{1,12})?([eE][+-]?\d{1,2})?", re.ASCII)
_OVERFLOWS = re.compile(r"#\s*Histogram Overflows?:\s*([\d\s]*)", re.IGNORECASE)


def read_empirical(path: str | os.PathLike[str]) -> Empirical:
    """Return the distribution in the file.

    Raises
    ------
    InputError
        The file is none of the three forms, holds no samples, or is a histogram with overflows, whose tail is unknown.
    """
    source = os.fspath(path)
    text = read_text(path)
    lines = list(_rows(text, source))
    histogram = bool(re.search(r"^#\s*(Histogram\b|Total:)", text, re.MULTILINE | re.IGNORECASE))
    overflows = _OVERFLOWS.search(text)
    if overflows and any(int(word) for word in overflows[1].split()):
        raise InputError(source, "Histogram Overflows", "expected 0: record again with a larger histogram (-h)")
    unit = _unit(text, source) or ("us" if histogram else "ns")
    if histogram and any(len(row) < 2 for _, row in lines):
        raise InputError(source, "", "expected a bucket and at least one count on each line of a histogram")
    return _distribution(lines, NS_PER_UNIT[unit], NS_PER_UNIT[unit] if histogram else 0, source)


def _distribution(lines: list[tuple[int, list[float]]], scale: int, width: int, source: str) -> Empirical:
    weights: dict[float, float] = {}
    for line, row in lines:
        value = row[0] * scale
        if value + width > LARGEST_NS:
            raise InputError(source, f"line {line}", f"expected values up to 2^62 ns, found {shown(row[0])}")
        weights[value] = weights.get(value, 0.0) + (sum(row[1:]) if len(row) > 1 else 1.0)
    kept = sorted((value, weight) for value, weight in weights.items() if weight > 0)
    if not kept:
        raise InputError(source, "", "expected at least one value with a weight above 0")
    values, counts = zip(*kept, strict=True)
    return Empirical(values, tuple(value + width for value in values), counts)


def _rows(text: str, source: str) -> Iterator[tuple[int, list[float]]]:
    columns = 0
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split("#", 1)[0].replace(",", " ").split()
        if not words:
            continue
        if not all(_NUMBER.fullmatch(word) for word in words):
            raise InputError(source, f"line {number}", f"expected numbers of 0 or more, found {shown(line.strip())}")
        columns = columns or len(words)
        if len(words) != columns:
            raise InputError(source, f"line {number}", f"expected {columns} numbers, found {len(words)}")
        yield number, [float(word) for word in words]


def _unit(text: str, source: str) -> str | None:
    match = _UNIT.search(text)
    if match is None:
        return None
    if match[1] not in NS_PER_UNIT:
        raise InputError(source, "unit", f"expected one of {', '.join(NS_PER_UNIT)}, found {shown(match[1])}")
    return match[1]
