"""The tables of ``rtla timerlat top`` and ``rtla osnoise top``: counts and extremes, no distribution."""

from __future__ import annotations

import re
from typing import IO

from rtsim.inputs.errors import InputError
from rtsim.measure.distribution import Distribution
from rtsim.traces.lines import numbered_lines
from rtsim.traces.measured import MOST_SAMPLES, Measured, Thread, Unit, step_ns, summary_only

__all__ = ["read_top"]

_TITLE = re.compile(r"(Timer Latency|Operating System Noise)$")
_UNIT = re.compile(r"Latency \((us|ns)\)|time is in (us|ns)")
_TIMERLAT = re.compile(r"(\d{1,5})\s+#(\d{1,15})\s*\|(.*)$", re.ASCII)
_OSNOISE = re.compile(r"(\d{1,5})\s+#(\d{1,15})\s+([\d.\s]+)$", re.ASCII)
_KINDS = ("irq", "thread", "user")
_OSNOISE_COLUMNS = (
    "runtime", "noise", "percent_available", "max_noise", "max_single", "hw", "nmi", "irq", "softirq", "thread",
)  # fmt: skip


def read_top(source: str, stream: IO[str]) -> Measured:
    """Read the last table of the file.

    Raises
    ------
    InputError
        There is none, or a row of it is malformed.
    """
    tool, unit = "", None
    threads: dict[tuple[int, str], Thread] = {}
    for number, line in numbered_lines(stream, source):
        if title := _TITLE.search(line):
            tool = "timerlat" if title[1] == "Timer Latency" else "osnoise"
            unit, threads = None, {}
        elif found := _UNIT.search(line):
            unit = found[1] or found[2]
        elif tool == "timerlat" and (row := _TIMERLAT.match(line)):
            for thread in _timerlat_row(source, number, row, _unit(source, unit)):
                threads[thread.number, thread.kind] = thread
        elif tool == "osnoise" and (row := _OSNOISE.match(line)):
            thread = _osnoise_row(source, number, row, _unit(source, unit))
            threads[thread.number, thread.kind] = thread
    if not threads:
        raise InputError(source, "", "expected rtla's histogram or top table, found neither")
    return Measured(source, tuple(threads[key] for key in sorted(threads)), _unit(source, unit), tool=tool)


def _unit(source: str, unit: str | None) -> Unit:
    if unit is None:
        raise InputError(source, "", "expected the unit of the times above the table: (us) or (ns)")
    return "ns" if unit == "ns" else "us"


def _timerlat_row(source: str, number: int, row: re.Match[str], unit: Unit) -> list[Thread]:
    threads = []
    cpu, count = int(row[1]), int(row[2])
    for kind, cells in zip(_KINDS, row[3].split("|"), strict=False):
        words = cells.split()
        if len(words) != 4 or not all(word == "-" or (word.isdecimal() and len(word) <= 15) for word in words):
            raise InputError(source, f"line {number}", f"expected cur, min, avg and max of {kind}, found {cells!r:.40}")
        if "-" in words[1:]:
            samples = summary_only(0, 0, 0, 0, unit)
        else:
            samples = summary_only(count, int(words[1]), int(words[2]), int(words[3]), unit)
        threads.append(Thread(cpu, samples, cpu, kind))
    return threads


def _osnoise_row(source: str, number: int, row: re.Match[str], unit: Unit) -> Thread:
    words = row[3].split()
    if len(words) != len(_OSNOISE_COLUMNS):
        raise InputError(source, f"line {number}", f"expected {len(_OSNOISE_COLUMNS)} figures, found {len(words)}")
    try:
        figures = [float(word) for word in words]
    except ValueError:
        raise InputError(source, f"line {number}", "expected numbers") from None
    counters = dict(zip(_OSNOISE_COLUMNS, figures, strict=True)) | {"periods": float(row[2])}
    if max(figures) > MOST_SAMPLES:
        raise InputError(source, f"line {number}", f"expected numbers up to {MOST_SAMPLES}")
    single = int(counters["max_single"]) * step_ns(unit)
    return Thread(int(row[1]), Distribution.of((), max_ns=single), int(row[1]), "noise", counters)
