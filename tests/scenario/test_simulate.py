"""A whole run: placement, both clocks, additive causes, accounts, common random numbers, stories."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from rtsim.engine.constants import CAUSE_NAMES
from rtsim.inputs.errors import InputError
from rtsim.nova import NovaRefusal
from rtsim.scenario import Result, Scenario, simulate
from rtsim.scenario.story import PHRASES

SMT4 = Scenario.load("data/scenarios/smt4.yaml").lasting("2 s")


@pytest.fixture(scope="module")
def result() -> Result:
    return simulate(SMT4)


def with_properties(**properties: str | None) -> Scenario:
    named = {f"hw:{name}": value for name, value in properties.items()}
    return SMT4.patched({"guests": {"realtime4": {"flavor": {"properties": named}}}})


def test_the_same_seed_gives_the_same_bytes_on_both_clocks_and_in_threads(result: Result) -> None:
    expected = json.dumps(result.to_json())
    assert json.dumps(simulate(SMT4, clock="simpy").to_json()) == expected
    with ThreadPoolExecutor(2) as pool:
        for other in pool.map(simulate, [SMT4, SMT4]):
            assert json.dumps(other.to_json()) == expected


def test_another_seed_gives_other_samples(result: Result) -> None:
    assert simulate(SMT4.seeded(99)).to_json()["tasks"] != result.to_json()["tasks"]


def test_each_rt_vcpu_has_a_thousand_samples_a_second(result: Result) -> None:
    for name in ("realtime4/cyclictest/2", "realtime4/cyclictest/3"):
        assert result.task(name).latency.count == 2000
    assert result.task("realtime4/cyclictest").latency.count == 4000


def test_causes_sum_to_the_latencies(result: Result) -> None:
    for name in result.observed():
        task = result.task(name)
        assert sum(task.causes_ns.values()) == task.latency.total_ns
        for sample in task.worst:
            assert sum(sample.causes_ns.values()) == sample.latency_ns


def test_every_nanosecond_of_every_cpu_is_accounted(result: Result) -> None:
    assert set(result.cpus) == {0, 1, 2, 3}
    for account in result.cpus.values():
        assert sum(account.values()) == result.duration_ns
    on_cpus = sum(account["task_ns"] for account in result.cpus.values())
    host_tasks = [name for name in result.tasks if re.match(r"host/|realtime4/(vcpu|emulator|worker)", name)]
    assert sum(result.task(name).cpu_time_ns for name in host_tasks) == on_cpus


def test_the_worst_samples_tell_who_ran(result: Result) -> None:
    worst = result.worst(10)
    assert [sample.latency_ns for sample in worst] == sorted((s.latency_ns for s in worst), reverse=True)
    assert worst[0].latency_ns == result.task("realtime4/cyclictest").latency.max_ns
    for sample in worst:
        assert "us" in sample.story
        assert "wakes on" in sample.story


def test_every_cause_has_words() -> None:
    assert set(PHRASES) == set(CAUSE_NAMES)


def test_the_placement_is_novas(result: Result) -> None:
    placement = result.guests["realtime4"]["placement"]
    assert placement["rt_vcpus"] == [2, 3]
    assert sorted(cpu for cpus in placement["vcpupin"].values() for cpu in cpus) == [0, 1, 2, 3]


def test_a_choice_of_the_mask_leaves_the_hosts_noise_untouched(result: Result) -> None:
    other = simulate(with_properties(cpu_realtime_mask="^0"))
    for name, task in result.tasks.items():
        if name.startswith("host/thread/"):
            assert other.task(name).wakeups == task.wakeups


def test_the_emulators_own_cpu_is_part_of_the_price() -> None:
    patch = {"host": {"topology": {"capabilities": None, "sockets": 1, "cores": 8}, "nova": None}}
    patch["host"]["kernel"] = {"cmdline": ""}
    wide = SMT4.patched(patch)
    guest = {"guests": {"realtime4": {"flavor": {"properties": {"hw:emulator_threads_policy": "isolate"}}}}}
    assert simulate(wide).guests["realtime4"]["cpus_spent"] == 4
    assert simulate(wide.patched(guest)).guests["realtime4"]["cpus_spent"] == 5


def test_what_nova_refuses_keeps_novas_words() -> None:
    with pytest.raises(NovaRefusal, match="RealtimeMaskNotFoundOrInvalid"):
        simulate(with_properties(cpu_realtime_mask="^0-3"))


def test_a_domain_xml_pins_as_it_says() -> None:
    patch: dict[str, Any] = {"guests": {"realtime4": {"flavor": None, "domain": "../domains/realtime4.xml"}}}
    placement = simulate(SMT4.patched(patch)).guests["realtime4"]["placement"]
    assert placement["vcpupin"] == {str(cpu): [cpu] for cpu in range(4)}
    assert placement["emulatorpin"] == [0, 1]
    assert (placement["rt_vcpus"], placement["rt_priority"]) == ([2, 3], 1)


def test_a_workload_on_vcpus_that_do_not_exist_is_refused() -> None:
    patch = {"guests": {"realtime4": {"workload": {"cyclictest": {"cpus": "7"}}}}}
    with pytest.raises(InputError, match="expected vCPUs 0 to 3, found 7"):
        simulate(SMT4.patched(patch))


HOST_ONLY: dict[str, Any] = {
    "host": {"topology": {"sockets": 1, "cores": 2}, "kernel": {"release": "6.1"}},
    "duration": "2 s",
    "warmup": "100 ms",
}


def test_hogs_share_a_cpu_by_their_weights() -> None:
    tasks = {
        "nice0": {"policy": "SCHED_OTHER", "priority": 0, "cpus": [1], "run": -1},
        "nice5": {"policy": "SCHED_OTHER", "priority": 5, "cpus": [1], "run": -1},
    }
    for release in ("6.1", "6.12"):
        result = simulate(
            Scenario.of(HOST_ONLY | {"workload": {"tasks": tasks}, "duration": "20 s"}).patched(
                {"host": {"kernel": {"release": release}}}
            )
        )
        shares = {name: result.task(name).cpu_time_ns / result.duration_ns for name in tasks}
        total = sum(shares.values())
        assert shares["nice0"] / total == pytest.approx(1024 / (1024 + 335), abs=0.01)
        assert total == pytest.approx(1, abs=0.01)


def test_cgroups_in_a_guest_share_its_cpus() -> None:
    hog = {"run": -1, "cpus": [1]}
    scenario = Scenario.of(
        {
            "host": {
                "topology": {"sockets": 1, "cores": 4}, "kernel": {"release": "6.12"}, "profile": "tuned",
                "nova": {"cpu_dedicated_set": "0-3"},
            },
            "guests": [
                {
                    "name": "guest", "kernel": {"release": "6.12"},
                    "flavor": {"ram": 512, "vcpus": 2, "disk": 1, "properties": {"hw:cpu_policy": "dedicated"}},
                    "workload": {"tasks": {"grouped": {**hog, "taskgroup": "/group"}, "alone": hog}},
                },
            ],
            "warmup": "0 s", "duration": "1 s",
        }
    )  # fmt: skip
    result = simulate(scenario)
    grouped, alone = (result.task(f"guest/{name}").cpu_time_ns for name in ("grouped", "alone"))
    assert grouped == pytest.approx(alone, rel=0.02)
    assert grouped + alone > 0.95 * result.duration_ns


def test_the_times_of_a_floating_task_add_up_over_its_cpus() -> None:
    strong = {"policy": "SCHED_FIFO", "priority": 1, "loop": 1, "run": 150_000}
    tasks = {
        "hog": {"policy": "SCHED_OTHER", "run": -1, "cpus": [1, 2]},
        "on1": {**strong, "cpus": [1], "delay": 150_000},
        "on2": {**strong, "cpus": [2], "delay": 320_000},
        "pinned": {"policy": "SCHED_OTHER", "run": -1, "cpus": [3]},
    }
    scenario = Scenario.of(
        {
            "host": {"topology": {"sockets": 1, "cores": 4}, "kernel": {"release": "6.1"}, "profile": "tuned"},
            "workload": {"tasks": tasks}, "warmup": "100 ms", "duration": "400 ms",
        }
    )  # fmt: skip
    found = simulate(scenario)
    hog = found.task("hog")
    assert set(hog.cpu_times_ns) == {1, 2}, "each CPU drives it to the other"
    assert sum(hog.cpu_times_ns.values()) == hog.cpu_time_ns
    assert found.task("pinned").cpu_times_ns == {}


def test_an_other_timer_has_50_us_of_slack_that_a_fifo_one_has_not() -> None:
    def median(policy: str) -> int:
        workload = {"cyclictest": {"cpus": "1", "policy": policy}}
        latency = simulate(Scenario.of(HOST_ONLY | {"workload": workload})).task("cyclictest").latency
        return latency.quantile(0.5) or 0

    assert median("other") - median("fifo") == pytest.approx(50_000, abs=1_000)


def test_an_untuned_host_has_the_longer_tail() -> None:
    def tail(profile: str) -> int:
        quiet = {"host": {"profile": profile, "kernel": {"cmdline": ""}}}
        return simulate(SMT4.patched(quiet)).task("realtime4/cyclictest").latency.quantile(0.999) or 0

    assert tail("untuned") > 2 * tail("tuned")


def test_observe_names_the_tasks_there_are() -> None:
    with pytest.raises(InputError, match=r"observe: expected tasks of .*realtime4/vcpu0.*, found 'nobody'"):
        simulate(SMT4.patched({"observe": ["nobody"]}))
