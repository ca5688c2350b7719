"""Laying out scheduling domains: what each CPU is balanced with, from its core up, and who shares a cache or a core."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rtsim.engine.constants import (
    AFFINITY_WORDS,
    NONE,
    SD_BALANCE_FORK,
    SD_BALANCE_NEWIDLE,
    SD_PREFER_SIBLING,
    SD_SHARE_CPUCAPACITY,
    SD_SHARE_LLC,
    SD_WAKE_AFFINE,
)
from rtsim.engine.rows import filled
from rtsim.engine.sched_fields import DOMAIN, LB, LB_GROUP, LLC, SCHED_GROUP

__all__ = ["Domain", "flat_domains", "lay_out_domains", "mask_words"]

Rows = list[dict[str, Any]]

Phase = Callable[[int, int, int], int]
"""Of a CPU's row, a level and a number: one below that number."""

MS = 1_000_000
AVERAGE_IDLE_NS = 1_000_000
"""What a CPU is taken to idle for at first: twice the migration cost."""
LEAST_IDLE_COST_NS = 500_000
NEWIDLE_CALLS, NEWIDLE_MOVED = 512, 256
"""NI_RANDOM starts from one success in two."""


@dataclass(frozen=True)
class Domain:
    """One domain of one CPU; CPUs are numbered within their kernel."""

    span: frozenset[int]
    groups: tuple[frozenset[int], ...]
    """The CPU's own first."""
    flags: int
    imbalance_pct: int = 117
    cache_nice_tries: int = 1
    min_interval: int = 1
    """ms"""
    max_interval: int = 2
    """ms"""
    busy_factor: int = 16
    imb_numa_nr: int = 0


def flat_domains(cpus: Iterable[int], *, shared_cache: bool = True) -> dict[int, tuple[Domain, ...]]:
    """Return the domains of a machine without structure: one over all CPUs, which share a cache or do not."""
    ids = sorted(cpus)
    flags = SD_BALANCE_NEWIDLE | SD_BALANCE_FORK | SD_WAKE_AFFINE | SD_PREFER_SIBLING
    flags |= SD_SHARE_LLC if shared_cache else 0
    if len(ids) < 2:
        return {}
    return {
        cpu: (
            Domain(
                frozenset(ids), tuple(frozenset({other}) for other in ids[place:] + ids[:place]), flags,
                min_interval=len(ids), max_interval=2 * len(ids),
            ),
        )
        for place, cpu in enumerate(ids)
    }  # fmt: skip


def mask_words(cpus: Iterable[int]) -> list[int]:
    """Return the words of an affinity mask, as int64 bit patterns."""
    words = [0] * AFFINITY_WORDS
    for cpu in cpus:
        words[cpu >> 6] |= 1 << (cpu & 63)
    return [word - (1 << 64) if word >= 1 << 63 else word for word in words]


