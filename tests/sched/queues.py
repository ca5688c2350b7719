"""Queues in a given state, for tests of single decisions: entities with given weights, vruntimes and deadlines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder
from rtsim.engine.clock import run_until
from rtsim.engine.state import State
from rtsim.sched import entity, tasklist
from tests.engine.small import machine

BASE_SLICE = 1_400_000
"""EEVDF's request as on two CPUs."""

RELEASES: dict[str, dict[str, int]] = {
    "6.6": {"pick_buddy": 0},
    "6.12": {"preempt_short": 1, "delay_dequeue": 1, "custom_slice": 1, "keep_deadline": 1},
}
RELEASES["6.13"] = RELEASES["6.12"] | {"reweight_defect": 1}
RELEASES["6.17"] = RELEASES["6.13"] | {"protection": es.PARITY_VPROT, "quantum": 700_000}
RELEASES["6.18.45"] = RELEASES["6.17"] | {"reweight_defect": 0, "yield_forfeits": 1}
RELEASES["7.2"] = RELEASES["6.18.45"] | {"protection": es.PARITY_MOVED, "lag_of_queue": 1}
"""EEVDF's rules by release, as fields of a kernel."""


@dataclass(frozen=True)
class On:
    """An entity of a queue: a task of the fair class."""

    vruntime: int = 0
    deadline: int = 0
    weight: int = 1024
    slice: int = BASE_SLICE
    policy: int = es.OTHER


def eevdf_machine(release: str = "6.12", cpus: int = 1, **kernel: Any) -> Builder:
    """Return a machine with the EEVDF of a release."""
    return machine(cpus, **{"fair": es.EEVDF, "base_slice": BASE_SLICE, **RELEASES[release], **kernel})


def queue(b: Builder, entities: Sequence[On], *, running: bool) -> State:
    """Return a state in which task n is `entities[n]` in the root queue; task 0 runs there if `running`."""
    for row, on in enumerate(entities):
        b.hog(str(row), 0, [0], on.policy, 0, slice=on.slice)
    state, _ = b.build(watched=[])
    for row, on in enumerate(entities):
        place(state, row, on, running=running and row == 0)
    return state


def place(state: State, row: int, on: On, *, running: bool = False) -> None:
    """Put task `row` into its queue as `on` says; one that runs there is in no tree."""
    e = state.entities[row]
    e["vruntime"], e["deadline"], e["slice"] = on.vruntime, on.deadline, on.slice
    e["weight"], e["load"] = on.weight, on.weight << 10
    e["on_rq"], e["protect"] = 1, es.NONE
    queue_row = int(e["queue"])
    q = state.cfs_rqs[queue_row]
    for count in ("nr_running", "h_nr_running", "h_nr_runnable"):
        q[count] += 1
    q["nr_idle"] += on.policy == es.IDLE_POLICY
    q["load"] += on.weight << 10
    state.cpus[0]["nr_running"] += 1
    tasklist.link(state, tasklist.fair_list(0), row, True)
    if running:
        q["curr"] = state.cpus[0]["curr"] = row
    else:
        entity.enqueue_timeline(state, queue_row, row)


def take_out(state: State, row: int) -> None:
    """Take task `row`, which waits, out of its queue again."""
    e = state.entities[row]
    queue_row = int(e["queue"])
    entity.dequeue_timeline(state, queue_row, row)
    e["on_rq"] = 0
    q = state.cfs_rqs[queue_row]
    for count in ("nr_running", "h_nr_running", "h_nr_runnable"):
        q[count] -= 1
    q["load"] -= e["load"]


def timeline(state: State, queue_row: int = 0) -> list[int]:
    """Return the waiting entities of a queue in order."""
    found: list[int] = []

    def visit(row: int) -> None:
        if row >= 0:
            visit(int(state.entities[row]["left"]))
            found.append(row)
            visit(int(state.entities[row]["right"]))

    visit(int(state.cfs_rqs[queue_row]["root"]))
    return found


def members(state: State, queue_row: int) -> list[int]:
    """Return all entities of a queue, the running one included."""
    curr = int(state.cfs_rqs[queue_row]["curr"])
    runs = [curr] if curr >= 0 and int(state.entities[curr]["on_rq"]) else []
    return runs + timeline(state, queue_row)


def weighted_mean(state: State, queue_row: int = 0) -> tuple[int, int]:
    """Return sum(weight * vruntime) and sum(weight) over a queue, from its entities alone."""
    rows = [state.entities[row] for row in members(state, queue_row)]
    return sum(int(e["weight"]) * int(e["vruntime"]) for e in rows), sum(int(e["weight"]) for e in rows)


def shares(b: Builder, until_ns: int, from_ns: int = 0) -> dict[str, float]:
    """Run, and return each task's part of one CPU's time after `from_ns`."""
    state, names = b.build(watched=[])
    run_until(state, from_ns)
    before = state.tasks["cpu_ns"].copy()
    run_until(state, until_ns)
    used = (state.tasks["cpu_ns"] - before) / (until_ns - from_ns)
    return dict(zip(names.tasks, used.tolist(), strict=True))
