"""Cgroups: what may be written, as the kernel has it, the tree that follows, and who may join which."""

from __future__ import annotations

from typing import Any

import pytest

from rtsim.engine.builder import Builder
from rtsim.engine.constants import NEVER, NONE
from rtsim.inputs.errors import InputError
from rtsim.inputs.models import validate
from rtsim.kernel import Kernel
from rtsim.workload import CgroupModel, Cgroups

PLAIN = Kernel.of("6.12")
RT_5_MS, RT_9_MS = {"cpu.rt_runtime_us": 5_000}, {"cpu.rt_runtime_us": 9_000}
RT_GROUPS = Kernel.of("6.12", config={"rt_group_sched": True})


def cgroups(files: dict[str, dict[str, Any]], *used: str, kernel: Kernel = PLAIN) -> Cgroups:
    models = {path: validate(CgroupModel, each, "s.yaml") for path, each in files.items()}
    return Cgroups.of(models, used, kernel, "s.yaml")


def rows(found: Cgroups) -> dict[str, dict[str, Any]]:
    """Return the groups added to a state by path."""
    b = Builder()
    found.add(b)
    return {group["path"]: group for group in b.groups}


def test_parents_are_implied_and_come_first() -> None:
    b = Builder()
    found = cgroups({"/A/b": {"cpu.shares": 4096}}, "/A/c/d").add(b)
    assert [group["path"] for group in b.groups] == ["/A", "/A/b", "/A/c", "/A/c/d"]
    assert [group["parent"] for group in b.groups] == [NONE, 0, 0, 2]
    assert [group["shares"] for group in b.groups] == [1024 << 10, 4096 << 10, 1024 << 10, 1024 << 10]
    assert found == {"": NONE, "/A": 0, "/A/b": 1, "/A/c": 2, "/A/c/d": 3}


@pytest.mark.parametrize(
    ("files", "key", "value"),
    [
        ({}, "quota", 0),
        ({"cpu.weight": 100}, "shares", 1024 << 10),
        ({"cpu.weight": 1}, "shares", 10 << 10),
        ({"cpu.idle": 1}, "idle", 1),
        ({"cpu.max": "20000 50000"}, "quota", 20_000_000),
        ({"cpu.max": "20000 50000"}, "period", 50_000_000),
        ({"cpu.max": 20000}, "period", 100_000_000),
        ({"cpu.max": "max 50000"}, "quota", 0),
        ({"cpu.max": "20000 50000", "cpu.max.burst": 5000}, "burst", 5_000_000),
    ],
)
def test_files_become_limits(files: dict[str, Any], key: str, value: int) -> None:
    assert rows(cgroups({"/A": files}))["/A"][key] == value


def phase_ns(release: str, files: dict[str, Any], seed: int = 1) -> int:
    """Return when the periods of a group with these files end."""
    b = Builder(seed=seed)
    cgroups({"/A": {"cpu.max": "20000 50000", **files}}, kernel=Kernel.of(release)).add(b)
    return int(b.groups[0]["period_at"])


