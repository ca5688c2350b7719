"""The six levers of a realtime guest: what is pulled, what each one buys, and the cause it removes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import pytest

from rtsim.inputs.errors import InputError
from rtsim.planning import Levers, levers
from rtsim.planning.pull import LEVERS, Levered
from rtsim.report.html import report_page
from rtsim.scenario import Scenario
from rtsim.scenario.guests import guests_of
from rtsim.scenario.host import Host

TASK = "realtime4/cyclictest"
REPLICATIONS = 12
"""Without levers some runs of 2 s have nothing in the way: that most have shows with so many."""
EVERY = frozenset(LEVERS)

SIBLINGS: dict[str, Any] = {
    "host": {
        "topology": {"sockets": 1, "cores": 3, "threads": 2, "numbering": "adjacent"},
        "kernel": {"release": "6.1", "cmdline": "isolcpus=3,4"},
        "nova": {"cpu_dedicated_set": "3,4", "cpu_shared_set": "0,1,2,5"},
    },
    "guests": [
        {
            "name": "busy",
            "flavor": {
                "ram": 512, "vcpus": 2, "disk": 1,
                "properties": {"hw:cpu_policy": "dedicated", "hw:cpu_realtime": "yes", "hw:cpu_realtime_mask": "^0"},
            },
            "kernel": {"release": "6.1"},
            "workload": {
                "cyclictest": {"cpus": "1"}, "tasks": {"computing": {"cpus": "0", "run": -1}},
            },
        }
    ],
    "workload": {"tasks": {"program": {"cpus": "5", "run": -1}}},
    "duration": "500 ms",
    "warmup": "100 ms",
}  # fmt: skip
"""CPUs 0 and 1, 2 and 3, 4 and 5 are siblings; the vCPU that computes is pinned to CPU 4, beside the program."""


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return Scenario.load("data/scenarios/levers.yaml").lasting("2 s")


@pytest.fixture(scope="module")
def found(scenario: Scenario) -> Levers:
    return levers(scenario, replications=REPLICATIONS)


def causes_us(found: Levers, name: str) -> Mapping[str, float]:
    """Return the mean latency by cause in a row of levers, us."""
    task = found.results[name].task(TASK)
    return {cause: total / task.latency.count / 1000 for cause, total in task.causes_ns.items()}


def part(causes: Mapping[str, float], *starts: str) -> float:
    return sum(mean for cause, mean in causes.items() if cause.startswith(starts))


def tail_us(found: Levers, name: str) -> float:
    value = found.row(name)["values_ns"]["p99.99"]
    assert value is not None
    return value / 1000


# ---- the direction that the field reports, and the cause that goes ------------------------------------------------


def test_pinning_ends_the_wait_for_a_shared_cpu(found: Levers) -> None:
    without, pinned = causes_us(found, "all but pinning"), causes_us(found, "all")
    assert tail_us(found, "all") < tail_us(found, "all but pinning") / 2
    # not the host's interrupts: those that wake the vCPU come before the release, so far as KVM's timer fires early
    assert part(without, "thread:host/", "softirq") > part(pinned, "thread:host/", "softirq")
    assert part(pinned, "thread:host/thread/daemons", "thread:neighbour/") == 0


def test_host_resources_keep_other_guests_and_the_kernels_work_away(found: Levers) -> None:
    """Without them the neighbour floats over the pinned CPUs, which a fair vCPU has to share with it."""
    alone, with_host = causes_us(found, "pinning"), causes_us(found, "all but policy")
    assert part(alone, "thread:neighbour/vcpu") > 0
    assert part(with_host, "thread:neighbour/vcpu") == 0
    assert tail_us(found, "all") < tail_us(found, "all but host")
    assert part(causes_us(found, "all"), "softirq") < part(causes_us(found, "all but host"), "softirq")


def test_the_emulator_thread_away_from_the_realtime_vcpus_no_longer_runs_instead_of_them(scenario: Scenario) -> None:
    """Under SCHED_OTHER the emulator takes turns with the vCPUs whose CPUs it is on."""
    fair = EVERY - {"policy"}
    ends = {name: _causes_of(scenario, pulled) for name, pulled in (("on", fair), ("off", fair - {"emulator"}))}
    assert part(ends["off"][0], "thread:realtime4/emulator") > 0
    assert part(ends["on"][0], "thread:realtime4/emulator") == 0
    assert ends["on"][1] < ends["off"][1]


def test_realtime_policy_ends_the_wait_for_fair_threads(scenario: Scenario) -> None:
    """What is left on an isolated CPU are the workers that the kernel has on every CPU; they come rarely.

    One still runs while the interrupt is on its way by which a housekeeping CPU, whose timer it was, wakes the vCPU.
    """
    longer = scenario.lasting("20 s")
    fair, realtime = (_causes_of(longer, pulled) for pulled in (EVERY - {"policy"}, EVERY))
    assert part(fair[0], "thread:host/thread/") > 0
    assert part(realtime[0], "thread:host/thread/") < part(fair[0], "thread:host/thread/") / 100
    assert realtime[1] < fair[1]


def test_huge_pages_end_page_faults(scenario: Scenario) -> None:
    """Of a guest whose memory is not locked."""
    loose = EVERY - {"locked"}
    small, huge = (_causes_of(scenario, pulled) for pulled in (loose - {"hugepages"}, loose))
    assert part(small[0], "memory") > 0
    assert part(huge[0], "memory") == 0
    assert huge[1] < small[1] / 2


def test_locked_memory_is_not_read_from_swap(scenario: Scenario) -> None:
    """Of small pages, which may be swapped and merged; without transparent huge pages nothing else takes them away."""
    small = scenario.patched({"host": {"memory": {"transparent_hugepage": "never"}}})
    pulled = EVERY - {"hugepages"}
    locked, loose = _causes_of(small, pulled), _causes_of(small, pulled - {"locked"})
    assert part(loose[0], "memory") > 10 * part(locked[0], "memory")
    assert locked[1] < loose[1] / 2


def test_locked_memory_and_huge_pages_stand_in_for_each_other(found: Levers) -> None:
    """Locked memory was populated when the guest started, huge pages are never swapped or merged."""
    for name in ("all but locked", "all but hugepages"):
        row = found.row(name)["differences_ns"]["p99.99"]
        assert row is not None
        assert abs(row) < 1_000


def _causes_of(scenario: Scenario, pulled: frozenset[str]) -> tuple[Mapping[str, float], float]:
    """Return the mean latency by cause and the largest latency (us) over replications with these levers pulled."""
    from rtsim.scenario import simulate
    from rtsim.scenario.result import merge_results

    chosen = Levered.of(scenario, "realtime4").pulled(pulled)
    merged = merge_results([simulate(chosen.seeded(seed)) for seed in range(1, 1 + REPLICATIONS)])
    task = merged.task(TASK)
    assert task.latency.max_ns is not None
    causes = {cause: total / task.latency.count / 1000 for cause, total in task.causes_ns.items()}
    return causes, task.latency.max_ns / 1000


# ---- rows, price, outputs -------------------------------------------------------------------------------------------


def test_there_is_a_row_for_none_each_alone_all_but_each_and_all(found: Levers) -> None:
    assert [row["name"] for row in found.rows] == ["none", *LEVERS, *(f"all but {name}" for name in LEVERS), "all"]
    assert {row["name"]: row["against"] for row in found.rows}["all but host"] == "all"
    assert found.row("host")["against"] == found.row("all")["against"] == "none"


def test_all_levers_together_are_far_better_than_none(found: Levers) -> None:
    row = found.row("all")
    ends = row["differences_ci_ns"]["p99.99"]
    assert ends is not None
    assert ends[1] < 0
    assert tail_us(found, "all") < tail_us(found, "none") / 10


def test_the_price_is_cpus_memory_and_what_others_lose(found: Levers) -> None:
    assert [found.row(name)["cpus_spent"] for name in ("none", "pinning", "all")] == [0, 4, 4]
    assert [found.row(name)["locked_mib"] for name in ("none", "pinning", "hugepages", "locked", "all")] == [
        0, 0, 1024, 1024, 1024,
    ]  # fmt: skip
    lost = found.row("all")["others_lost"]
    assert lost is not None
    assert lost > 0.5  # twelve busy vCPUs are left two CPUs of twelve
    assert found.row("none")["others_lost"] == 0


def test_others_lose_work_to_a_busy_thread_of_their_core() -> None:
    """Pinned beside a program of the host, a vCPU that computes leaves it all its CPU time, and 0.62 of its speed."""
    found = levers(Scenario.of(SIBLINGS), replications=1)
    program = {name: found.results[name].task("program") for name in ("none", "pinning")}
    assert program["pinning"].cpu_time_ns == pytest.approx(program["none"].cpu_time_ns, rel=0.02)
    assert found.row("pinning")["others_lost"] == pytest.approx(1 - 0.62, abs=0.02)


def test_no_maximum_is_above_its_bound(found: Levers) -> None:
    assert found.row("all")["bound_ns"] is not None
    for row in found.rows:
        largest, bound = found.results[row["name"]].task(TASK).latency.max_ns, row["bound_ns"]
        assert largest is not None
        assert bound is None or largest <= bound


def test_table_json_page_and_picture_have_every_row(found: Levers) -> None:
    data: dict[str, Any] = json.loads(json.dumps(found.to_json()))
    page = report_page(data)
    for row in found.rows:
        assert f">{row['name']}<" in page
    assert list(found.table().index) == [row["name"] for row in found.rows]
    figure, ax = plt.subplots()
    labels = [label.get_text() for label in found.plot(ax=ax).get_yticklabels()]
    plt.close(figure)
    assert labels == [row["name"] for row in found.rows]


# ---- what is pulled -------------------------------------------------------------------------------------------------


def placement(scenario: Scenario, *pulled: str) -> Any:
    chosen = Levered.of(scenario, "realtime4").pulled(frozenset(pulled))
    return guests_of(chosen, Host.of(chosen.model.host, chosen.folder, chosen.source))[0]


def test_what_is_pulled_is_as_the_scenario_has_it(scenario: Scenario) -> None:
    host = Host.of(scenario.model.host, scenario.folder, scenario.source)
    own, all_of_it = guests_of(scenario, host)[0], placement(scenario, *LEVERS)
    assert all_of_it.placement.vcpu_pins == own.placement.vcpu_pins
    assert set(all_of_it.placement.emulator_cpus) == {0, 6}
    assert [all_of_it.schedule(vcpu) for vcpu in range(4)] == [("other", 0)] * 2 + [("fifo", 1)] * 2
    assert all_of_it.placement.huge_pages == ((0, 1048576),)


def test_vcpus_that_are_not_pinned_float_where_others_may(scenario: Scenario) -> None:
    assert set(placement(scenario, "host").placement.vcpu_pins[2]) == {0, 6}
    assert set(placement(scenario).placement.vcpu_pins[2]) == set(range(12))


def test_without_policy_the_same_vcpus_are_measured(scenario: Scenario) -> None:
    guest = placement(scenario, "pinning")
    assert guest.measured_vcpus() == (2, 3)
    assert guest.schedule(2) == ("other", 0)


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ({"host": {"kernel": {"cmdline": ""}}}, "expected isolated CPUs"),
        ({"guests": {"realtime4": {"flavor": {"properties": None}}}}, "expected pinned vCPUs"),
    ],
)
def test_a_scenario_without_levers_is_refused(scenario: Scenario, patch: dict[str, Any], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        Levered.of(scenario.patched(patch), "realtime4")


def test_an_unknown_guest_is_named(scenario: Scenario) -> None:
    with pytest.raises(InputError, match="found 'nobody'"):
        Levered.of(scenario, "nobody")
