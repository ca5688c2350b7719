"""What cyclictest measured: its histogram text (``-h``, ``-H``), its JSON, and its plain summary lines.

cyclictest rounds every latency down to whole microseconds (nanoseconds with ``-N``) and counts those below the limit N
of ``-h N`` one by one. The rest is only *counted*: a line of overflows in the text; in the JSON not even that, there
the histogram holds fewer samples than ``cycles`` says. These samples are kept as censored at N. Leaving them out
turned a published p99.99 of 108 us into 12 us.

``-v`` prints every sample instead; `rtsim.traces.samples` gives them one by one, `read_cyclictest` their distribution.

Forms that differ by version and option, all read here: bins without samples may be left out; ``-H`` adds a column for
all threads to the bins, totals, maxima and overflows, but not to minima and averages; ``# Total`` is missing in newer
versions; lists of overflow cycles may end in ``# 00012 others``; JSON keys carry a stray colon (``"cmdline:"``); with
neither ``-q`` nor a terminal, status lines and escape sequences precede the histogram.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import IO, Any

from rtsim.inputs.errors import InputError
from rtsim.inputs.files import read_text
from rtsim.measure.distribution import Distribution
from rtsim.traces.cyclictest_unit import unit_warnings
from rtsim.traces.lines import first_text, numbered_lines, opened_text
from rtsim.traces.measured import MOST_SAMPLES, Measured, Thread, Unit, step_ns, summary_only
from rtsim.traces.samples import Sample, collected

__all__ = ["read_cyclictest", "verbose_samples"]

_MOST_BINS = 1_000_000
"""cyclictest's own upper limit for ``-h``."""

_MOST_THREADS = 4096


def read_cyclictest(path: str | os.PathLike[str], *, unit: Unit | None = None) -> Measured:
    """Read any output of cyclictest.

    Parameters
    ----------
    path
        Histogram text, JSON (``--json``), plain summary lines, or every sample (``-v``).
    unit
        The unit it printed in. The JSON's command line tells; texts do not, and are taken as us unless told otherwise.
        Where they cannot be us, a warning says so.

    Raises
    ------
    InputError
        The file is none of these forms, is cut off, or contradicts itself.
    """
    source = os.fspath(path)
    if unit not in (None, "us", "ns"):
        raise InputError(source, "unit", f"expected us or ns, found {unit!r}")
    with opened_text(path, "cyclictest output") as stream:
        start = first_text(stream)
        if start.lstrip().startswith("{"):
            return _read_json(source, read_text(path), unit)
        if _VERBOSE_START.search(start):
            measured = _read_verbose(source, stream, unit or "us")
            intervals_us = {int(found[1]): int(found[2]) for found in _INTERVAL.finditer(start)}
        else:
            reader = _TextReader(source, unit or "us")
            measured, intervals_us = reader.read(stream), reader.intervals_us
    return measured if unit else replace(measured, warnings=unit_warnings(measured.threads, intervals_us))


# --- text -------------------------------------------------------------------------------------------------------------

_BIN = re.compile(r"\d{1,18}(\s+\d{1,18})+$", re.ASCII)
_STATUS = re.compile(
    r"T:\s*(\d{1,9})\s*\(\s*\d+\)\s*P:\s*\d+\s*I:\s*(\d{1,15})\s*C:\s*(\d{1,15})\s*"
    r"Min:\s*(\d{1,15})\s*Act:\s*-?\d+\s*Avg:\s*(\d{1,15})\s*Max:\s*(\d{1,15})",
    re.ASCII,
)
_FOOTER = re.compile(r"#\s*(Total|Min Latencies|Avg Latencies|Max Latencies|Histogram Overflows):(.*)$")
_OVERFLOW_CYCLES = re.compile(r"#\s*Thread\s+\d+:")


