"""Random trees of groups with hogs and sleepers on one kernel, as plain data, and what holds in them at any time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder
from rtsim.engine.state import State
from rtsim.sched import eevdf
from tests.engine.small import MS, US, machine
from tests.sched.queues import BASE_SLICE, RELEASES, members, timeline, weighted_mean

QUOTAS = (0, 0, 5 * MS, 30 * MS)
PERIOD = 50 * MS


@dataclass(frozen=True)
class Hierarchy:
    """Groups (parent, shares, quota), and tasks (group, nice, CPU, None or (period, work) of a sleeper)."""

    release: str | None
    cpus: int
    groups: list[tuple[int, int, int]]
    tasks: list[tuple[int, int, int, tuple[int, int] | None]]


@st.composite
def hierarchies(draw: st.DrawFn, *, hogs_only: bool = False) -> Hierarchy:
    """Draw a tree of up to five groups; without sleepers there is one CPU and no limit, so that shares are known."""
    groups = [
        (draw(st.integers(-1, row - 1)), draw(st.integers(64, 4096)), 0 if hogs_only else draw(st.sampled_from(QUOTAS)))
        for row in range(draw(st.integers(0, 5)))
    ]
    cpus = 1 if hogs_only else draw(st.integers(1, 2))
    naps = st.tuples(st.integers(500 * US, 20 * MS), st.integers(10 * US, 8 * MS))
    tasks = [
        (
            draw(st.integers(-1, len(groups) - 1)),
            draw(st.integers(-8, 8)),
            draw(st.integers(0, cpus - 1)),
            None if hogs_only else draw(st.one_of(st.none(), naps)),
        )
        for _ in range(draw(st.integers(2, 7)))
    ]
    return Hierarchy(draw(st.sampled_from([None, *RELEASES])), cpus, groups, tasks)


def build(spec: Hierarchy) -> State:
    """Lay the state of a drawn hierarchy out; no release is CFS."""
    rules: dict[str, Any] = {}
    if spec.release is not None:
        rules = {"fair": es.EEVDF, "base_slice": BASE_SLICE, **RELEASES[spec.release]}
    b: Builder = machine(spec.cpus, **rules)
    for row, (parent, weight, quota) in enumerate(spec.groups):
        b.group(f"group{row}", parent=parent, shares=weight, quota_ns=quota, period_ns=PERIOD)
    for row, (group, nice, cpu, nap) in enumerate(spec.tasks):
        if nap is None:
            b.hog(f"hog{row}", 0, [cpu], es.OTHER, nice, group=group)
        else:
            period, work = nap
            b.periodic(
                f"sleeper{row}", 0, [cpu], es.OTHER, nice,
                period_ns=period, first_ns=period, work=b.constant(work), slack_ns=50 * US, group=group,
            )  # fmt: skip
    return b.build(watched=[])[0]


def check_queue(state: State, row: int) -> None:
    """Check one queue: counts, loads, order, and under EEVDF that lags sum to nothing and somebody is eligible."""
    q = state.cfs_rqs[row]
    rows, waiting = members(state, row), timeline(state, row)
    entities = [state.entities[member] for member in rows]
    assert int(q["nr_running"]) == len(rows)
    assert int(q["load"]) == sum(int(e["load"]) for e in entities)
    assert all(int(e["queue"]) == row and int(e["on_rq"]) == 1 for e in entities)
    keys = [int(state.entities[member]["key"]) for member in waiting]
    assert keys == sorted(keys)
    assert int(q["leftmost"]) == (waiting[0] if waiting else es.NONE)
    if int(state.kernels[0]["fair"]) == es.EEVDF and rows:
        total, load = weighted_mean(state, row)
        mean = eevdf.average_vruntime(state, row)
        assert 0 <= total - mean * load < load  # V is the mean, rounded down: lags sum to less than a unit each
        assert any(eevdf.eligible(state, row, int(e["vruntime"])) for e in entities)


def check_tasks(state: State) -> None:
    """Check that no wake-up is lost: who does not sleep is queued, who sleeps has a timer that has not gone off."""
    now = int(state.m[0]["now"])
    for task, e in zip(state.tasks, state.entities, strict=False):
        if int(task["state"]) == es.RUNNABLE:
            assert int(e["on_rq"]) == 1
            assert int(e["delayed"]) == 0
        else:
            assert int(task["timer_cpu"]) >= 0
            assert int(task["timer_hard"]) >= now
    below = [0] * len(state.cfs_rqs)
    for task, e in zip(state.tasks, state.entities, strict=False):
        if int(task["state"]) == es.RUNNABLE:
            _count_upwards(state, int(e["queue"]), below)
    assert below == [int(q["h_nr_runnable"]) for q in state.cfs_rqs]


def _count_upwards(state: State, row: int, below: list[int]) -> None:
    """Count a task in its queue and those above, as far as none is throttled."""
    while row >= 0:
        below[row] += 1
        q = state.cfs_rqs[row]
        row = (
            int(state.entities[int(q["entity"])]["queue"]) if int(q["entity"]) >= 0 and not int(q["throttled"]) else -1
        )


def check_cpus(state: State) -> None:
    """Check that CPU time is conserved, and that no CPU idles beside a fair task that may run."""
    for row, cpu in enumerate(state.cpus):
        used = sum(int(cpu[bucket]) for bucket in ("task_ns", "irq_ns", "softirq_ns", "hardware_ns", "idle_ns"))
        assert used == int(state.m[0]["now"])
        if int(cpu["curr"]) < 0 and int(cpu["need_resched"]) == 0:
            assert int(state.cfs_rqs[row]["h_nr_runnable"]) == 0
    assert sum(int(task["cpu_ns"]) for task in state.tasks) == sum(int(cpu["task_ns"]) for cpu in state.cpus)


def used_by(spec: Hierarchy, state: State, group: int) -> int:
    """Return the CPU time of all tasks in and below `group`."""
    total = 0
    for (at, *_), task in zip(spec.tasks, state.tasks, strict=True):
        while at >= 0 and at != group:
            at = spec.groups[at][0]
        total += int(task["cpu_ns"]) if at == group else 0
    return total
