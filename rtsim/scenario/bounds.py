"""Bounds of a run: what the latencies and responses of its strongest realtime tasks cannot exceed, by their causes.

The variables are read off the finished state (`rtsim.engine.rtsl`), for host and guest CPUs alike: for a guest, all
time that its vCPU is not in guest mode is an interruption.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from rtsim.engine import constants as es
from rtsim.engine.builder import Names
from rtsim.engine.random import TABLE_SIZE
from rtsim.engine.state import State
from rtsim.measure.bounds import UNDISTURBED, Bucket, PeriodicTask, RtslParts, least_of, response_time, rtsl_bound

__all__ = ["Bound", "bounds_of", "buckets_of", "largest"]

STEPS = (es.OP_START, es.OP_TIMER, es.OP_BLOCK, es.OP_RUN, es.OP_JUMP)
"""Operations of a periodic task."""


@dataclass(frozen=True)
class Bound:
    """Upper limits of one task; None where there is none."""

    rtsl_ns: int | None
    """Of its latency."""
    rta_ns: int | None
    """Of its response: release to completion."""
    parts: Mapping[str, int]
    """Of `rtsl_ns`: the variables of rtsl, what interruptions add, and how late the timer may be; ns."""

    def to_json(self) -> dict[str, Any]:
        """Return the bound as plain data (the contract of ``rtsim run --json``)."""
        return {"rtsl_ns": self.rtsl_ns, "rta_ns": self.rta_ns, "parts": dict(self.parts)}


def bounds_of(s: State, names: Names) -> dict[str, Bound]:
    """Return the bounds of the observed tasks that have any, by name.

    These are the FIFO and RR tasks that may run on one CPU only and are the strongest there (rtsl), or have none but
    periodic ones above them (response-time analysis). Without a bound are tasks of a run in which some task changes its
    affinity mask: who is whose rival then changes on the way.
    """
    if (s.ops["code"] == es.OP_AFFINITY).any():
        return {}
    found = {}
    for task in names.watched:
        t = s.tasks[task]
        if t["policy"] not in (es.FIFO, es.RR) or t["nr_allowed"] != 1:
            continue
        rivals = list(_rivals(s, task))
        rta_ns = _rta(s, task, rivals)
        if not rivals:
            rtsl_ns, parts = _rtsl(s, task)
            found[names.tasks[task]] = Bound(rtsl_ns, rta_ns, parts)
        elif rta_ns is not None:
            found[names.tasks[task]] = Bound(None, rta_ns, {})
    return found


def largest(bounds: Iterable[Bound]) -> Bound:
    """Return one bound for several threads or runs together: the larger one, none if one of them has none."""
    each = list(bounds)
    rtsl = [bound.rtsl_ns for bound in each if bound.rtsl_ns is not None]
    rta = [bound.rta_ns for bound in each if bound.rta_ns is not None]
    widest = max(each, key=lambda bound: bound.rtsl_ns or 0)
    return Bound(
        max(rtsl) if len(rtsl) == len(each) else None, max(rta) if len(rta) == len(each) else None, widest.parts
    )  # fmt: skip


def _rivals(s: State, task: int) -> Iterator[int]:
    """Yield the other tasks at least as strong that may run on the CPU of `task`."""
    t = s.tasks[task]
    local = int(t["cpu"] - s.kernels[t["kernel"]]["cpu_base"])
    for other, o in enumerate(s.tasks):
        if other == task or o["kernel"] != t["kernel"] or not int(o["allowed"][local >> 6]) >> (local & 63) & 1:
            continue
        if o["policy"] < es.FIFO or (o["policy"] <= es.RR and o["prio"] <= t["prio"]):
            yield other


# ---- rtsl -----------------------------------------------------------------------------------------------------------


def _rtsl(s: State, task: int) -> tuple[int | None, Mapping[str, int]]:
    """Return rtsl's bound of the strongest task of a CPU, and its parts (ns)."""
    t = s.tasks[task]
    cpu = int(t["cpu"])
    parts = _parts(s, cpu)
    limit, late = rtsl_bound(parts, least_of(buckets_of(s, cpu))), _timer_late(s, task)
    named = {"poid_ns": parts.poid, "paie_ns": parts.paie, "psd_ns": parts.psd, "dst_ns": parts.dst}
    if limit is None or late is None or t["overruns"] or s.cpus[cpu]["overruled"]:
        return None, named
    return limit + late, {**named, "interruptions_ns": limit - parts.interference_free, "timer_ns": late}


def _parts(s: State, cpu: int) -> RtslParts:
    """Return rtsl's variables of a CPU; interrupts are off in all of schedule(), so its tail is the whole of it."""
    c = s.cpus[cpu]
    psd = _at_worst(s, cpu, int(c["psd"]))
    return RtslParts(poid=_at_worst(s, cpu, int(c["poid"])), paie=int(c["paie"]), psd=psd, dst=psd)