class _TextReader:
    """Reads histogram text or status lines in one pass; holds the filled bins and the footers, nothing else."""

    def __init__(self, source: str, unit: Unit) -> None:
        self.source = source
        self.unit = unit
        self.columns = 0
        self.last_bin = -1
        self.bins: list[tuple[int, list[int]]] = []
        self.footers: dict[str, list[int]] = {}
        self.status: dict[int, tuple[int, int, int, int]] = {}
        self.intervals_us: dict[int, int] = {}
        """By thread, where there are status lines."""

    def read(self, stream: IO[str]) -> Measured:
        for number, line in numbered_lines(stream, self.source, endless=_OVERFLOW_CYCLES):
            if _BIN.match(line):
                self._bin(number, line)
            elif line[:1].isdigit():
                raise self._error(number, f"expected a bin and one count per thread, found {line[:40]!r}")
            elif footer := _FOOTER.match(line):
                self._footer(number, footer[1], footer[2])
            elif status := _STATUS.match(line):
                thread, interval, *figures = (int(part) for part in status.groups())
                if thread >= _MOST_THREADS:
                    raise self._error(number, f"expected at most {_MOST_THREADS} threads")
                self.status[thread] = (figures[0], figures[1], figures[2], figures[3])
                self.intervals_us[thread] = interval
        if self.columns:
            threads = self._histograms()
        elif self.status:
            threads = [Thread(i, summary_only(*self.status[i], self.unit)) for i in sorted(self.status)]
        else:
            raise InputError(
                self.source, "", "expected cyclictest's histogram, JSON or 'T: 0 ...' lines, found none of them"
            )
        return Measured(self.source, tuple(threads), self.unit)

    def _error(self, line: int, expected: str) -> InputError:
        return InputError(self.source, f"line {line}", expected)

    def _bin(self, number: int, line: str) -> None:
        if self.footers:
            raise self._error(number, "expected one run to a file, found bins after the end of the histogram")
        latency, *counts = (int(part) for part in line.split())
        if self.columns == 0:
            self.columns = len(counts)
        if len(counts) != self.columns or self.columns > _MOST_THREADS:
            raise self._error(number, f"expected {self.columns} counts as in the bins before, found {len(counts)}")
        if not self.last_bin < latency < _MOST_BINS:
            raise self._error(number, f"expected bins in ascending order below {_MOST_BINS}, found {latency}")
        self.last_bin = latency
        if any(counts):
            self.bins.append((latency, counts))

    def _footer(self, number: int, name: str, text: str) -> None:
        parts = text.split()
        if name in self.footers or not all(part.isdecimal() and len(part) <= 15 for part in parts):
            raise self._error(number, f"expected '{name}:' once, with whole numbers")
        self.footers[name] = [int(part) for part in parts]
        if not self.columns:
            raise self._error(number, f"expected histogram bins before '{name}:'")
        if len(self.footers[name]) not in (self.columns, self.columns - 1):
            raise self._error(number, f"expected one number for each of the {self.columns} columns after '{name}:'")

    def _histograms(self) -> list[Thread]:
        missing = [name for name in ("Min Latencies", "Avg Latencies", "Max Latencies") if name not in self.footers]
        if missing:
            raise InputError(self.source, "end", f"expected '# {missing[0]}:' after the histogram: the file is cut off")
        count = len(self.footers["Min Latencies"])
        if len(self.footers["Avg Latencies"]) != count or any(len(row) < count for row in self.footers.values()):
            raise InputError(self.source, "end", f"expected {count} threads in every line after the histogram")
        if count < self.columns:
            self._check_summary_column(count)
        return [self._thread(number) for number in range(count)]

    def _check_summary_column(self, count: int) -> None:
        for latency, counts in self.bins:
            if sum(counts[:count]) != counts[count]:
                raise InputError(
                    self.source, f"bin {latency}", f"expected the last column to be the sum of the {count} threads'"
                )

    def _thread(self, number: int) -> Thread:
        step = step_ns(self.unit)
        buckets = [(latency * step, (latency + 1) * step, counts[number]) for latency, counts in self.bins]
        inside = sum(bucket[2] for bucket in buckets)
        totals = self.footers.get("Total")
        if totals is not None and totals[number] != inside:
            raise InputError(
                self.source,
                f"thread {number}",
                f"expected {totals[number]} samples as '# Total:' says, the bins hold {inside}",
            )
        largest = self.footers["Max Latencies"][number]
        overflows = self.footers.get("Histogram Overflows")
        if overflows is None and largest > self.last_bin:
            raise InputError(
                self.source, "end", f"expected '# Histogram Overflows:': the maximum {largest} lies beyond the bins"
            )
        censored = overflows[number] if overflows is not None else 0
        if inside + censored > MOST_SAMPLES:
            raise InputError(self.source, f"thread {number}", f"expected at most {MOST_SAMPLES} samples")
        idle = inside + censored == 0  # a thread that never ran prints its initial extremes
        return Thread(
            number,
            Distribution.of(
                buckets, min_ns=None if idle else self.footers["Min Latencies"][number] * step,
                mean_ns=None if idle else float(self.footers["Avg Latencies"][number] * step),
                max_ns=None if idle else largest * step, censored=censored, limit_ns=(self.last_bin + 1) * step,
                resolution_ns=step,
            ),
        )  # fmt: skip


# --- every sample -----------------------------------------------------------------------------------------------------

_VERBOSE_START = re.compile(r"^ *\d+: *\d+: *-?\d+$", re.ASCII | re.MULTILINE)
_INTERVAL = re.compile(r"^Thread (\d{1,4}) Interval: (\d{1,15})$", re.ASCII | re.MULTILINE)
_VERBOSE = re.compile(r"(\d{1,4}):\s*(\d{1,15}):\s*(-?\d{1,15})$", re.ASCII)
_BEFORE = re.compile(r"#|Using |Max CPUs|Online CPUs|Thread \d+ |policy:|T:")


def verbose_samples(source: str, stream: IO[str], unit: Unit = "us") -> Iterator[Sample]:
    """Yield the samples that ``cyclictest -v`` printed, ``thread: cycle: latency`` a line.

    Raises
    ------
    InputError
        A line is neither this nor one of the lines that cyclictest prints before.
    """
    step = step_ns(unit)
    for number, line in numbered_lines(stream, source):
        if found := _VERBOSE.match(line):
            yield Sample(None, int(found[1]), "latency", int(found[2]), int(found[3]) * step)
        elif line and not _BEFORE.match(line):
            raise InputError(source, f"line {number}", f"expected 'thread: cycle: latency', found {line[:40]!r}")


