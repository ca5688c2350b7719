"""The causes of a quantile: what the samples that make it what it is were waiting for."""

from __future__ import annotations

from collections.abc import Mapping

from rtsim.measure.quantiles import quantile_rank
from rtsim.scenario.result import TaskResult

__all__ = ["TAIL_FROM", "QuantileCauses"]

TAIL_FROM = 0.999
"""From this quantile on the worst samples tell the causes, below it all samples."""


class QuantileCauses:
    """Mean causes of the samples that make `quantile` what it is, of the task that ranks.

    Of a tail (from `TAIL_FROM` on) these are the samples at or above it. Only the worst of each run keep their causes
    one by one: where a long run has more samples there, its worst stand for them. Of lower quantiles they are all
    samples. Which it is follows from the quantile alone, so that long and short runs, and all variants, are told alike.
    """

    def __init__(self, quantile: float) -> None:
        self.quantile = quantile
        self.totals: dict[str, int] = {}
        self.samples = 0

    def add(self, task: TaskResult) -> None:
        """Take in one run of the task."""
        if self.quantile < TAIL_FROM:
            self._count(task.causes_ns, task.latency.count)
            return
        beyond = task.latency.count - quantile_rank(self.quantile, task.latency.count) + 1
        for sample in task.worst[:beyond]:
            self._count(sample.causes_ns, 1)

    def _count(self, causes_ns: Mapping[str, int], samples: int) -> None:
        self.samples += samples
        for cause, part in causes_ns.items():
            self.totals[cause] = self.totals.get(cause, 0) + part

    def means(self) -> dict[str, float]:
        """Return the mean latency by cause, ns."""
        return {cause: total / self.samples for cause, total in self.totals.items()} if self.samples else {}
