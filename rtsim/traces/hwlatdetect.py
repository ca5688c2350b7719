"""What hwlatdetect found: gaps in a loop with interrupts off, that is time the hardware or a hypervisor took.

Only gaps above the threshold are recorded. ``inner`` is the gap between two reads of the clock, ``outer`` the one from
the end of a turn to the next. Each record is the largest of one sampling window.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import IO

from rtsim.inputs.errors import InputError
from rtsim.measure.distribution import Distribution
from rtsim.traces.lines import numbered_lines, opened_text
from rtsim.traces.measured import Measured, Thread
from rtsim.traces.samples import Sample, collected

__all__ = ["hwlat_samples", "read_hwlatdetect"]

_GAP = re.compile(
    r"ts:\s*(\d{1,10})\.(\d{9}),\s*inner:\s*(\d{1,12}),\s*outer:\s*(\d{1,12})(?:,\s*cpu:\s*(\d{1,5}))?$", re.ASCII
)
_PARAMETER = re.compile(
    r"(Latency threshold|Sample window|Sample width|Samples recorded|Samples exceeding threshold):\s*(\d{1,15})(us)?$",
    re.ASCII,
)
_KNOWN = re.compile(r"hwlatdetect:|detector:|parameters:|CPU list:|Non-sampling period:|Output File:|Starting test|"
                    r"test finished|Max Latency:|report saved|$")  # fmt: skip


def hwlat_samples(source: str, stream: IO[str], counters: dict[str, float] | None = None) -> Iterator[Sample]:
    """Yield two samples, ``inner`` and ``outer``, for each record; fill `counters` with what is printed beside.

    Raises
    ------
    InputError
        A line is none of hwlatdetect's.
    """
    taken = 0
    for number, line in numbered_lines(stream, source):
        if gap := _GAP.match(line):
            time_ns = int(gap[1]) * 1_000_000_000 + int(gap[2])
            for kind, value in (("inner", gap[3]), ("outer", gap[4])):
                yield Sample(time_ns, int(gap[5] or 0), kind, taken, int(value) * 1000)
            taken += 1
        elif parameter := _PARAMETER.match(line):
            if counters is not None:
                counters[parameter[1].lower().replace(" ", "_")] = float(parameter[2])
        elif not _KNOWN.match(line):
            raise InputError(source, f"line {number}", f"expected hwlatdetect's output, found {line[:40]!r}")


def read_hwlatdetect(path: str | os.PathLike[str]) -> Measured:
    """Read hwlatdetect's output, or the file that its ``--report`` wrote.

    `Thread.counters` holds latency_threshold, sample_window and sample_width in us, samples_recorded and
    samples_exceeding_threshold, where the file has them.

    Raises
    ------
    InputError
        The file is neither, or holds another number of records than it says.
    """
    source = os.fspath(path)
    counters: dict[str, float] = {}
    with opened_text(path, "hwlatdetect's output") as stream:
        samples = list(hwlat_samples(source, stream, counters))
    told = counters.get("samples_recorded")
    if told is not None and told != len(samples) // 2:
        raise InputError(
            source, "", f"expected {told:.0f} records as 'Samples recorded:' says, found {len(samples) // 2}"
        )
    if told is None and not samples:
        raise InputError(source, "end", "expected hwlatdetect's records or 'Samples recorded:', found neither")
    if not samples:
        none = Distribution.of(())
        return Measured(source, tuple(Thread(0, none, kind=k, counters=counters) for k in ("inner", "outer")),
                        tool="hwlatdetect")  # fmt: skip
    threads = [
        Thread(each.number, each.samples, kind=each.kind, counters=counters)
        for each in collected(source, samples, 1000)
    ]
    return Measured(source, tuple(threads), tool="hwlatdetect")