def _read_verbose(source: str, stream: IO[str], unit: Unit) -> Measured:
    return Measured(source, collected(source, verbose_samples(source, stream, unit), step_ns(unit)), unit)


# --- JSON -------------------------------------------------------------------------------------------------------------

_LIMIT_OPTION = re.compile(r"(?<!\S)(?:-[A-Za-z]*[hH]\s*|--histogram[= ]\s*|--histofall[= ]\s*)(\d+)")
_NSECS_OPTION = re.compile(r"(?<!\S)(?:-[A-Za-z]*N[A-Za-z]*(?!\S)|--nsecs\b)")


def _read_json(source: str, text: str, unit: Unit | None) -> Measured:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(source, f"line {error.lineno}", f"expected JSON: {error.msg}") from None
    except (RecursionError, ValueError):
        raise InputError(source, "", "expected cyclictest's JSON, found nesting or numbers it cannot have") from None
    plain = {str(key).rstrip(":"): value for key, value in document.items()}
    threads = plain.get("thread")
    if not isinstance(threads, dict) or not threads or len(threads) > _MOST_THREADS:
        raise InputError(source, "thread", "expected cyclictest's threads, an object keyed by their numbers")
    cmdline = plain["cmdline"] if isinstance(plain.get("cmdline"), str) else None
    if unit is None:
        unit = "ns" if cmdline and _NSECS_OPTION.search(cmdline) else "us"
    bins = {number: _json_bins(source, number, body) for number, body in threads.items()}
    option = _LIMIT_OPTION.search(cmdline) if cmdline else None
    last = max((latency for each in bins.values() for latency in each), default=-1)
    # Not told, the limit is at least one beyond the last bin any thread filled: true, if not the sharpest.
    limit = min(int(option[1]), _MOST_BINS) if option else last + 1
    if last >= limit:
        raise InputError(source, "thread", f"expected histogram bins below the limit of {limit}, found {last}")
    read = [_json_thread(source, number, body, bins[number], limit, unit) for number, body in threads.items()]
    system = plain["sysinfo"] if isinstance(plain.get("sysinfo"), dict) else {}
    return Measured(source, tuple(sorted(read, key=lambda each: each.number)), unit, cmdline, system)


def _json_bins(source: str, number: str, body: Any) -> dict[int, int]:
    """Return the count of each filled bin."""
    place = f"thread.{number}"
    if not (number.isdecimal() and len(number) <= 9 and isinstance(body, dict)):
        raise InputError(source, place, "expected a thread's number, and its histogram, cycles, min, max and avg")
    histogram = body.get("histogram", {})
    if not isinstance(histogram, dict) or len(histogram) > _MOST_BINS:
        raise InputError(source, f"{place}.histogram", "expected an object of bins and their counts")
    place = f"{place}.histogram"
    bins = {_whole(source, place, key): _whole(source, f"{place}.{key}", count) for key, count in histogram.items()}
    if any(latency >= _MOST_BINS for latency in bins):
        raise InputError(source, place, f"expected bins below {_MOST_BINS}")
    return {latency: count for latency, count in bins.items() if count}


def _json_thread(source: str, number: str, body: Any, bins: dict[int, int], limit: int, unit: Unit) -> Thread:
    place = f"thread.{number}"
    cycles, least, largest = (_whole(source, f"{place}.{key}", body.get(key)) for key in ("cycles", "min", "max"))
    average = body.get("avg")
    if isinstance(average, bool) or not isinstance(average, int | float) or not 0 <= average < math.inf:
        raise InputError(source, f"{place}.avg", f"expected a mean latency, found {average!r:.40}")
    inside = sum(bins.values())
    # The last sample may be in the histogram before its cycle is counted.
    if inside > cycles + 1 or cycles > MOST_SAMPLES:
        raise InputError(
            source, f"{place}.cycles", f"expected at least the {inside} samples of the histogram, found {cycles}"
        )
    cpu = None if body.get("cpu") is None else _whole(source, f"{place}.cpu", body["cpu"])
    step = step_ns(unit)
    known = cycles > 0
    samples = Distribution.of(
        ((latency * step, (latency + 1) * step, count) for latency, count in bins.items()),
        min_ns=least * step if known else None, mean_ns=float(average * step) if known else None,
        max_ns=largest * step if known else None, censored=max(cycles - inside, 0), limit_ns=limit * step,
        resolution_ns=step,
    )  # fmt: skip
    return Thread(int(number), samples, cpu)


def _whole(source: str, place: str, value: object) -> int:
    """Return a whole number that is not negative; keys of JSON objects are text."""
    if isinstance(value, str) and value.isdecimal() and len(value) <= 18:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63:
        return value
    raise InputError(source, place, f"expected a whole number, found {value!r:.40}")
