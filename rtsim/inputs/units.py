"""Quantities with units, exactly: durations in integer nanoseconds, rates as fractions per second.

``0.1 ms`` is 100,000 ns, not 99,999 or 100,001: decimal text is never passed through a float.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any

from pydantic import BeforeValidator

from rtsim.inputs.errors import shown

__all__ = ["LARGEST_NS", "Duration", "Rate", "format_ns", "parse_duration", "parse_rate"]

LARGEST_NS = 2**62 - 1
"""Times beyond this (146 years) are refused: sums of two still fit 64 bits."""

NS_PER_UNIT = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "min": 60_000_000_000,
    "h": 3_600_000_000_000,
}

_NUMBER = r"(\d{1,30}(?:\.\d{1,30})?(?:[eE][+-]?\d{1,2})?)"
_DURATION = re.compile(_NUMBER + r"\s*([a-zµμ]*)", re.ASCII)
_RATE = re.compile(_NUMBER + r"\s*(?:(k?Hz)|/\s*([a-zµμ]+))?", re.ASCII)


def parse_duration(value: object, *, bare: str | None = None) -> int:
    """Return a duration such as ``50 us``, ``1.5 ms``, ``2 s``, ``3 min`` or ``1 h`` in nanoseconds.

    Parameters
    ----------
    bare
        The unit of a number that comes without one; by default such a number is refused (0 excepted).

    Raises
    ------
    ValueError
        "expected ..., found ...": no duration, not a whole number of nanoseconds, or beyond `LARGEST_NS`.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        text = repr(value) if isinstance(value, float) or abs(value) < 10**29 else "too long"
    elif isinstance(value, str):
        text = value.strip()
    else:
        text = ""
    match = _DURATION.fullmatch(text)
    unit = (match[2] or bare) if match else None
    if match and not unit and Decimal(match[1]) == 0:
        return 0
    if match is None or unit not in NS_PER_UNIT:
        raise ValueError(f"expected a duration such as 50 us or 1.5 ms, found {shown(value)}")
    ns = Fraction(match[1]) * NS_PER_UNIT[unit]
    if ns.denominator != 1:
        raise ValueError(f"expected a whole number of nanoseconds, found {shown(value)}")
    if ns > LARGEST_NS:
        raise ValueError(f"expected at most {LARGEST_NS} ns (146 years), found {shown(value)}")
    return int(ns)


def parse_rate(value: object) -> Fraction:
    """Return a rate such as ``10 / s``, ``10 Hz``, ``3 / min`` or ``10`` (per second), in 1/s; it is above zero.

    Raises
    ------
    ValueError
        "expected ..., found ...": no rate, zero, faster than one a nanosecond, or slower than one in 146 years.
    """
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    text = shown(value) if plain else value.strip() if isinstance(value, str) else ""
    match = _RATE.fullmatch(text)
    if match is None or (match[3] and match[3] not in NS_PER_UNIT):
        raise ValueError(f"expected a rate such as 10 / s or 10 Hz, found {shown(value)}")
    rate = Fraction(match[1])
    if match[2] == "kHz":
        rate *= 1000
    elif match[3]:
        rate *= Fraction(10**9, NS_PER_UNIT[match[3]])
    if not Fraction(10**9, LARGEST_NS) <= rate <= 10**9:
        raise ValueError(f"expected a rate above zero and up to one a nanosecond, found {shown(value)}")
    return rate


def format_ns(ns: float) -> str:
    """Return `ns` in the unit people read it in: ``950 ns``, ``1.6 us``, ``2 ms``, ``60 s``."""
    for unit in ("s", "ms", "us"):
        if abs(ns) >= NS_PER_UNIT[unit]:
            return f"{ns / NS_PER_UNIT[unit]:.4g} {unit}"
    return f"{ns:.4g} ns"


def _duration(value: Any) -> int:
    return parse_duration(value)


def _rate(value: Any) -> Fraction:
    return value if isinstance(value, Fraction) else parse_rate(value)


Duration = Annotated[int, BeforeValidator(_duration)]
"""Field of an input model: written with its unit, kept in nanoseconds."""
Rate = Annotated[Fraction, BeforeValidator(_rate)]
"""Field of an input model: written as ``10 / s``, kept as a fraction per second."""
