"""A recorded case becomes a scenario with the same kernel, tasks and release instants."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rtsim.profile import load_profile
from rtsim.validation.scenarios import LATE_US, scenario_of, start_us
from tests.validation.recordings import NATIVE, ONE_CPU, recording

TICK_US = 4_000


@pytest.mark.parametrize("name", ONE_CPU)
def test_releases_keep_their_distance_to_the_tick(name: str) -> None:
    found = recording(name)
    for case in found.cases.values():
        for task in case.tasks:
            if task.kind == "per":
                phase_us = case.repetitions[0].tasks[task.name]["phase_ns"] // 1000
                if case.repetitions[0].late_ns(task.name) <= LATE_US * 1000:
                    assert start_us(case, scenario_of(found, case, 3), task.name) % TICK_US == phase_us


def test_hogs_start_before_the_first_release_each_seed_in_its_own_order() -> None:
    found = recording("kernel-6.12-eevdf")
    case = found.cases["per10ms-work2ms-other-hog3"]
    orders = set()
    for seed in range(8):
        scenario = scenario_of(found, case, seed)
        assert scenario == scenario_of(found, case, seed)
        starts = {task: start_us(case, scenario, task) for task in ("hog0", "hog1", "hog2")}
        release = start_us(case, scenario, "per")
        assert all(release - 10_000 <= start < release - 2_000 for start in starts.values())
        orders.add(tuple(sorted(starts, key=lambda task: starts[task])))
    assert len(orders) >= 3


def test_the_machine_the_kernel_and_the_length() -> None:
    found = recording("kernel-6.1-isolated")
    case = found.cases["wake-other-mask2-3-hog2"]
    scenario = scenario_of(found, case, 1)
    kernel = scenario["host"]["kernel"]
    assert (kernel["release"], kernel["preempt"], kernel["hz"]) == ("6.1.192", "voluntary", 250)
    assert "isolcpus=3 nohz_full=3 rcu_nocbs=3" in kernel["cmdline"]
    assert scenario["host"]["topology"] == {"sockets": 1, "cores": 2, "threads": 2, "numbering": "adjacent"}
    assert scenario["host"]["profile"] == "kernel-lab"
    assert int(scenario["duration"].removesuffix(" us")) - start_us(case, scenario, "per") == 4_000_000
    assert scenario["workload"]["tasks"]["per"]["cpus"] == [2, 3]


def test_each_seed_has_its_own_places_where_tasks_may_use_several_cpus() -> None:
    found = recording("kernel-6.1-cfs-4cpu")
    begins = []
    for seed in range(8):
        tasks = scenario_of(found, found.cases["fifo3x5ms-mask2-3"], seed)["workload"]["tasks"]
        assert [task["cpus"] for task in tasks.values()] == [[2, 3]] * 3
        begins.append(tuple(task["phases"]["begin"]["cpus"][0] for task in tasks.values()))
    assert len(set(begins)) > 2
    for task, cpu in ((0, 2), (0, 3), (1, 2), (1, 3), (2, 2), (2, 3)):
        assert any(places[task] == cpu for places in begins)


def test_a_task_that_begins_where_a_realtime_hog_will_be_sets_itself_up_before() -> None:
    found = recording("kernel-6.1-cfs-4cpu")
    for seed in range(8):
        tasks = scenario_of(found, found.cases["wake-fifo-mask2-3-fifohog2"], seed)["workload"]["tasks"]
        assert tasks["per"]["phases"]["begin"]["cpus"] == [2]
        assert tasks["per"]["delay"] < tasks["vcpu"]["delay"]
        assert "phases" not in tasks["vcpu"]


def test_a_hog_that_may_move_still_runs_for_ever() -> None:
    found = recording("kernel-6.1-cfs-4cpu")
    hog = scenario_of(found, found.cases["lb-3hog-mask2-3"], 0)["workload"]["tasks"]["hog0"]
    assert "run" not in hog
    assert hog["phases"]["on"] == {"loop": 1, "run": -1}


def test_tasks_are_written_in_rt_apps_words() -> None:
    found = recording("kernel-6.1-cfs")
    tasks = scenario_of(found, found.cases["share-nice-10+0+10"], 0)["workload"]["tasks"]
    assert [task["priority"] for task in tasks.values()] == [-10, 0, 10]
    assert all(task["run"] == -1 and task["policy"] == "SCHED_OTHER" for task in tasks.values())
    periodic = scenario_of(found, found.cases["per1ms-fifo80-hog3"], 0)["workload"]["tasks"]["per"]
    assert periodic["policy"] == "SCHED_FIFO"
    assert periodic["priority"] == 80
    assert periodic["phases"]["periods"]["run"] == 100
    assert periodic["phases"]["periods"]["timer"] == {"ref": "per", "period": 1000, "mode": "absolute"}
    assert periodic["overrun"] == "skip"


def test_cgroups_and_cyclictest() -> None:
    found = recording("kernel-6.12-eevdf")
    grouped = scenario_of(found, found.cases["cg4096x1+1024x2"], 0)
    assert grouped["cgroups"] == {"/A": {"cpu.shares": 4096}, "/B": {"cpu.shares": 1024}}
    assert [task["taskgroup"] for task in grouped["workload"]["tasks"].values()] == ["/A", "/B", "/B"]
    beside = scenario_of(found, found.cases["cyc-fifo80-hog3"], 0)["workload"]
    assert beside["cyclictest"] == {"interval": "1000 us", "policy": "fifo", "priority": 80, "cpus": [3]}


def test_a_quota_becomes_cpu_max() -> None:
    found = recording("kernel-6.1-cfs")
    case = found.cases["cg4096x1+1024x2"]
    quota = replace(
        case,
        cgroups={"/Q": {"cpu.cfs_quota_us": "30000"}, "/P": {"cpu.cfs_quota_us": "5000", "cpu.cfs_period_us": "10000"}},
    )
    cgroups = scenario_of(found, quota, 0)["cgroups"]
    # Up to 6.3 periods end at whole ones since boot, which are ticks here.
    phases = {path: cgroups[path].pop("period_phase") for path in ("/Q", "/P")}
    assert phases["/Q"] % 4_000 == 0
    assert phases["/P"] == phases["/Q"] % 10_000
    assert cgroups == {
        "/Q": {"cpu.max": "30000 100000"},
        "/P": {"cpu.max": "5000 10000"},
        "/A": {},
        "/B": {},
    }


def test_each_seed_takes_a_native_repetition_in_turn() -> None:
    found = recording(NATIVE)
    case = found.cases["rtwl-other-per1ms-hog1"]
    phases = [start_us(case, scenario_of(found, case, seed), "per") % TICK_US for seed in range(4)]
    assert phases == [repetition.start_ns % 4_000_000 // 1000 for repetition in case.repetitions] * 2
    scenario = scenario_of(found, case, 0)
    assert scenario["host"]["kernel"]["config"] == {"rt_group_sched": True}
    assert scenario["host"]["profile"] == "recorded-vm"


def test_a_rule_can_be_left_out() -> None:
    found = recording("kernel-6.12-eevdf")
    scenario = scenario_of(found, found.cases["share-2hog"], 0, ablate=["no_run_to_parity"])
    assert scenario["host"]["kernel"]["ablate"] == ["no_run_to_parity"]


def test_what_ran_without_the_tracer_has_its_cost_taken_off() -> None:
    found = recording("kernel-6.1-cfs")
    hosts = {name: scenario_of(found, found.cases[name], 0)["host"] for name in ("cyc-fifo80-hog3", "share-4hog")}
    traced = load_profile(hosts["share-4hog"]["profile"]).costs
    host = hosts["cyc-fifo80-hog3"]
    untraced = load_profile(host["profile"], host["profile_overrides"]).costs
    steps = ("irq_entry", "timer_irq", "wake", "schedule", "context_switch", "syscall_exit")
    fifo_on_idle = [sum(getattr(costs, step).constant for step in steps) for costs in (traced, untraced)]
    assert fifo_on_idle == [pytest.approx(16_750, abs=500), pytest.approx(7_000, abs=500)]
    assert "profile_overrides" not in hosts["share-4hog"]
