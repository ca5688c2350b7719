"""Variants from the command line: values for places in a scenario, every combination of them.

``--vary 'guests.realtime4.kernel.preempt=rt'`` names a place and a value. The same place again is an alternative,
another place multiplies: two masks and three preemption models are six variants.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence

from rtsim.inputs.errors import InputError
from rtsim.scenario import Scenario

__all__ = ["parse_vary", "varied"]

MOST_VARIANTS = 200
"""A product grows quickly by mistake; every variant takes minutes."""

_PLACE = re.compile(r'(?:\["[^"]+"\]|[^\["=])+')


def parse_vary(options: Iterable[str]) -> dict[str, list[str]]:
    """Read ``PATH=VALUE`` options: the values of each path, in order.

    A key in ``["..."]`` may hold any character; the first ``=`` outside of one ends the path, and all after it is the
    value.

    Raises
    ------
    InputError
        An option has no path or no ``=``, or a value comes twice.

    Examples
    --------
    >>> parse_vary(['host.kernel.cmdline=isolcpus=2,3', 'host.kernel.cmdline='])
    {'host.kernel.cmdline': ['isolcpus=2,3', '']}
    """
    values: dict[str, list[str]] = {}
    for option in options:
        place = _PLACE.match(option)
        if place is None or option[place.end() : place.end() + 1] != "=":
            raise InputError("--vary", repr(option), "expected PATH=VALUE such as guests.NAME.kernel.preempt=rt")
        path, value = place.group().strip(), option[place.end() + 1 :].strip()
        if value in values.setdefault(path, []):
            raise InputError("--vary", path, f"expected each value once, found {value!r} twice")
        values[path].append(value)
    return values


def varied(scenario: Scenario, vary: Mapping[str, Sequence[str]]) -> dict[str, Scenario]:
    """Return the scenario with every combination of values, by name.

    Parameters
    ----------
    vary
        By path (see `Scenario.with_value`), the values it takes, as YAML text.

    Raises
    ------
    InputError
        A path does not exist or a value is impossible there; the line names both.
    """
    count = 1
    for values in vary.values():
        count *= len(values)
    if count > MOST_VARIANTS:
        raise InputError("--vary", "", f"expected at most {MOST_VARIANTS} variants, these are {count}")
    labels = _labels(list(vary))
    variants = {}
    for combination in itertools.product(*vary.values()):
        variant = scenario
        for path, value in zip(vary, combination, strict=True):
            variant = variant.with_value(path, value)
        variants[", ".join(f"{labels[path]}={value}" for path, value in zip(vary, combination, strict=True))] = variant
    return variants


def _labels(paths: Sequence[str]) -> dict[str, str]:
    """Return what variants' names call each path: its last key, or all of it where two paths end in the same."""
    last = {path: (found.group(1) or found.group(2)) if (found := _LAST_KEY.search(path)) else path for path in paths}
    ends = list(last.values())
    return {path: key if ends.count(key) == 1 else path for path, key in last.items()}


_LAST_KEY = re.compile(r'(?:\["([^"]+)"\]|([^.\["\]]+))$')