def _at_worst(s: State, cpu: int, work_ns: int) -> int:
    """Return how long `work_ns` take at most on `cpu`, a guest's on any of the host's: while siblings are busy."""
    hosts = s.cpus[: s.m[0]["n_host_cpus"]] if s.cpus[cpu]["carrier"] >= 0 else s.cpus[[cpu]]
    smt_speed = s.kernels[hosts["kernel"]]["smt_speed"]
    speeds = np.where(hosts["sibling"] < 0, hosts["frequency"], hosts["frequency"] * smt_speed // es.FULL_SPEED)
    return -(-work_ns * es.FULL_SPEED // int(speeds.min()))


def buckets_of(s: State, cpu: int) -> list[Bucket]:
    """Return what is known of the interruptions of a CPU: all of these hold in every window of the run."""
    highest = [int(most) for most in s.cpus[cpu]["bucket_most"]]
    if not any(highest):
        return [UNDISTURBED]
    return [
        Bucket(-(-most // es.RATE_UNIT), Fraction(rate, es.RATE_UNIT))
        for rate, most in zip(es.RATES, highest, strict=True)
    ]


def _timer_late(s: State, task: int) -> int | None:
    """Return how late the timer of `task` may wake it (ns): by its slack, and where another CPU's clock has it.

    None if hrtimer_interrupt gave up on its timers, or if a thread fires them: no bound is known of that.
    """
    t = s.tasks[task]
    if s.kernels[t["kernel"]]["timer_task"] >= 0:
        return None
    if t["mode"] != es.NOT_VCPU and not _reads_pages(s, task) and not _timer_cpus(s, task):
        return 0
    late = 0
    for cpu in _timer_cpus(s, task):
        parts = _parts(s, cpu)
        wait = rtsl_bound(replace(parts, paie=0, psd=0), least_of(buckets_of(s, cpu)))
        if wait is None or s.cpus[cpu]["hang_until"]:
            return None
        late = max(late, wait)
    return int(t["slack"]) + late if s.cpus[t["cpu"]]["hang_until"] == 0 else None


def _reads_pages(s: State, vcpu: int) -> bool:
    """Return whether a vCPU may sleep until a page of its guest has been read, which a timer stands for."""
    return bool(((s.sources["task"] == vcpu) & (s.sources["on_disk"] == 1)).any())


def _timer_cpus(s: State, task: int) -> list[int]:
    """Return the other CPUs that may have the timer of `task` in their queues (see `rtsim.engine.timers`)."""
    t = s.tasks[task]
    k = s.kernels[t["kernel"]]
    if not s.cpus[t["cpu"]]["nohz_full"] or not k["timer_migration"]:
        return []
    rows = range(int(k["cpu_base"]), int(k["cpu_base"] + k["cpu_count"]))
    return [cpu for cpu in rows if not s.cpus[cpu]["nohz_full"]]


# ---- response-time analysis -----------------------------------------------------------------------------------------


def _rta(s: State, task: int, rivals: list[int]) -> int | None:
    """Return the longest response of a periodic `task` (ns), None if it or one of its `rivals` is not periodic."""
    cpu = int(s.tasks[task]["cpu"])
    if s.cpus[cpu]["overruled"]:
        return None
    tasks = [_periodic(s, each) for each in (task, *rivals)]
    known = [each for each in tasks if each is not None]
    if len(known) < len(tasks):
        return None
    responses = [response_time(known, bucket)[0] for bucket in buckets_of(s, cpu)]
    return min((response for response in responses if response is not None), default=None)


def _periodic(s: State, task: int) -> PeriodicTask | None:
    """Return a task that only ever computes and sleeps to the next release of a timer of its own, else None.

    A job costs its work, the programming of the next timer, and the switches to it and back.
    """
    t = s.tasks[task]
    late = _timer_late(s, task)
    cycle = _cycle(s, int(t["pc"]))
    timers = [row for row in cycle if s.ops[row]["code"] == es.OP_TIMER]
    if late is None or len(timers) != 1 or t["nr_allowed"] != 1 or _is_shared(s, timers[0]):
        return None
    parts = _parts(s, int(t["cpu"]))
    work = sum(_longest(s, int(s.ops[row]["value"])) for row in cycle if s.ops[row]["code"] == es.OP_RUN)
    work += _longest(s, int(s.kernels[t["kernel"]]["hrtimer_program"]))
    return PeriodicTask(
        priority=-int(t["prio"]), work_ns=_at_worst(s, int(t["cpu"]), work) + 2 * parts.psd,
        period_ns=int(s.ops[timers[0]]["extra"]), jitter_ns=late,
        blocking_ns=max(parts.poid, parts.dst) + parts.paie,
    )  # fmt: skip


def _cycle(s: State, row: int) -> list[int]:
    """Return the operations that a program repeats for ever, from `row` on; empty if it does anything else."""
    passed: list[int] = []
    while row not in passed:
        op = s.ops[row]
        if op["code"] not in STEPS or (op["code"] == es.OP_RUN and op["value"] < 0):
            return []
        passed.append(row)
        row = int(op["value"]) if op["code"] == es.OP_JUMP else row + 1
    return passed[passed.index(row) :]


def _is_shared(s: State, row: int) -> bool:
    """Return whether another operation than the OP_TIMER in `row` moves the same timer on."""
    return bool(((s.ops["code"] == es.OP_TIMER) & (s.ops["value"] == s.ops[row]["value"])).sum() > 1)


def _longest(s: State, table: int) -> int:
    """Return the largest value of a quantile table (ns)."""
    return int(s.tables[table, TABLE_SIZE - 1])
