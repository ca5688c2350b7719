"""Latencies as a tool measured them: one distribution a measuring thread, in the unit the tool printed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from rtsim.inputs.errors import InputError
from rtsim.measure.distribution import AtLeast, Distribution
from rtsim.measure.quantiles import QUANTILES, quantile_name, quantile_rank

__all__ = ["MOST_SAMPLES", "Measured", "Thread", "Unit", "step_ns", "summary_only"]

Unit = Literal["us", "ns"]

MOST_SAMPLES = 2**50
"""A microsecond each, 35 years: more is no measurement, and sums over many threads stay within 64 bits."""


@dataclass(frozen=True)
class Thread:
    """What one measuring thread found.

    Parameters
    ----------
    number
        Of the thread; of the CPU where the tool runs one thread on each.
    samples
        Their distribution.
    cpu
        Where it ran, where the file says.
    kind
        What was measured: ``latency`` (cyclictest), ``irq``, ``thread`` and ``user`` (timerlat), ``noise`` (osnoise,
        oslat), ``inner`` and ``outer`` (hwlatdetect), ``latency``, ``run``, ``period`` and ``slack`` (rt-app).
    counters
        What the tool counts beside, by its own words: interferences by source, runtime and noise in us, ...
    name
        Of the task, where the tool gives one (rt-app).
    """

    number: int
    samples: Distribution
    cpu: int | None = None
    kind: str = "latency"
    counters: dict[str, float] = field(default_factory=dict)
    name: str | None = None


@dataclass(frozen=True)
class Measured:
    """The result of one run of a tool.

    Parameters
    ----------
    source
        The file.
    threads
        In order of their number; one for each kind where a tool measures several at once.
    unit
        What the tool printed in: 1 us or 1 ns is the resolution of every value.
    cmdline
        How it was called, where the file says (JSON only).
    system
        ``sysinfo`` of the JSON: kernel release, version, machine; empty elsewhere.
    tool
        cyclictest, timerlat, osnoise, oslat, hwlatdetect or rt-app.
    warnings
        What was passed over or had to be assumed, a sentence each.
    """

    source: str
    threads: tuple[Thread, ...]
    unit: Unit = "us"
    cmdline: str | None = None
    system: dict[str, Any] = field(default_factory=dict)
    tool: str = "cyclictest"
    warnings: tuple[str, ...] = ()

    @property
    def kinds(self) -> tuple[str, ...]:
        """What was measured, in the order of `Thread.kind`'s list."""
        return tuple(sorted({each.kind for each in self.threads}, key=lambda kind: (_KINDS.index(kind), kind)))

    def samples(self, thread: int | None = None, kind: str | None = None) -> Distribution:
        """Return the samples of one kind: of one thread, or of all together.

        Without a kind it is the one closest to a task's latency: ``user`` before ``thread`` before ``irq``, else the
        first of `kinds`.

        Raises
        ------
        InputError
            There is no such thread or kind.
        """
        kind = kind or min(self.kinds, key=lambda each: _CLOSEST.get(each, 9))
        of_kind = [each for each in self.threads if each.kind == kind]
        if not of_kind:
            raise InputError(self.source, f"kind {kind}", f"expected one of {', '.join(self.kinds)}")
        if thread is None:
            return _together([each.samples for each in of_kind])
        for each in of_kind:
            if each.number == thread:
                return each.samples
        numbers = ", ".join(str(each.number) for each in of_kind)
        raise InputError(self.source, f"thread {thread}", f"expected one of {numbers}")

    def buckets(self) -> pd.DataFrame:
        """Return the histograms as one tidy frame, one row a bucket that holds samples.

        Columns: tool, kind, thread, cpu, lower_ns, upper_ns (the first value beyond; missing where samples are
        censored, that is known to be lower_ns or more only), count, censored.
        """
        rows = [
            (self.tool, each.kind, each.number, each.cpu, *bucket)
            for each in self.threads
            for bucket in _bucket_rows(each.samples)
        ]
        columns = ["tool", "kind", "thread", "cpu", "lower_ns", "upper_ns", "count", "censored"]
        return pd.DataFrame(rows, columns=columns).astype(
            {"cpu": "Int64", "lower_ns": "int64", "upper_ns": "Int64", "count": "int64", "censored": "bool"}
        )

    def latencies(self) -> pd.DataFrame:
        """Return a frame, one row a thread and ``all`` for them together, times in us as cyclictest prints them.

        Where a tool measures several kinds at once, rows are named ``0 irq``.

        Columns: cpu, count, censored, limit_us, min_us, mean_us, max_us, and p50_us to p99.999_us; a quantile that
        lies among the censored samples is the text ``>= N us``, one of a run without histogram is missing.
        """
        several = len(self.kinds) > 1
        rows = {}
        for each in self.threads:
            rows[f"{each.number} {each.kind}" if several else str(each.number)] = {
                "cpu": each.cpu, **_summary(each.samples)
            }  # fmt: skip
        for kind in self.kinds:
            if sum(each.kind == kind for each in self.threads) > 1:
                rows[f"all {kind}" if several else "all"] = {"cpu": None, **_summary(self.samples(kind=kind))}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("thread").astype({"cpu": "Int64"})


