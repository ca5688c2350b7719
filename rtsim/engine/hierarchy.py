"""Laying out what tasks are scheduled by: entities, queues of CPUs and groups, lists, the scheduler's own timers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy.typing as npt

from rtsim.engine.constants import (
    DEADLINE,
    LISTS,
    NEVER,
    NONE,
    PREEMPT_RT,
    T_CFS_PERIOD,
    T_CFS_SLACK,
    T_DEADLINE,
    T_FAIR_SERVER,
    T_RT_PERIOD,
)
from rtsim.engine.rows import filled
from rtsim.engine.sched_fields import CFS_RQ, DL_ENTITY, ENTITY, GROUP, RT_RQ, SCHED_TIMER, TASK_LIST

__all__ = ["lay_out"]

Rows = list[dict[str, Any]]

GOLDEN = 0x9E3779B97F4A7C15


def lay_out(
    kernels: Rows, cpus: Rows, tasks: Rows, groups: Rows, rt_phase: Callable[[int, int], int]
) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of the scheduler by name; rows of `groups` get their timers and queues.

    Rows of `tasks` have ``group``, ``weight``, ``slice`` (ns, 0: the default) and, of deadline tasks, ``dl_runtime``,
    ``dl_deadline`` and ``dl_period`` (ns); a group follows its parent.
    """
    timers: Rows = []
    queues = [_queue(cpu, NONE) for cpu in range(len(cpus))]
    entities = [_task_entity(task) for task in tasks]
    for row, group in enumerate(groups):
        group["spread"] = int(len(_cpus_below(row, groups, tasks)) > 1)
        if group["quota"]:
            group["period_timer"] = _add_timer(timers, T_CFS_PERIOD, row)
            group["slack_timer"] = _add_timer(timers, T_CFS_SLACK, row)
        _add_group(row, groups, kernels[group["kernel"]], queues, entities)
    for task, entity in zip(tasks, entities, strict=False):
        base = kernels[task["kernel"]]["cpu_base"]
        entity["depth"] = _depth(groups, task["group"])
        entity["queue"] = _queue_on(groups, task["group"], task["cpu"], base)
    for number, entity in enumerate(entities):
        entity["heap"] = ((number + 1) * GOLDEN >> 7) & (2**56 - 1)
    dl_entities = [_dl_task(row, task, timers) for row, task in enumerate(tasks)]
    dl_entities += [_fair_server(row, kernels[cpu["kernel"]], timers) for row, cpu in enumerate(cpus)]
    return {
        "rt_rqs": filled(RT_RQ, _rt_rqs(kernels, groups, queues, timers, rt_phase)),
        "dl_entities": filled(DL_ENTITY, dl_entities),
        "entities": filled(ENTITY, entities),
        "cfs_rqs": filled(CFS_RQ, queues),
        "groups": filled(GROUP, groups),
        "task_lists": filled(TASK_LIST, [{"head": NONE, "tail": NONE}] * (len(cpus) * LISTS)),
        "sched_timers": filled(SCHED_TIMER, timers),
    }


def _add_timer(timers: Rows, kind: int, entity: int) -> int:
    timers.append({"kind": kind, "entity": entity, "at": NEVER, "next": NONE})
    return len(timers) - 1


def _queue(cpu: int, group: int, entity: int = NONE) -> dict[str, Any]:
    return {
        "cpu": cpu, "group": group, "entity": entity, "curr": NONE, "root": NONE, "leftmost": NONE,
        "next": NONE, "last": NONE, "skip": NONE, "throttled_next": NONE,
    }  # fmt: skip


def _task_entity(task: dict[str, Any]) -> dict[str, Any]:
    return {
        "load": task["weight"] << 10, "weight": task["weight"], "my_q": NONE, "slice": task["slice"],
        "custom_slice": int(task["slice"] > 0),
        # A new task is taken to be a heavy one, half of it in use, until it shows (post_init_entity_util_avg).
        "load_avg": task["weight"], "util_avg": 512,
    }  # fmt: skip


