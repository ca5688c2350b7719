"""The order of sets under Python 2.7, on which releases up to Train ran.

Only Ocata's choice of cores needs it. Sets of Python 2.7 hold their elements in a table of 8, 32, 128, ... slots,
found by the hash and, where that slot is taken, by probing; they iterate slot by slot. Integers hash to themselves,
tuples by a multiplicative mix. Source: ``Objects/setobject.c`` and ``Objects/tupleobject.c`` of CPython 2.7, in own
words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

__all__ = ["set_order", "tuple_set_order"]

WORD = (1 << 64) - 1
T = TypeVar("T")


def set_order(numbers: Iterable[int]) -> list[int]:
    """Return small integers in the order a set made of them, one after the other, iterates."""
    return _order(sorted(numbers), lambda number: number & WORD)


def tuple_set_order(tuples: Iterable[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Return tuples of small integers in the order a set made of them iterates."""
    return _order(tuples, _tuple_hash)


def _tuple_hash(numbers: tuple[int, ...]) -> int:
    value, factor = 0x345678, 1000003
    for left, number in zip(range(len(numbers) - 1, -1, -1), numbers, strict=True):
        value = ((value ^ number) * factor) & WORD
        factor = (factor + 82520 + 2 * left) & WORD
    return (value + 97531) & WORD


def _order(elements: Iterable[T], hash_of: Callable[[T], int]) -> list[T]:
    slots: list[T | None] = [None] * 8
    held = 0
    for element in elements:
        if _insert(slots, element, hash_of):
            held += 1
            if held * 3 >= len(slots) * 2:
                larger: list[T | None] = [None] * _table_size(held * (2 if held > 50000 else 4))
                for kept in slots:
                    if kept is not None:
                        _insert(larger, kept, hash_of)
                slots = larger
    return [element for element in slots if element is not None]


def _table_size(least: int) -> int:
    size = 8
    while size <= least:
        size *= 2
    return size


def _insert(slots: list[T | None], element: T, hash_of: Callable[[T], int]) -> bool:
    mask = len(slots) - 1
    perturb = place = hash_of(element)
    while (held := slots[place & mask]) is not None:
        if held == element:
            return False
        place = (place * 5 + perturb + 1) & WORD
        perturb >>= 5
    slots[place & mask] = element
    return True
