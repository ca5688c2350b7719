"""How calibrated numbers are written in a profile: exactly, in the unit people read."""

from __future__ import annotations

from decimal import Decimal

__all__ = ["exact"]

UNITS = ((10**9, "s"), (10**6, "ms"), (10**3, "us"))


def exact(ns: int) -> str:
    """Return a duration in text that reads back as the same number of nanoseconds.

    Examples
    --------
    >>> exact(2_200_003), exact(4_000_000), exact(950)
    ('2.200003 ms', '4 ms', '950 ns')
    """
    for size, unit in UNITS:
        if ns >= size:
            number = f"{Decimal(int(ns)) / size:f}"
            return f"{number.rstrip('0').rstrip('.') if '.' in number else number} {unit}"
    return f"{int(ns)} ns"