def _add_group(row: int, groups: Rows, kernel: dict[str, Any], queues: Rows, entities: Rows) -> None:
    """Add the queues and entities of group `row`, one on each CPU of its kernel."""
    group = groups[row]
    group["first_queue"] = len(queues)
    for cpu in range(kernel["cpu_base"], kernel["cpu_base"] + kernel["cpu_count"]):
        entities.append(
            {
                "load": group["shares"], "weight": max(group["shares"] >> 10, 2), "my_q": len(queues),
                "depth": _depth(groups, group["parent"]),
                "queue": _queue_on(groups, group["parent"], cpu, kernel["cpu_base"]),
            }
        )  # fmt: skip
        queues.append(_queue(cpu, row, len(entities) - 1))


def _rt_rqs(kernels: Rows, groups: Rows, queues: Rows, timers: Rows, rt_phase: Callable[[int, int], int]) -> Rows:
    """Return a realtime queue for each of `queues`, with the budget of its kernel or group.

    The first realtime task starts the periods. Under PREEMPT_RT the kernel's own ones (rcuc, ktimers) have done so long
    before the run begins: it begins at any time within a period.
    """
    rows: Rows = [{} for _ in queues]
    for row, kernel in enumerate(kernels):
        timer = _give_budget(rows, kernel["cpu_base"], kernel["cpu_count"], kernel, timers)
        if kernel.get("preempt") == PREEMPT_RT:
            timers[timer]["expiry"] = -rt_phase(row, kernel["rt_period"])
    for group in groups:
        kernel = kernels[group["kernel"]]
        if kernel["rt_group_sched"] == 0 or kernel["rt_runtime"] == NEVER:
            group["rt_runtime"] = NEVER
        _give_budget(rows, group["first_queue"], kernel["cpu_count"], group, timers)
    return rows


def _give_budget(rows: Rows, first: int, count: int, owner: dict[str, Any], timers: Rows) -> int:
    """Give `count` queues the budget of their `owner`; return the timer of its periods."""
    timer = _add_timer(timers, T_RT_PERIOD, first)
    timers[timer]["expiry"] = -owner["rt_period"]  # the first start expires at once
    for row in rows[first : first + count]:
        row.update(rt_runtime=owner["rt_runtime"], rt_period=owner["rt_period"], rt_timer=timer)
    return timer


def _dl_task(row: int, task: dict[str, Any], timers: Rows) -> dict[str, Any]:
    parameters = {name: task.get(name, 0) for name in ("dl_runtime", "dl_deadline", "dl_period")}
    timer = _add_timer(timers, T_DEADLINE, row) if task["policy"] == DEADLINE else NONE
    return _dl_entity(timer, parameters)


def _fair_server(cpu: int, kernel: dict[str, Any], timers: Rows) -> dict[str, Any]:
    runtime, period = kernel["fair_server_runtime"], kernel["fair_server_period"]
    timer = _add_timer(timers, T_FAIR_SERVER, cpu) if runtime else NONE
    return _dl_entity(timer, {"dl_runtime": runtime, "dl_deadline": period, "dl_period": period, "defer": 1})


def _dl_entity(timer: int, fields: dict[str, int]) -> dict[str, Any]:
    """Return an entity whose last period has passed, whenever it first wakes."""
    return {**fields, "timer": timer, "deadline": -1 - fields["dl_period"], "next": NONE}


def _queue_on(groups: Rows, group: int, cpu: int, base: int) -> int:
    return cpu if group < 0 else groups[group]["first_queue"] + cpu - base


def _depth(groups: Rows, group: int) -> int:
    return 0 if group < 0 else 1 + _depth(groups, groups[group]["parent"])


def _cpus_below(row: int, groups: Rows, tasks: Rows) -> set[int]:
    """Return the CPUs that tasks in group `row` and below it may run on."""
    found: set[int] = set()
    for task in tasks:
        group = task["group"]
        while group >= 0 and group != row:
            group = groups[group]["parent"]
        if group == row:
            found.update(task["cpus"])
    return found
