"""Whether predictions rank configurations as measurements do, of the pairs that a measurement tells apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

from rtsim.measure.distribution import AtLeast, Distribution
from rtsim.measure.quantiles import quantile_rank

__all__ = ["Ranked", "Ranking", "rank"]


@dataclass(frozen=True)
class Ranked:
    """One quantile of one configuration, in ns."""

    name: str
    measured_ns: int | AtLeast
    interval_ns: tuple[int | None, int | None]
    """Of the measured one, 95 %; None: out of reach."""
    predicted_ns: int | AtLeast


@dataclass(frozen=True)
class Ranking:
    """The configurations, and their pairs: those that count are told apart by their measured intervals.

    Each pair has the lower measured one first.
    """

    configurations: tuple[Ranked, ...]
    concordant: tuple[tuple[Ranked, Ranked], ...]
    discordant: tuple[tuple[Ranked, Ranked], ...]
    """Predicted in the other order."""
    tied: tuple[tuple[Ranked, Ranked], ...]
    """Predicted to be equal."""

    @property
    def counted(self) -> int:
        """Pairs that count."""
        return len(self.concordant) + len(self.discordant) + len(self.tied)

    @property
    def pairs(self) -> int:
        """All pairs."""
        return len(self.configurations) * (len(self.configurations) - 1) // 2

    @property
    def tau(self) -> float | None:
        """Kendall's tau over the pairs that count; None without one."""
        if not self.counted:
            return None
        return (len(self.concordant) - len(self.discordant)) / self.counted


def rank(q: float, configurations: Iterable[tuple[str, Distribution, Distribution]]) -> Ranking:
    """Rank configurations by the quantile `q`; each is (name, measured, predicted). Those without samples are left out.

    Examples
    --------
    >>> def at(us, count=1000):
    ...     return Distribution.of([(us * 1000, us * 1000 + 1000, count)])
    >>> found = rank(0.5, [("a", at(5), at(9)), ("b", at(7), at(8)), ("c", at(9), at(10))])
    >>> found.tau, [(low.name, high.name) for low, high in found.discordant]
    (0.3333333333333333, [('a', 'b')])
    """
    ranked = [
        Ranked(name, _lowest(measured, q), measured.quantile_interval(q), _lowest(predicted, q))
        for name, measured, predicted in configurations
        if measured.count and predicted.count
    ]
    pairs: dict[int, list[tuple[Ranked, Ranked]]] = {-1: [], 0: [], 1: []}
    for one, other in combinations(ranked, 2):
        for low, high in ((one, other), (other, one)):
            if _apart(low, high):
                pairs[_sign(high.predicted_ns, low.predicted_ns)].append((low, high))
    return Ranking(tuple(ranked), tuple(pairs[1]), tuple(pairs[-1]), tuple(pairs[0]))


def _lowest(distribution: Distribution, q: float) -> int | AtLeast:
    found = distribution.at_rank(quantile_rank(q, distribution.count))
    return found if isinstance(found, AtLeast) else found[0]


def _apart(low: Ranked, high: Ranked) -> bool:
    end, start = low.interval_ns[1], high.interval_ns[0]
    return end is not None and start is not None and end < start


def _sign(high: int | AtLeast, low: int | AtLeast) -> int:
    one, other = (value.limit_ns if isinstance(value, AtLeast) else value for value in (high, low))
    return (one > other) - (one < other)
