"""CPU lists as Nova writes them (``0-7,^3,9``), and sets in exactly CPython's order.

Nova keeps CPUs in Python sets and takes "the first k of a set", so the order in which CPython walks a set of integers
decides pins. Order depends on how a set was built, so the constructions Nova goes through are repeated here with real
sets: ``rebuilt`` is what assigning a set to a field of a versioned object does, ``stored_and_loaded`` what writing a
host's topology to the database and reading it back does on top.
"""

from __future__ import annotations

from collections.abc import Iterable

from rtsim.nova.errors import refuse

__all__ = ["format_cpu_spec", "parse_cpu_spec", "rebuilt", "stored_and_loaded"]

LARGEST_CPU = 1 << 17
"""Ranges are cut here: no host has as many CPUs, and ``0-999999999`` must not fill the memory."""


def parse_cpu_spec(spec: str) -> set[int]:
    """Return the CPUs of a list such as ``1-4,^3,6``; exclusions win wherever they stand.

    Raises
    ------
    NovaRefusal
        ``Invalid``, naming the first part that is no number, range or exclusion.
    """
    included: set[int] = set()
    excluded: set[int] = set()
    for part in spec.split(","):
        part = part.strip()
        if not part:
            continue
        first, dash, last = part.partition("-")
        if dash:
            target = included
            if first.startswith("^"):
                target, first = excluded, first[1:]
            target |= _range(part, first, last)
        elif part[0] == "^":
            excluded.add(_number(part, part[1:], "exclusion"))
        else:
            included.add(_number(part, part, "inclusion"))
    included -= excluded
    return included


def _range(part: str, first: str, last: str) -> set[int]:
    try:
        low, high = int(first.strip()), int(last.strip())
    except ValueError:
        low, high = 1, 0
    if low > high:
        raise refuse("Invalid", f"Invalid range expression {part!r}")
    return set(range(low, min(high, max(low, LARGEST_CPU)) + 1))


def _number(part: str, text: str, kind: str) -> int:
    try:
        return int(text.strip())
    except ValueError:
        raise refuse("Invalid", f"Invalid {kind} expression {part!r}") from None


def format_cpu_spec(cpus: Iterable[int]) -> str:
    """Return the CPUs as ascending ranges, ``0-1,4``; nothing for none."""
    parts: list[str] = []
    first = previous = None
    for cpu in sorted(cpus):
        if previous is not None and cpu == previous + 1:
            previous = cpu
            continue
        if first is not None:
            parts.append(str(first) if first == previous else f"{first}-{previous}")
        first = previous = cpu
    if first is not None:
        parts.append(str(first) if first == previous else f"{first}-{previous}")
    return ",".join(parts)


def rebuilt(source: Iterable[int]) -> set[int]:
    """Return a set that iterates as `source` does after being assigned to an object's field.

    The field first adds the elements one by one to an empty set, then merges that set into another empty one.
    """
    # Neither conversion is idle: set(list) inserts one by one, set(set) merges tables.
    return set(set(list(source)))  # noqa: C414


def stored_and_loaded(source: Iterable[int]) -> set[int]:
    """Return a set that iterates as `source` does after a trip through the database and a rebuilt object."""
    return rebuilt(set(list(source)))  # noqa: C414
