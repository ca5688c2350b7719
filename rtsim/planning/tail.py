"""The causes of a tail: what the samples that make a quantile what it is were waiting for."""

from __future__ import annotations

from collections.abc import Mapping

from rtsim.measure.quantiles import quantile_rank
from rtsim.scenario.result import TaskResult

__all__ = ["TailCauses"]


class TailCauses:
    """Mean causes of the samples that make a quantile what it is: those at or above it, of the task that ranks.

    Means over all samples say little about a tail. Only the worst samples keep their causes one by one; where they do
    not reach down to the quantile, the means over all samples have to do.
    """

    def __init__(self) -> None:
        self.totals: dict[str, int] = {}
        self.samples = 0

    def add(self, task: TaskResult, quantile: float) -> None:
        beyond = task.latency.count - quantile_rank(quantile, task.latency.count) + 1
        if beyond <= len(task.worst):
            for sample in task.worst[:beyond]:
                self._count(sample.causes_ns, 1)
        else:
            self._count(task.causes_ns, task.latency.count)

    def _count(self, causes_ns: Mapping[str, int], samples: int) -> None:
        self.samples += samples
        for cause, part in causes_ns.items():
            self.totals[cause] = self.totals.get(cause, 0) + part

    def means(self) -> dict[str, float]:
        return {cause: total / self.samples for cause, total in self.totals.items()} if self.samples else {}
