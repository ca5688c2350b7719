"""Lists of CPUs as people write them: ``0-3,8,^2`` or ``[0, 1, 3, 8]``; and back, as the kernel and Nova print them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rtsim.inputs.errors import shown

__all__ = ["MAX_CPUS", "format_cpulist", "parse_cpulist", "parse_cpulist_ordered"]

MAX_CPUS = 8192
"""CPU numbers from here on are refused: the largest ``CONFIG_NR_CPUS`` of x86."""

_TOKEN = re.compile(r"(\^?)\s*(\d{1,9})(?:\s*-\s*(\d{1,9}))?", re.ASCII)


def parse_cpulist(spec: str | int | Iterable[int]) -> tuple[int, ...]:
    """Return the CPUs of `spec` (a list as text or of numbers, or one number), sorted, each once.

    ``^`` excludes a CPU or a range, wherever it stands; empty items are ignored; the empty list is ``()``.

    Raises
    ------
    ValueError
        "expected ..., found ...": not a CPU list, a range from high to low, or a CPU number of `MAX_CPUS` or more.

    Examples
    --------
    >>> parse_cpulist("0-3,8,^2")
    (0, 1, 3, 8)
    """
    if isinstance(spec, int):
        return (_checked(spec),)
    if not isinstance(spec, Iterable):
        raise ValueError(f"expected a CPU list such as 0-3, found {shown(spec)}")
    if not isinstance(spec, str):
        return tuple(sorted({_checked(cpu) for cpu in spec}))
    included: set[int] = set()
    excluded: set[int] = set()
    for caret, first, last in _tokens(spec):
        (excluded if caret else included).update(range(first, last + 1))
    return tuple(sorted(included - excluded))


def parse_cpulist_ordered(spec: str) -> tuple[int, ...]:
    """Return the CPUs of `spec` in the order written (no exclusions): ``2,0`` is ``(2, 0)``.

    Raises
    ------
    ValueError
        As `parse_cpulist`; also where a CPU stands twice.
    """
    cpus: list[int] = []
    for caret, first, last in _tokens(spec):
        if caret:
            raise ValueError(f"expected CPU numbers without ^, found {shown(spec)}")
        cpus.extend(range(first, last + 1))
        if len(cpus) > MAX_CPUS:
            break
    if len(set(cpus)) != len(cpus):
        raise ValueError(f"expected each CPU once, found {shown(spec)}")
    return tuple(cpus)


def format_cpulist(cpus: Iterable[int]) -> str:
    """Return `cpus` as the kernel prints them.

    Examples
    --------
    >>> format_cpulist([5, 0, 1, 2, 3])
    '0-3,5'
    """
    runs: list[list[int]] = []
    for cpu in sorted(set(cpus)):
        if runs and cpu == runs[-1][-1] + 1:
            runs[-1][1:] = [cpu]
        else:
            runs.append([cpu])
    return ",".join("-".join(map(str, run)) for run in runs)


def _tokens(spec: str) -> Iterable[tuple[bool, int, int]]:
    for item in spec.split(","):
        token = item.strip()
        if not token:
            continue
        match = _TOKEN.fullmatch(token)
        if match is None:
            raise ValueError(f"expected a CPU list such as 0-3,^2, found {shown(spec)}")
        first = int(match[2])
        last = first if match[3] is None else int(match[3])
        if first > last:
            raise ValueError(f"expected a range from low to high, found {shown(token)}")
        yield bool(match[1]), first, _checked(last)


def _checked(cpu: object) -> int:
    if isinstance(cpu, bool) or not isinstance(cpu, int) or cpu < 0:
        raise ValueError(f"expected a CPU number, found {shown(cpu)}")
    if cpu >= MAX_CPUS:
        raise ValueError(f"expected CPU numbers below {MAX_CPUS}, found {shown(cpu)}")
    return cpu
