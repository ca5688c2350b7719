"""Autogroups: sessions share a CPU as cgroups of their weights would, where the kernel has them on."""

from __future__ import annotations

from typing import Any

import pytest

from rtsim.engine.constants import NONE
from rtsim.inputs.errors import InputError
from rtsim.kernel import NICE_0_WEIGHT, nice_weight
from rtsim.scenario import Result, Scenario, simulate
from rtsim.scenario.assemble import assemble

HOG = {"run": -1, "cpus": [0]}
SESSIONS = {"cc": {**HOG, "instance": 3, "session": "build"}, "hog": {**HOG, "session": "ssh"}}


def scenario(workload: dict[str, Any], **kernel: Any) -> Scenario:
    host = {"topology": {"sockets": 1, "cores": 2}, "kernel": {"release": "6.12", **kernel}, "profile": "tuned"}
    return Scenario.of({"host": host, "duration": "1 s", "workload": workload})


def share_of_hog(workload: dict[str, Any], **kernel: Any) -> float:
    """Return the share of `hog` in the CPU time of both sessions."""
    result: Result = simulate(scenario(workload, **kernel))
    hog, compilers = (result.tasks[name].charged_ns for name in ("hog", "cc"))
    return hog / (hog + compilers)


@pytest.mark.parametrize("release", ["6.1", "6.12"])
def test_sessions_share_a_cpu_whatever_number_of_tasks_they_have(release: str) -> None:
    assert share_of_hog({"tasks": SESSIONS}, release=release) == pytest.approx(1 / 2, abs=0.02)


@pytest.mark.parametrize("off", [{"sysctl": {"sched_autogroup_enabled": 0}}, {"cmdline": "noautogroup"}])
def test_without_autogroups_tasks_do(off: dict[str, Any]) -> None:
    assert share_of_hog({"tasks": SESSIONS}, **off) == pytest.approx(1 / 4, abs=0.02)


def test_the_nice_value_of_an_autogroup_counts_beside_others() -> None:
    weight = nice_weight(10)
    expected = NICE_0_WEIGHT / (NICE_0_WEIGHT + weight)
    assert share_of_hog({"tasks": SESSIONS, "sessions": {"build": 10}}) == pytest.approx(expected, abs=0.02)


def test_the_nice_value_of_a_task_counts_within_its_session_only() -> None:
    tasks = {"cc": {**SESSIONS["cc"], "priority": -10}, "hog": SESSIONS["hog"]}
    assert share_of_hog({"tasks": tasks}) == pytest.approx(1 / 2, abs=0.02)


def test_sessions_are_scheduled_as_cgroups_of_the_same_weights() -> None:
    groups = {name: {key: value for key, value in task.items() if key != "session"} for name, task in SESSIONS.items()}
    groups["cc"]["taskgroup"], groups["hog"]["taskgroup"] = "/build", "/ssh"
    results = [simulate(scenario({"tasks": tasks})) for tasks in (SESSIONS, groups)]
    times = [{name: task.charged_ns for name, task in result.tasks.items()} for result in results]
    assert times[0] == times[1]


def groups_of(workload: dict[str, Any], **kernel: Any) -> dict[str, int]:
    """Return the group row of each task that the workload names."""
    built = assemble(scenario(workload, **kernel))
    rows = built.names.tasks
    return {name: int(built.state.tasks[rows.index(name)]["group"]) for name in workload["tasks"]}


def test_realtime_tasks_and_those_of_cgroups_or_of_no_session_are_in_no_autogroup() -> None:
    tasks = {
        "fifo": {**HOG, "session": "a", "policy": "SCHED_FIFO"},
        "deadline": {"run": 10, "dl-runtime": 100, "dl-period": 1000, "policy": "SCHED_DEADLINE", "session": "a"},
        "none": HOG,
        "grouped": {**HOG, "session": "a", "taskgroup": "/A"},
        "batch": {**HOG, "session": "a", "policy": "SCHED_BATCH"},
    }
    groups = groups_of({"tasks": tasks})
    assert groups["fifo"] == groups["deadline"] == groups["none"] == NONE
    assert groups["batch"] not in (NONE, groups["grouped"])


def test_a_guest_has_its_own() -> None:
    flavor = {
        "ram": 1024, "vcpus": 2, "disk": 1, "properties": {"hw:cpu_policy": "dedicated"},
    }  # fmt: skip
    guest = {"name": "g", "flavor": flavor, "workload": {"tasks": SESSIONS}}
    host = {"topology": {"sockets": 1, "cores": 4}, "nova": {"cpu_dedicated_set": "1-3", "cpu_shared_set": "0"}}
    workload = {"tasks": {"hog": {**HOG, "session": "ssh"}}}
    built = assemble(Scenario.of({"host": host, "guests": [guest], "workload": workload, "duration": "1 s"}))
    rows = built.names.tasks
    groups = {name: int(built.state.tasks[rows.index(name)]["group"]) for name in ("hog", "g/hog", "g/cc-0", "g/cc-1")}
    assert groups["g/cc-0"] == groups["g/cc-1"]
    assert len({*groups.values()} - {NONE}) == 3


def test_a_session_that_no_task_is_in_is_refused() -> None:
    with pytest.raises(InputError, match="expected sessions of tasks, no task has session 'bulid'"):
        scenario({"tasks": SESSIONS, "sessions": {"bulid": 10}})
