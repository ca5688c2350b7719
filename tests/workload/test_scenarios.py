"""Workloads of whole scenarios: where their tasks run, in which cgroups, and what programs do beside measuring."""

from __future__ import annotations

from typing import Any

import pytest

from rtsim.engine.constants import NONE
from rtsim.engine.random import TABLE_SIZE
from rtsim.inputs.errors import InputError
from rtsim.scenario import Scenario
from rtsim.scenario.assemble import Assembly, assemble

FLAVOR = {
    "ram": 1024, "vcpus": 2, "disk": 1,
    "properties": {"hw:cpu_policy": "dedicated", "hw:cpu_realtime": "yes", "hw:cpu_realtime_mask": "^0"},
}  # fmt: skip
HOG = {"run": -1}


def scenario(workload: Any = None, kernel: dict[str, Any] | None = None, **keys: Any) -> Scenario:
    host = {
        "topology": {"sockets": 1, "cores": 4}, "kernel": {"release": "6.12", **(kernel or {})},
        "nova": {"cpu_dedicated_set": "1-3", "cpu_shared_set": "0"}, **keys.pop("host", {}),
    }  # fmt: skip
    return Scenario.of({"host": host, "duration": "1 s", "workload": workload or {}, **keys})


def task(built: Assembly, name: str) -> Any:
    return built.state.tasks[built.names.tasks.index(name)]


def cpus(built: Assembly, name: str) -> list[int]:
    mask = int(task(built, name)["allowed"][0])
    return [cpu for cpu in range(64) if mask >> cpu & 1]


def refused(of: Scenario) -> str:
    with pytest.raises(InputError) as caught:
        assemble(of)
    return str(caught.value)


def test_tasks_of_hosts_and_guests_have_names_masks_and_cgroups() -> None:
    tasks = {"a": {**HOG, "taskgroup": "/A/b", "cpus": "1-3"}, "b": {**HOG, "instance": 2}}
    guest = {"name": "g", "flavor": FLAVOR, "workload": {"tasks": {"c": HOG, "d": {**HOG, "cpus": [1]}}}}
    files = {"/A": {"cpuset.cpus": "2-3"}}
    built = assemble(scenario({"tasks": tasks}, cgroups=files, guests=[guest]))
    assert cpus(built, "a") == [2, 3]
    assert cpus(built, "b-1") == [0, 1, 2, 3]
    assert cpus(built, "g/c") == [0, 1]
    assert cpus(built, "g/d") == [1]
    assert task(built, "b-0")["group"] == task(built, "g/c")["group"] == NONE
    assert task(built, "a")["group"] != NONE
    assert built.told(["b"]) == {"b-0", "b-1"}


@pytest.mark.parametrize(
    ("workload", "expected"),
    [
        ({"tasks": {"a": {**HOG, "cpus": [4]}}}, "workload.tasks.a.cpus: expected CPUs of the host, it has no CPU 4"),
        ({"tasks": {"a": {"phases": {"x": {**HOG, "cpus": [7]}}}}}, "workload.tasks.a.cpus: expected CPUs of the host"),
        ({"oslat": {"cpus": "5"}}, "workload.oslat.cpus: expected CPUs of the host, it has no CPU 5"),
        ({"tasks": {"a": {**HOG, "slice": 50}}}, "workload.tasks.a.slice: expected a slice of 100 to 100000 us"),
        ({"tasks": {"a": {**HOG, "taskgroup": "A"}}}, "expected a cgroup's path from the root"),
        (
            {"tasks": {"a": {**HOG, "taskgroup": "/two", "cpus": [0]}}},
            "cpuset of /two; the kernel says: sched_setaffinity",
        ),
        ({"tasks": {"oslat": HOG}, "oslat": {"cpus": "0"}}, "oslat: expected each task's name once"),
        ({"tasks": {"a": HOG}, "global": {"duration": 1}}, "expected a warmup and duration of 1 s together"),
    ],
)
def test_what_this_host_does_not_allow(workload: dict[str, Any], expected: str) -> None:
    assert expected in refused(scenario(workload, cgroups={"/two": {"cpuset.cpus": "2"}}))


def test_a_guests_workload_is_checked_against_its_vcpus() -> None:
    guest = {"name": "g", "flavor": FLAVOR, "workload": {"timerlat": {"cpus": "2"}}}
    assert "guests.g.workload.timerlat.cpus: expected vCPUs 0 to 1, found 2" in refused(scenario(guests=[guest]))


def test_threads_of_guests_are_in_the_cgroups_that_libvirt_makes() -> None:
    guests = [{"name": "g", "flavor": FLAVOR}]
    built = assemble(scenario(guests=guests))
    groups = [task(built, f"g/{thread}")["group"] for thread in ("vcpu0", "vcpu1", "emulator")]
    assert len({*groups, NONE}) == 4
    flat = assemble(scenario(guests=guests, host={"cgroups": "flat"}))
    assert task(flat, "g/vcpu0")["group"] == NONE


def test_realtime_vcpus_need_realtime_of_libvirts_cgroups_where_groups_have_it() -> None:
    kernel = {"config": {"rt_group_sched": True}}
    guests = [{"name": "g", "flavor": FLAVOR}]
    assert "guests.g: vcpu1: expected cpu.rt_runtime_us of /machine.slice/g.scope/libvirt/vcpu1" in refused(
        scenario(kernel=kernel, guests=guests)
    )
    path = "/machine.slice/g.scope/libvirt/vcpu1"
    runtime = {path.rsplit("/", up)[0]: {"cpu.rt_runtime_us": 500_000} for up in range(4)}
    assert assemble(scenario(kernel=kernel, guests=guests, cgroups=runtime))
    assert assemble(scenario(kernel=kernel, guests=guests, host={"cgroups": "flat"}))


def test_cyclictest_has_a_main_thread_with_the_slack_of_its_policy_on_the_same_cpus() -> None:
    built = assemble(scenario({"cyclictest": {"cpus": "1,3", "policy": "fifo"}}))
    assert cpus(built, "cyclictest-main") == [1, 3]
    assert (task(built, "cyclictest-main")["slack"], task(built, "cyclictest/3")["slack"]) == (50_000, 0)
    assert int(task(built, "cyclictest-main")["watch"]) == NONE
    assert built.told(["cyclictest"]) == {"cyclictest/1", "cyclictest/3"}


def test_cyclictest_keeps_the_host_from_idling_deeply() -> None:
    idle = assemble(scenario({"tasks": {"a": HOG}})).state.kernels[0]
    built = assemble(scenario({"cyclictest": {"cpus": "1"}}))
    polling = built.state.kernels[0]
    assert int(idle["idle_states"]) > 1
    assert int(polling["idle_states"]) == 1
    poll_ns = built.host.profile.costs.idle_exit["poll"].constant
    assert int(built.state.tables[polling["idle_exit"][0], TABLE_SIZE]) == poll_ns


def test_the_profile_says_what_activations_compute_and_how_often_clocks_are_read() -> None:
    workload = {"tasks": {"a": {"run": 100, "timer": {"ref": "unique", "period": 1000}}}}
    overrides = {
        "workload": {
            "clock_poll": {"constant": "5 us", "source": "assumed"},
            "activation": {"constant": "3 us", "source": "assumed"},
        }
    }
    plain = assemble(scenario(workload)).state
    told = assemble(scenario(workload, host={"profile_overrides": overrides})).state
    assert len(told.ops) == len(plain.ops) + 1
    assert 5_000 in told.ops["extra"]
    assert 3_000 in told.tables[told.ops["value"][told.ops["code"] == 0], TABLE_SIZE]