def test_periods_end_at_whole_ones_up_to_6_3_and_at_random_since() -> None:
    assert phase_ns("6.3", {}) == 0
    drawn = {phase_ns("6.4", {}, seed) for seed in range(20)}
    assert len(drawn) == 20
    assert all(0 <= phase < 100_000_000 for phase in drawn)  # of the default period, before another is set
    assert max(drawn) > 50_000_000
    assert [phase_ns(release, {"period_phase": 4130}) for release in ("6.3", "6.4")] == [4_130_000] * 2


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.shares": 1}, "expected a number >= 2 and <= 262144, found 1"),
        ({"cpu.weight": 10001}, ">= 1 and <= 10000"),
        ({"cpu.shares": 1024, "cpu.weight": 100}, "either cpu.shares (cgroup v1) or cpu.weight (v2), found both"),
        ({"cpu.idle": 1, "cpu.weight": 100}, "expected no weight beside cpu.idle: 1"),
        ({"cpu.idle": 2}, "cpu.idle: expected 0 or 1"),
        ({"cpu.max": "lots"}, "cpu.max: expected cpu.max as 'QUOTA PERIOD' in us"),
        ({"cpu.max": "999"}, "a quota of at least 1000 us"),
        ({"cpu.max": "5000 2000000"}, "a period of 1000 to 1000000 us, found '5000 2000000'; the kernel says"),
        ({"cpu.max.burst": 1}, "expected cpu.max.burst up to the quota"),
        ({"cpu.rt_runtime_us": 20, "cpu.rt_period_us": 10}, "expected cpu.rt_runtime_us <= cpu.rt_period_us"),
        ({"cpu.share": 20}, "did you mean 'cpu.shares'?"),
    ],
)
def test_what_no_kernel_accepts(files: dict[str, Any], expected: str) -> None:
    with pytest.raises(InputError) as caught:
        cgroups({"/A": files})
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("files", "kernel", "expected"),
    [
        ({"A": {}}, PLAIN, "expected a cgroup's path from the root, such as /A/b, found 'A'"),
        ({"/A/../b": {}}, PLAIN, "expected a cgroup's path from the root"),
        ({"/": {"cpu.shares": 5}}, PLAIN, "expected a cgroup below the root"),
        ({"/A": {"cpu.idle": 1}}, Kernel.of("5.10"), "expected a kernel from 5.15 on"),
        ({"/A": {"cpu.rt_runtime_us": 10}}, PLAIN, "config: {rt_group_sched: true}"),
        ({"/A": {"cpuset.cpus": "0-1"}, "/A/b": {"cpuset.cpus": "2"}}, PLAIN, "expected CPUs of its parent, found 2"),
        ({"/A": {"cpu.rt_runtime_us": 960_000}}, RT_GROUPS, "groups of / that together get no more realtime"),
        ({"/A": RT_9_MS, "/A/b": RT_5_MS, "/A/c": RT_5_MS}, RT_GROUPS, "groups of /A that together get no more"),
    ],
)  # fmt: skip
def test_what_this_kernel_or_tree_does_not_accept(files: dict[str, Any], kernel: Kernel, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        cgroups(files, kernel=kernel)
    assert expected in str(caught.value)


def test_cpusets_of_all_levels_limit_a_task() -> None:
    found = cgroups({"/A": {"cpuset.cpus": "0-2"}, "/A/b": {"cpuset.cpus": "2-3"}}, "/A/b/c")
    assert found.cpus_of("/A/b/c", (0, 1, 2, 3)) == (2,)
    assert found.cpus_of("", (0, 1, 2, 3)) == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("policy", "kernel", "files", "refused"),
    [
        ("fifo", RT_GROUPS, {}, True),
        ("fifo", RT_GROUPS, {"cpu.rt_runtime_us": 1000}, False),
        ("fifo", RT_GROUPS, {"cpu.rt_runtime_us": -1}, False),
        ("fifo", PLAIN, {}, False),
        ("other", RT_GROUPS, {}, False),
    ],
)
def test_realtime_tasks_need_realtime_of_their_group(
    policy: str, kernel: Kernel, files: dict[str, Any], refused: bool
) -> None:
    unlimited = Kernel.of("6.12", config={"rt_group_sched": True}, sysctl={"sched_rt_runtime_us": -1})
    found = cgroups({"/A": files}, kernel=unlimited if files.get("cpu.rt_runtime_us") == -1 else kernel)
    if not refused:
        found.check_policy("/A", policy, "workload.tasks.a")
        return
    with pytest.raises(InputError, match="EPERM"):
        found.check_policy("/A", policy, "workload.tasks.a")


def test_a_groups_realtime_is_none_by_default_and_unlimited_without_the_option() -> None:
    assert rows(cgroups({"/A": {}}, kernel=RT_GROUPS))["/A"]["rt_runtime"] == 0
    assert rows(cgroups({"/A": {}}))["/A"]["rt_runtime"] == NEVER
