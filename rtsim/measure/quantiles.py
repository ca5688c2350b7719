"""Which sample is a quantile, and how far the true one may be from it.

A quantile is an order statistic: of `n` sorted samples, ``q`` is the one at rank ``ceil(q n)``, the smallest value that
a share `q` of the samples does not exceed. Its confidence interval is a pair of order statistics too, so it assumes
nothing about the distribution; at the far tail the samples run out and the interval has no upper end.
"""

from __future__ import annotations

import math
from fractions import Fraction

from scipy.stats import binom

__all__ = ["QUANTILES", "interval_ranks", "is_told", "quantile_name", "quantile_rank"]

QUANTILES = (0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999)
"""The quantiles every result carries."""


def quantile_name(q: float) -> str:
    """Return `q` as the field writes it: ``p50``, ``p99.9``, ``p99.999``.

    Examples
    --------
    >>> quantile_name(0.5), quantile_name(0.9999)
    ('p50', 'p99.99')
    """
    percent = Fraction(str(float(q))) * 100
    return f"p{percent.numerator}" if percent.denominator == 1 else f"p{float(percent):.10g}"


def quantile_rank(q: float, count: int) -> int:
    """Return the rank, from 1, of the quantile `q` among `count` sorted samples.

    `q` means the decimal it is written as: 0.07 of 100 samples is rank 7, though the nearest double is above 0.07.

    Raises
    ------
    ValueError
        `q` is not in (0, 1], or there is no sample.
    """
    if not 0 < q <= 1:
        raise ValueError(f"a quantile must be in (0, 1], not {q}")
    if count < 1:
        raise ValueError("no samples, no quantile")
    return math.ceil(Fraction(str(float(q))) * count)


def is_told(q: float, count: int) -> bool:
    """Return whether `count` samples tell the quantile `q`: with fewer it is their largest one, whichever that is."""
    return count > 0 and quantile_rank(q, count) < count


def interval_ranks(q: float, count: int, confidence: float = 0.95) -> tuple[int | None, int | None]:
    """Return the ranks of the two order statistics that hold the true quantile between them.

    The number of samples at or below the true quantile is binomial with probability `q`, whatever the distribution
    (H. A. David, H. N. Nagaraja, Order Statistics, 3rd ed., section 7.1). Each end is missed with probability at most
    ``(1 - confidence) / 2``.

    Samples are taken as independent. Latencies that follow each other under one disturbance are not, and their
    interval is then too narrow: intervals over replications do not have that weakness.

    Parameters
    ----------
    q
        The quantile, in (0, 1).
    count
        Number of samples.
    confidence
        Probability that the interval holds the true quantile.

    Returns
    -------
    tuple
        (lower rank, upper rank), from 1; None where no order statistic is far enough out: for 0.99999 at 95 % the
        upper end needs 368,887 samples.
    """
    if count < 1:
        return None, None
    miss = (1 - confidence) / 2
    lower = int(binom.ppf(miss, count, q))
    upper = int(binom.ppf(1 - miss, count, q)) + 1
    return (lower if lower >= 1 else None), (upper if upper <= count else None)
