"""Random numbers: a counter-based stream for each named source and purpose.

Draw n of a stream is ``mix(key + n * gamma)``: SplitMix64 with an increment of its own for every stream (Steele, Lea
and Flood 2014, "Fast splittable pseudorandom number generators"). It depends on (seed, name, purpose, n) alone, so a
choice that moves a pin leaves every other source's noise untouched. Values come from quantile tables of integers:
no floating point, the same bytes on any machine.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from rtsim.engine.bits import leading_zeros
from rtsim.engine.jit import handler, inlined
from rtsim.engine.state import State

__all__ = ["CELLS", "LEVELS", "TABLE_SIZE", "cost", "draw", "draw_int", "sample_table", "stream", "uniform_below"]

LEVELS = 32
"""Halvings of the survival probability that a table resolves: tails down to 2**-32."""
CELLS = 64
"""Cells within one halving, linear inside."""
TABLE_SIZE = LEVELS * CELLS + 1

_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_30, _27, _31 = np.uint64(30), np.uint64(27), np.uint64(31)
_6, _32, _58 = np.uint64(6), np.uint64(32), np.uint64(58)


def stream(seed: int, name: str, purpose: str) -> tuple[int, int]:
    """Return (key, gamma) of the stream as int64 bit patterns; gamma is odd, with enough bit changes to mix well."""
    digest = hashlib.blake2b(f"{seed}\0{name}\0{purpose}".encode(), digest_size=16).digest()
    key = int.from_bytes(digest[:8], "little", signed=True)
    gamma = int.from_bytes(digest[8:], "little") | 1
    if (gamma ^ (gamma >> 1)).bit_count() < 24:  # as SplittableRandom.mixGamma
        gamma ^= 0xAAAAAAAAAAAAAAAA
    return key, gamma - (1 << 64) if gamma >= 1 << 63 else gamma


@handler
def draw(key: int, gamma: int, n: int) -> np.uint64:
    """Return the stream's 64 random bits number `n`."""
    z = np.uint64(key) + np.uint64(gamma) * np.uint64(n)
    z = (z ^ (z >> _30)) * _MIX_1
    z = (z ^ (z >> _27)) * _MIX_2
    return z ^ (z >> _31)


def draw_int(key: int, gamma: int, n: int) -> int:
    """Return `draw` as a Python integer, for use while a state is assembled."""
    mask = (1 << 64) - 1
    z = (key + gamma * n) & mask
    z = (z ^ (z >> 30)) * int(_MIX_1) & mask
    z = (z ^ (z >> 27)) * int(_MIX_2) & mask
    return z ^ (z >> 31)


def uniform_below(seed: int, name: str, purpose: str, limit: int) -> int:
    """Return an integer in [0, `limit`), the first draw of the stream of `name` and `purpose`."""
    key, gamma = stream(seed, name, purpose)
    return draw_int(key, gamma, 1) * limit >> 64


@handler
def sample_table(s: State, table: int, bits: np.uint64) -> int:
    """Return the value of quantile table `table` at the survival probability `bits` / 2**64."""
    level = min(leading_zeros(bits), LEVELS - 1)
    bits = ~(bits << np.uint64(level + 1))  # without the leading one; inverted: a smaller survival is a larger value
    index = level * CELLS + np.int64(bits >> _58)
    fraction = np.int64((bits << _6) >> _32)
    low = s.tables[table, index]
    return low + _scaled(s.tables[table, index + 1] - low, fraction)


@handler
def _scaled(width: int, fraction: Any) -> int:
    """Return floor(width * fraction / 2**32) without overflow, for fraction < 2**32."""
    if width < 2147483648:
        return (width * fraction) >> 32
    high = (width >> 31) * fraction
    return (high >> 1) + (((width & 2147483647) * fraction + ((high & 1) << 31)) >> 32)


@inlined
def cost(s: State, cpu: int, table: int) -> int:
    """Draw a cost on `cpu` (ns) from the CPU's own stream; constants need no draw."""
    constant = s.tables[table, TABLE_SIZE]
    if constant >= 0:
        return constant
    c = s.cpus[cpu]
    c.stream_n += 1
    return sample_table(s, table, draw(c.stream_key, c.stream_gamma, c.stream_n))
