"""Latencies as a tool measured them: one distribution a measuring thread, in the unit the tool printed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from rtsim.inputs.errors import InputError
from rtsim.measure.distribution import AtLeast, Distribution
from rtsim.measure.quantiles import QUANTILES, quantile_name, quantile_rank

__all__ = ["Measured", "Thread", "Unit"]

Unit = Literal["us", "ns"]


@dataclass(frozen=True)
class Thread:
    """One measuring thread: its samples, and the CPU it ran on where the file says."""

    number: int
    samples: Distribution
    cpu: int | None = None


@dataclass(frozen=True)
class Measured:
    """The result of one cyclictest run.

    Parameters
    ----------
    source
        The file.
    threads
        In order of their number.
    unit
        What the tool printed in: 1 us or 1 ns is the resolution of every value.
    cmdline
        How it was called, where the file says (JSON only).
    system
        ``sysinfo`` of the JSON: kernel release, version, machine; empty elsewhere.
    """

    source: str
    threads: tuple[Thread, ...]
    unit: Unit = "us"
    cmdline: str | None = None
    system: dict[str, Any] = field(default_factory=dict)

    def samples(self, thread: int | None = None) -> Distribution:
        """Return the samples of one thread, or of all together.

        Raises
        ------
        InputError
            There is no such thread.
        """
        if thread is None:
            return _together([each.samples for each in self.threads])
        for each in self.threads:
            if each.number == thread:
                return each.samples
        numbers = ", ".join(str(each.number) for each in self.threads)
        raise InputError(self.source, f"thread {thread}", f"expected one of {numbers}")

    def latencies(self) -> pd.DataFrame:
        """Return a frame, one row a thread and ``all`` for them together, times in us as cyclictest prints them.

        Columns: cpu, count, censored, limit_us, min_us, mean_us, max_us, and p50_us to p99.999_us; a quantile that
        lies among the censored samples is the text ``>= N us``, one of a run without histogram is missing.
        """
        rows = {str(each.number): {"cpu": each.cpu, **_summary(each.samples)} for each in self.threads}
        if len(self.threads) > 1:
            rows["all"] = {"cpu": None, **_summary(self.samples())}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("thread").astype({"cpu": "Int64"})


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
    """Return the samples of all threads; they share one limit, so the buckets below it are complete."""
    buckets: dict[tuple[int, int], int] = {}
    for part in parts:
        for lower, upper, count in zip(
            part.lower_ns.tolist(), part.upper_ns.tolist(), part.counts.tolist(), strict=True
        ):
            buckets[lower, upper] = buckets.get((lower, upper), 0) + count
    total = sum(part.count for part in parts)
    means = [part.mean_ns * part.count for part in parts if part.mean_ns is not None and part.count]
    return Distribution.of(
        ((lower, upper, count) for (lower, upper), count in buckets.items()),
        min_ns=min((p.min_ns for p in parts if p.min_ns is not None), default=None),
        mean_ns=sum(means) / total if total and len(means) == sum(p.count > 0 for p in parts) else None,
        max_ns=max((p.max_ns for p in parts if p.max_ns is not None), default=None),
        censored=sum(part.censored for part in parts),
        limit_ns=max((part.limit_ns for part in parts if part.limit_ns is not None), default=None),
        resolution_ns=parts[0].resolution_ns,
    )
