"""Samples one by one, as ``cyclictest -v``, rt-app's logs and hwlatdetect write them: streamed, or counted."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pandas as pd

from rtsim.inputs.errors import InputError
from rtsim.measure.distribution import Distribution
from rtsim.traces.measured import Thread

__all__ = ["Sample", "collected", "sample_frames"]

_ROWS = 65_536
_MOST_VALUES = 2_000_000
"""Different values that are counted one by one: the memory of a run, however long, stays bounded."""


class Sample(NamedTuple):
    """One measured value.

    `time_ns` is None where the tool prints no time; `number` counts the cycles of a thread, or the samples.
    """

    time_ns: int | None
    thread: int
    kind: str
    number: int
    value_ns: int


def sample_frames(samples: Iterable[Sample]) -> Iterator[pd.DataFrame]:
    """Yield tidy frames of up to 65,536 samples: time_ns, thread, kind, number, value_ns."""
    rest = iter(samples)
    while rows := list(itertools.islice(rest, _ROWS)):
        frame = pd.DataFrame(rows, columns=list(Sample._fields))
        yield frame.astype({"time_ns": "Int64", "kind": "category"})


def collected(source: str, samples: Iterable[Sample], resolution_ns: int) -> tuple[Thread, ...]:
    """Count the samples of each thread and kind; nothing is censored.

    Raises
    ------
    InputError
        There is no sample, or more different values than can be counted.
    """
    counts: dict[tuple[int, str], dict[int, int]] = {}
    values = 0
    for sample in samples:
        found = counts.setdefault((sample.thread, sample.kind), {})
        before = found.get(sample.value_ns, 0)
        found[sample.value_ns] = before + 1
        values += not before
        if values > _MOST_VALUES:
            raise InputError(source, "", f"expected at most {_MOST_VALUES} different values")
    if not counts:
        raise InputError(source, "", "expected samples, found none")
    return tuple(
        Thread(thread, _counted(found, resolution_ns), kind=kind) for (thread, kind), found in sorted(counts.items())
    )


def _counted(counts: dict[int, int], resolution_ns: int) -> Distribution:
    total = sum(counts.values())
    return Distribution.of(
        ((value, value + resolution_ns, count) for value, count in counts.items()), min_ns=min(counts),
        mean_ns=sum(value * count for value, count in counts.items()) / total, max_ns=max(counts),
        resolution_ns=resolution_ns,
    )  # fmt: skip
