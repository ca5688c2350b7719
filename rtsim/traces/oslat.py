"""What oslat measured: how long a busy loop was interrupted, a histogram for each core, as text or JSON.

The last bucket holds its own samples *and* all beyond (``including overflows``): they are censored at it. The JSON says
so nowhere, there the command line (``-b``) tells which bucket is the last. oslat's shortest turns of the loop, without
any interruption, are in the first buckets.
"""

from __future__ import annotations

import os
import re
from typing import IO, Any

from rtsim.inputs.errors import InputError
from rtsim.inputs.files import read_text
from rtsim.inputs.json import parse_json
from rtsim.measure.distribution import Distribution
from rtsim.traces.lines import first_text, numbered_lines, opened_text
from rtsim.traces.measured import MOST_SAMPLES, Measured, Thread

__all__ = ["read_oslat"]

_BUCKET = re.compile(r"(\d{1,9}) \(us\):((?:\s+\d{1,15})+)( \(including overflows\))?$", re.ASCII)
_FOOTER = re.compile(r"(Core|Minimum|Average|Maximum):((?:\s+\d{1,15}(?:\.\d{1,9})?)+)(?: \(us\))?$", re.ASCII)
_BUCKETS_OPTION = re.compile(r"(?:-b\s*|--bucket-size[= ]\s*)(\d{1,5})")
_DEFAULT_BUCKETS = 32
_MOST_BUCKETS = 1_000_000


def read_oslat(path: str | os.PathLike[str]) -> Measured:
    """Read oslat's text or JSON (``--json``).

    Raises
    ------
    InputError
        The file is neither, is cut off, or contradicts itself.
    """
    source = os.fspath(path)
    with opened_text(path, "oslat's output") as stream:
        if first_text(stream).lstrip().startswith("{"):
            return _read_json(source, read_text(path))
        return _read_text(source, stream)


def _read_text(source: str, stream: IO[str]) -> Measured:
    buckets: dict[int, list[int]] = {}
    last: int | None = None
    footers: dict[str, list[float]] = {}
    for number, line in numbered_lines(stream, source):
        if bucket := _BUCKET.match(line):
            latency, counts = int(bucket[1]), [int(word) for word in bucket[2].split()]
            if last is not None or latency <= max(buckets, default=-1) or latency >= _MOST_BUCKETS:
                raise InputError(source, f"line {number}", f"expected buckets in ascending order, found {latency}")
            buckets[latency] = counts
            last = latency if bucket[3] else None
        elif footer := _FOOTER.match(line):
            if footer[1] in footers:
                raise InputError(source, f"line {number}", f"expected one run to a file, found '{footer[1]}:' twice")
            footers[footer[1]] = [float(word) for word in footer[2].split()]
    if last is None and "Maximum" in footers:
        last = int(max(footers["Maximum"])) + 1  # -z: no bucket of overflows, or it would be printed
    missing = [name for name in ("Core", "Minimum", "Average", "Maximum") if name not in footers]
    if missing or last is None or not buckets:
        raise InputError(source, "end", f"expected oslat's buckets and '{(missing or ['Core'])[0]}:', or it is cut off")
    cores = len(footers["Core"])
    if {cores} != {len(figures) for figures in footers.values()} | {len(counts) for counts in buckets.values()}:
        raise InputError(source, "", f"expected one figure for each of the {cores} cores in every line")
    threads = []
    for place in range(cores):
        extremes = [footers[name][place] for name in ("Minimum", "Average", "Maximum")]
        counts_of = {latency: counts[place] for latency, counts in buckets.items()}
        threads.append(_thread(source, int(footers["Core"][place]), counts_of, last, *extremes))
    return Measured(source, tuple(threads), "us", tool="oslat")


def _read_json(source: str, text: str) -> Measured:
    document = parse_json(text, source)
    plain = {str(key).rstrip(":"): value for key, value in document.items()}
    threads = plain.get("thread")
    cmdline = plain.get("cmdline")
    if not isinstance(threads, dict) or not threads or not isinstance(cmdline, str) or "oslat" not in cmdline:
        raise InputError(source, "thread", "expected oslat's threads and its command line")
    option = _BUCKETS_OPTION.search(cmdline)
    end = int(option[1]) if option else _DEFAULT_BUCKETS
    read = [_json_thread(source, number, body, end) for number, body in threads.items()]
    system = plain["sysinfo"] if isinstance(plain.get("sysinfo"), dict) else {}
    return Measured(source, tuple(read), "us", cmdline, system, tool="oslat")


def _json_thread(source: str, number: str, body: Any, end: int) -> Thread:
    place = f"thread.{number}"
    histogram = body.get("histogram") if isinstance(body, dict) else None
    if not number.isdecimal() or len(number) > 9 or not isinstance(histogram, dict):
        raise InputError(source, place, "expected a thread's number and its histogram")
    counts: dict[int, int] = {}
    for key, value in histogram.items():
        if not key.isdecimal() or len(key) > 9 or isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise InputError(source, f"{place}.histogram.{key}", "expected buckets in us and their counts")
        counts[int(key)] = value
    figures = [body.get(name) for name in ("cpu", "min", "avg", "max")]
    if not all(isinstance(each, int | float) and not isinstance(each, bool) and each >= 0 for each in figures):
        raise InputError(source, place, "expected cpu, min, avg and max")
    # With -B the buckets are shifted by a bias that is not told: what is at `end` or beyond may be the last one.
    last = max(max(counts, default=0), end)
    return _thread(source, int(figures[0]), counts, last, *figures[1:])


def _thread(
    source: str, core: int, counts: dict[int, int], last: int, least: float, mean: float, largest: float
) -> Thread:
    """Return one core's samples; those of bucket `last` are censored there."""
    if sum(counts.values()) > MOST_SAMPLES or max(least, mean, largest) > MOST_SAMPLES:
        raise InputError(source, f"core {core}", f"expected at most {MOST_SAMPLES} samples")
    samples = Distribution.of(
        ((latency * 1000, (latency + 1) * 1000, count) for latency, count in counts.items() if latency < last),
        min_ns=int(least) * 1000, mean_ns=mean * 1000, max_ns=int(largest) * 1000, censored=counts.get(last, 0),
        limit_ns=last * 1000, resolution_ns=1000,
    )  # fmt: skip
    return Thread(core, samples, core, "noise")