def lay_out_domains(
    kernels: Rows, cpus: Rows, domains: Mapping[int, Mapping[int, Sequence[Domain]]], phase: Phase
) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of domains by name; rows of `kernels` and `cpus` get what they say of them.

    `domains` has those of each CPU by kernel, bottom up. A kernel that is not named has one flat domain of the CPUs
    that are not isolated. Passes over domains are under way when the run starts: the last one was up to an interval
    ago, `phase` ticks.
    """
    layout = _Layout(cpus, phase)
    for row, kernel in enumerate(kernels):
        base = kernel["cpu_base"]
        numbers = range(kernel["cpu_count"])
        given = domains.get(row)
        if given is None:
            given = flat_domains(number for number in numbers if not cpus[base + number]["isolated"])
        for number in numbers:
            layout.add_core(base, number, given.get(number, ()))
        for number in numbers:
            layout.add_cpu(base, number, given.get(number, ()), kernel["tick_ns"])
        idle = [number for number in numbers if given.get(number)]
        for number in idle:
            cpus[base + number]["nohz_idle"] = 1
        kernel |= {"nohz_mask": mask_words(idle), "nohz_cpus": len(idle)}
    return {
        "domains": filled(DOMAIN, layout.domains),
        "sched_groups": filled(SCHED_GROUP, layout.groups),
        "llcs": filled(LLC, layout.llcs),
        "members": np.array(layout.members, dtype=np.int64),
        "lb": filled(LB, [{"busiest": NONE}]),
        "lb_groups": filled(LB_GROUP, [{}, {}, {}]),
    }


class _Layout:
    """Rows of domains; CPUs of one span share its groups, lists of members and cache."""

    def __init__(self, cpus: Rows, phase: Phase) -> None:
        self.cpus = cpus
        self.phase = phase
        self.domains: Rows = []
        self.groups: Rows = []
        self.llcs: Rows = []
        self.members: list[int] = []
        self._lists: dict[tuple[int, ...], int] = {}
        self._circles: dict[tuple[tuple[int, ...], ...], int] = {}
        self._caches: dict[tuple[int, ...], int] = {}

    def add_core(self, base: int, number: int, domains: Sequence[Domain]) -> None:
        """Note the core of CPU `number` of the kernel whose CPUs start at row `base`."""
        core = next((domain.span for domain in domains if domain.flags & SD_SHARE_CPUCAPACITY), frozenset({number}))
        self.cpus[base + number] |= {"core_first": self._list(base, core), "core_count": len(core)}

    def add_cpu(self, base: int, number: int, domains: Sequence[Domain], tick_ns: int) -> None:
        """Add the domains of CPU `number`; all cores are known."""
        row = self.cpus[base + number]
        row |= {
            "domain": len(self.domains) if domains else NONE, "llc": NONE, "llc_domain": NONE,
            "wakelist": NONE, "waker_last": NONE, "avg_idle": AVERAGE_IDLE_NS, "max_idle_cost": LEAST_IDLE_COST_NS,
        }  # fmt: skip
        sharing = [level for level, domain in enumerate(domains) if domain.flags & SD_SHARE_LLC]
        if sharing:
            row["llc"] = self._cache(base, domains[sharing[-1]].span)
            row["llc_domain"] = len(self.domains) + sharing[-1]
        for level, domain in enumerate(domains):
            parent = NONE if level == len(domains) - 1 else len(self.domains) + 1
            interval = max(domain.min_interval * domain.busy_factor * MS // tick_ns, 1)
            self._add(base, number, domain, parent, -self.phase(base + number, level, interval))

    def _add(self, base: int, number: int, domain: Domain, parent: int, last_balance: int) -> None:
        first_group, local = self._circle(base, domain)
        self.domains.append(
            {
                "cpu": base + number, "parent": parent, "last_balance": last_balance,
                "span": mask_words(domain.span), "weight": len(domain.span),
                "first_member": self._list(base, domain.span), "position": sorted(domain.span).index(number),
                "first_group": first_group, "group_count": len(domain.groups), "local_group": local,
                "sd_flags": domain.flags, "imbalance_pct": domain.imbalance_pct,
                "cache_nice_tries": domain.cache_nice_tries, "min_interval": domain.min_interval,
                "max_interval": domain.max_interval, "busy_factor": domain.busy_factor,
                "imb_numa_nr": domain.imb_numa_nr, "interval": domain.min_interval, "newidle_calls": NEWIDLE_CALLS,
                "newidle_moved": NEWIDLE_MOVED, "newidle_ratio": NEWIDLE_CALLS,
            }
        )  # fmt: skip

    def _circle(self, base: int, domain: Domain) -> tuple[int, int]:
        """Return the first of the domain's groups and the place of the CPU's own, which the domain names first."""
        groups = [tuple(base + cpu for cpu in sorted(group)) for group in domain.groups]
        start = groups.index(min(groups))
        circle = tuple(groups[start:] + groups[:start])
        if circle not in self._circles:
            self._circles[circle] = len(self.groups)
            self.groups += [self._group(members) for members in circle]
        return self._circles[circle], (len(groups) - start) % len(groups)

    def _group(self, members: tuple[int, ...]) -> dict[str, Any]:
        cores = {self.cpus[cpu]["core_first"] for cpu in members}
        return {
            "first_member": self._list(0, members), "weight": len(members), "cores": len(cores),
            "smt": int(len(members) > 1 and len(cores) == 1),
        }  # fmt: skip

    def _cache(self, base: int, span: frozenset[int]) -> int:
        members = tuple(base + cpu for cpu in sorted(span))
        if members not in self._caches:
            self._caches[members] = len(self.llcs)
            count = len(members)
            # All idle at first, as after a quiet time; CPUs are counted busy from their first tick on.
            self.llcs.append({"weight": count, "nr_busy": 0, "idle_cores": 1, "nr_idle_scan": count})
        return self._caches[members]

    def _list(self, base: int, cpus: Iterable[int]) -> int:
        members = tuple(base + cpu for cpu in sorted(cpus))
        if members not in self._lists:
            self._lists[members] = len(self.members)
            self.members += members
        return self._lists[members]
