"""What rtla measured: ``rtla timerlat hist | top`` and ``rtla osnoise hist | top``, in us or ns.

A histogram has a column for each CPU and context: ``IRQ``, ``Thr`` and, in newer versions, ``Usr`` of timerlat, ``CPU``
of osnoise; below it over, count, min, avg and max of each, and since 6.10 the same for ``ALL`` CPUs together. What lies
beyond the last entry is only counted (``over:``) and kept as censored. Rows without samples are left out, and neither
the width of a bucket nor the number of entries is printed: where they are not told to the reader, the width is the
largest that fits all rows, and the histogram ends with its last row.

The top views hold no distribution: a count and the extremes. They redraw themselves; the last drawing counts.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from typing import IO

from rtsim.inputs.errors import InputError
from rtsim.measure.distribution import Distribution
from rtsim.traces.lines import first_text, numbered_lines, opened_text
from rtsim.traces.measured import MOST_SAMPLES, Measured, Thread, Unit, step_ns
from rtsim.traces.rtla_top import read_top

__all__ = ["read_rtla"]

_KINDS = {"IRQ": "irq", "Thr": "thread", "Usr": "user", "CPU": "noise"}
_TITLE = re.compile(r"# RTLA (timerlat|osnoise) histogram")
_UNIT = re.compile(r"# Time unit is \w+ \((us|ns)\)")
_COLUMN = re.compile(r"(IRQ|Thr|Usr|CPU)-(\d{1,5})", re.ASCII)
_ROW = re.compile(r"\d{1,15}(\s+\d{1,15})+$", re.ASCII)
_FOOTER = re.compile(r"(over|count|min|avg|max):(.*)$")
_FOOTERS = ("over", "count", "min", "avg", "max")


def read_rtla(path: str | os.PathLike[str], *, bucket: int | None = None, entries: int | None = None) -> Measured:
    """Read what rtla timerlat or osnoise, hist or top, printed.

    Parameters
    ----------
    bucket, entries
        What the histogram was made with (``-b``, ``-E``), in the unit it is printed in; found out where not told.

    Raises
    ------
    InputError
        The file is none of these, is cut off, or contradicts itself.
    """
    source = os.fspath(path)
    with opened_text(path, "rtla's output") as stream:
        if _TITLE.search(first_text(stream)):
            return _HistogramReader(source, bucket, entries).read(stream)
        return read_top(source, stream)


class _HistogramReader:
    """Reads the histogram in one pass; holds its rows and footers."""

    def __init__(self, source: str, bucket: int | None, entries: int | None) -> None:
        self.source = source
        self.bucket = bucket
        self.entries = entries
        self.tool = ""
        self.unit: Unit | None = None
        self.columns: list[tuple[str, int]] = []
        self.rows: dict[int, list[int]] = {}
        self.footers: dict[str, list[float | None]] = {}
        self.warnings: list[str] = []

    def read(self, stream: IO[str]) -> Measured:
        for number, line in numbered_lines(stream, self.source):
            if line.startswith(("ALL:", "rtla ")):
                break  # sums over the CPUs, and the analysis of a stopped trace
            self._line(number, line)
        missing = [name for name in _FOOTERS if name not in self.footers]
        if not self.columns or self.unit is None or missing:
            what = f"'{missing[0]}:'" if missing else "the column names and 'Time unit'"
            raise InputError(self.source, "end", f"expected {what} of the histogram: the file is cut off")
        step = step_ns(self.unit)
        width, limit = self._width()
        threads = [self._thread(place, width, limit, step) for place in range(len(self.columns))]
        return Measured(self.source, tuple(threads), self.unit, tool=self.tool, warnings=tuple(self.warnings))

    def _error(self, number: int, expected: str) -> InputError:
        return InputError(self.source, f"line {number}", expected)

    def _line(self, number: int, line: str) -> None:
        if title := _TITLE.match(line):
            if self.tool:
                raise self._error(number, "expected one run to a file, found another histogram")
            self.tool = title[1]
        elif unit := _UNIT.match(line):
            self.unit = "ns" if unit[1] == "ns" else "us"
        elif line.startswith("Index"):
            self._names(number, line)
        elif footer := _FOOTER.match(line):
            self._footer(number, footer[1], footer[2].split())
        elif _ROW.match(line):
            self._row(number, [int(part) for part in line.split()])
        elif line and not line.startswith("#"):
            raise self._error(number, f"expected a row of the histogram, found {line[:40]!r}")

    def _names(self, number: int, line: str) -> None:
        found = [_COLUMN.fullmatch(word) for word in line.split()[1:]]
        columns = [(_KINDS[each[1]], int(each[2])) for each in found if each]
        if self.columns or not columns or len(columns) != len(found) or len(set(columns)) != len(columns):
            raise self._error(number, "expected 'Index' once, with columns such as IRQ-000, each once")
        self.columns = columns

    def _row(self, number: int, figures: list[int]) -> None:
        index, counts = figures[0], figures[1:]
        if not self.columns or self.footers:
            raise self._error(number, "expected rows between 'Index' and 'over:'")
        if len(counts) != len(self.columns):
            raise self._error(number, f"expected {len(self.columns)} counts, found {len(counts)}")
        if index <= max(self.rows, default=-1):
            raise self._error(number, f"expected rows in ascending order, found {index}")
        self.rows[index] = counts

    def _footer(self, number: int, name: str, words: Sequence[str]) -> None:
        try:
            figures = [None if word == "-" else float(word) for word in words]
        except ValueError:
            raise self._error(number, f"expected numbers after '{name}:'") from None
        if name in self.footers or len(figures) != len(self.columns):
            raise self._error(number, f"expected '{name}:' once, with one number for each of the columns")
        if any(figure is not None and not 0 <= figure <= MOST_SAMPLES for figure in figures):
            raise self._error(number, f"expected numbers from 0 to {MOST_SAMPLES} after '{name}:'")
        self.footers[name] = figures

    def _width(self) -> tuple[int, int | None]:
        """Return the width of a bucket and where the histogram ends, in the printed unit."""
        fits = math.gcd(*self.rows) if self.rows else 0
        width = self.bucket or fits or 1
        if fits % width:
            raise InputError(self.source, "", f"expected rows at multiples of {width}, found those of {fits}")
        if self.bucket is None and len(self.rows) < 3 and self.rows:
            self.warnings.append(f"buckets are taken to be {width} {self.unit} wide: too few are filled to be sure")
        last = max(self.rows, default=None)
        end = None if last is None else last + width
        if self.entries is not None:
            if end is not None and end > self.entries * width:
                raise InputError(self.source, "", f"expected at most {self.entries} entries of {width}, found {last}")
            end = self.entries * width
        return width, end

    def _thread(self, place: int, width: int, limit: int | None, step: int) -> Thread:
        kind, cpu = self.columns[place]
        over, count, least, mean, largest = (self.footers[name][place] for name in _FOOTERS)
        inside = sum(counts[place] for counts in self.rows.values())
        if count is None or over is None or inside + over != count:
            raise InputError(
                self.source, f"column {kind} of CPU {cpu}", f"expected {count or 0:.0f} samples as 'count:' says, the"
                f" rows and 'over:' hold {inside + (over or 0):.0f}",
            )  # fmt: skip
        if over and limit is None:
            limit = 0 if least is None else int(least)  # no row: every sample is known to be the least or more
        try:
            samples = Distribution.of(
                ((index * step, (index + width) * step, counts[place]) for index, counts in self.rows.items()),
                min_ns=_ns(least, step), mean_ns=None if mean is None else mean * step, max_ns=_ns(largest, step),
                censored=int(over), limit_ns=None if limit is None else limit * step, resolution_ns=step,
            )  # fmt: skip
        except ValueError as error:
            raise InputError(self.source, f"column {kind} of CPU {cpu}", f"expected a histogram: {error}") from None
        return Thread(cpu, samples, cpu, kind)


def _ns(value: float | None, step: int) -> int | None:
    return None if value is None else int(value) * step