_KINDS = ("latency", "irq", "thread", "user", "noise", "inner", "outer", "run", "period", "slack")
_CLOSEST = {"latency": 0, "user": 1, "thread": 2, "irq": 3}


def step_ns(unit: Unit) -> int:
    """Return the nanoseconds of one step of `unit`."""
    return 1000 if unit == "us" else 1


def summary_only(count: int, least: int, average: float, largest: int, unit: Unit) -> Distribution:
    """Return what a run without histogram tells: every sample is censored at zero, the extremes are known."""
    step = step_ns(unit)
    known = count > 0
    return Distribution.of(
        (), min_ns=least * step if known else None, mean_ns=float(average * step) if known else None,
        max_ns=largest * step if known else None, censored=count, limit_ns=0, resolution_ns=step,
    )  # fmt: skip


def _bucket_rows(samples: Distribution) -> Iterator[tuple[int, int | None, int, bool]]:
    for lower, upper, count in zip(
        samples.lower_ns.tolist(), samples.upper_ns.tolist(), samples.counts.tolist(), strict=True
    ):
        yield lower, upper, count, False
    if samples.censored and samples.limit_ns is not None:
        yield samples.limit_ns, None, samples.censored, True


def _summary(samples: Distribution) -> dict[str, Any]:
    quantiles = {}
    for q in QUANTILES:
        found = samples.at_rank(quantile_rank(q, samples.count)) if samples.count else None
        if isinstance(found, AtLeast):
            value: float | str | None = str(found) if found.limit_ns else None
        else:
            value = _us(found[0] if found else None)
        quantiles[f"{quantile_name(q)}_us"] = value
    return {
        "count": samples.count, "censored": samples.censored, "limit_us": _us(samples.limit_ns),
        "min_us": _us(samples.min_ns), "mean_us": _us(samples.mean_ns), "max_us": _us(samples.max_ns), **quantiles,
    }  # fmt: skip


def _us(value_ns: float | None) -> float | None:
    return None if value_ns is None else value_ns / 1000


def _together(parts: list[Distribution]) -> Distribution:
    """Return the samples of all threads.

    Where the limits of their histograms differ, the smallest counts for all: what lies beyond it in one thread may lie
    anywhere among the censored samples of another.
    """
    limit = _common_limit(parts)
    buckets: dict[tuple[int, int], int] = {}
    censored = 0
    for part in parts:
        for lower, upper, count, beyond in _bucket_rows(part):
            if upper is None or beyond or (limit is not None and lower >= limit):
                censored += count
            else:
                buckets[lower, upper] = buckets.get((lower, upper), 0) + count
    total = sum(part.count for part in parts)
    means = [part.mean_ns * part.count for part in parts if part.mean_ns is not None and part.count]
    return Distribution.of(
        ((lower, upper, count) for (lower, upper), count in buckets.items()),
        min_ns=min((p.min_ns for p in parts if p.min_ns is not None), default=None),
        mean_ns=sum(means) / total if total and len(means) == sum(p.count > 0 for p in parts) else None,
        max_ns=max((p.max_ns for p in parts if p.max_ns is not None), default=None),
        censored=censored, limit_ns=limit, resolution_ns=max(part.resolution_ns for part in parts),
    )  # fmt: skip


def _common_limit(parts: list[Distribution]) -> int | None:
    """Return the smallest limit, or below it where a bucket of another thread straddles it."""
    limit = min((part.limit_ns for part in parts if part.limit_ns is not None), default=None)
    while limit is not None:
        straddling = [
            int(lower) for part in parts for lower in part.lower_ns[(part.lower_ns < limit) & (part.upper_ns > limit)]
        ]
        if not straddling:
            break
        limit = min(straddling)
    return limit
