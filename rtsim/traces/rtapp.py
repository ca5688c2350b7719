"""rt-app's logs: one line for each loop of a task, all times in us.

``wu_lat`` is the time from the timer's expiry to the task running, ``run`` and ``period`` are what a loop took,
``slack`` what was left of its period. A loop without a timer has no wake-up to be late for: its zeros are no latencies.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import IO

from rtsim.inputs.errors import InputError
from rtsim.traces.lines import numbered_lines, opened_text
from rtsim.traces.measured import Measured, Thread
from rtsim.traces.samples import Sample, collected

__all__ = ["read_rtapp", "rtapp_samples"]

_COLUMNS = ("idx", "perf", "run", "period", "start", "end", "rel_st", "slack", "c_duration", "c_period", "wu_lat")
_LARGEST = 10**15
_FILE = re.compile(r"(?:.*-)?(.+)-(\d{1,6})\.log$", re.ASCII)


def rtapp_samples(source: str, stream: IO[str]) -> Iterator[Sample]:
    """Yield each loop's ``run`` and ``period``, and with a timer its ``latency`` and ``slack``.

    `Sample.time_ns` is the loop's start on the task's clock, `Sample.number` counts the loops.

    Raises
    ------
    InputError
        A line has another layout than rt-app 1.0's.
    """
    names: list[str] = []
    loop = 0
    for number, line in numbered_lines(stream, source):
        if line.startswith("#idx"):
            names = line.lstrip("#").split()
            if tuple(names) != _COLUMNS:
                raise InputError(source, f"line {number}", f"expected the columns {' '.join(_COLUMNS)}")
        elif line and not line.startswith("#"):
            row = dict(zip(_COLUMNS, _figures(source, number, line, bool(names)), strict=True))
            start_ns = row["start"] * 1000
            kinds = {"run": "run", "period": "period"}
            if row["c_period"]:
                kinds |= {"latency": "wu_lat", "slack": "slack"}
            for kind, column in kinds.items():
                yield Sample(start_ns, 0, kind, loop, row[column] * 1000)
            loop += 1


def _figures(source: str, number: int, line: str, named: bool) -> list[int]:
    words = line.split()
    if not named or len(words) != len(_COLUMNS):
        expected = f"expected {len(_COLUMNS)} columns below their names, found {len(words)}"
        raise InputError(source, f"line {number}", expected)
    try:
        figures = [int(word) for word in words if len(word) <= 19]
    except ValueError:
        figures = []
    if len(figures) != len(words) or any(abs(each) > _LARGEST for each in figures):
        raise InputError(source, f"line {number}", "expected whole numbers of microseconds")
    return figures


def read_rtapp(path: str | os.PathLike[str]) -> Measured:
    """Read one task's log.

    The task's name is taken from the file's, ``BASENAME-TASK-NUMBER.log``.

    Raises
    ------
    InputError
        The file is no such log, or is cut off within a line.
    """
    source = os.fspath(path)
    with opened_text(path, "rt-app's log") as stream:
        threads = collected(source, rtapp_samples(source, stream), 1000)
    named = _FILE.match(os.path.basename(source))
    return Measured(
        source,
        tuple(Thread(each.number, each.samples, kind=each.kind, name=named[1] if named else None) for each in threads),
        tool="rt-app",
    )
