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
EMULATOR = "thread:realtime4/emulator"
REPLICATIONS = 12
"""Without levers some runs of 2 s have nothing in the way: that most have shows with so many."""

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
    assert is_worse(found, "all but pinning", "all")
    # not the host's interrupts: those that wake the vCPU come before the release, so far as KVM's timer fires early
    assert part(without, "thread:host/", "softirq") > part(pinned, "thread:host/", "softirq")
    assert part(without, "thread:host/thread/daemons", "thread:neighbour/") > 0
    assert part(pinned, "thread:host/thread/daemons", "thread:neighbour/") == 0


def test_host_resources_keep_other_guests_and_the_kernels_work_away(found: Levers) -> None:
    """Without them the neighbour floats over the pinned CPUs, which a fair vCPU has to share with it."""
    assert is_worse(found, "all but host", "all")
    assert part(causes_us(found, "pinning"), "thread:neighbour/vcpu") > 0
    assert part(causes_us(found, "all but policy"), "thread:neighbour/vcpu") == 0
    assert part(causes_us(found, "all"), "softirq") < part(causes_us(found, "all but host"), "softirq") / 10


@pytest.mark.parametrize("pulled", ["emulator", "policy"])
def test_the_emulator_thread_elsewhere_or_a_realtime_vcpu_end_the_wait_for_it(found: Levers, pulled: str) -> None:
    """Under SCHED_OTHER the emulator takes turns with the vCPUs whose CPUs it is on."""
    neither, (other,) = "all but emulator, policy", {"emulator", "policy"} - {pulled}
    assert tail_us(found, neither) > 2 * tail_us(found, f"all but {other}")
    assert max(found.row(neither)["causes_ns"], key=found.row(neither)["causes_ns"].__getitem__) == EMULATOR
    assert part(causes_us(found, f"all but {other}"), EMULATOR) < part(causes_us(found, neither), EMULATOR) / 100


@pytest.mark.parametrize("pulled", ["hugepages", "locked"])
def test_huge_pages_or_locked_memory_end_the_wait_for_pages(found: Levers, pulled: str) -> None:
    """Locked memory was populated when the guest started, huge pages are never swapped or merged."""
    neither, (other,) = "all but hugepages, locked", {"hugepages", "locked"} - {pulled}
    assert is_worse(found, neither, "all")
    assert found.row(neither)["why"].startswith("memory +")
    assert part(causes_us(found, f"all but {other}"), "memory") < part(causes_us(found, neither), "memory") / 100


@pytest.mark.parametrize("name", ["hugepages", "locked"])
def test_alone_they_end_it_too(found: Levers, name: str) -> None:
    assert tail_us(found, name) < tail_us(found, "none") / 1.5
    assert part(causes_us(found, "none"), "memory") > 50 * part(causes_us(found, name), "memory")


@pytest.mark.parametrize("name", ["emulator", "policy", "hugepages", "locked"])
def test_a_lever_that_another_stands_in_for_changes_next_to_nothing(found: Levers, name: str) -> None:
    """Under 2 us of some 20; one interval in twenty does not hold the 0 that is there, and a cause is named then."""
    row = found.row(f"all but {name}")
    ends, change = row["differences_ci_ns"]["p99.99"], row["differences_ns"]["p99.99"]
    assert ends is not None
    assert change is not None
    assert abs(change) < 2_000
    assert (row["why"] in ("may be chance", "no difference")) == (ends[0] <= 0 <= ends[1])


def is_worse(found: Levers, name: str, than: str) -> bool:
    """Tell whether the p99.99 of a row is above that of the one it is compared with, and not by chance."""
    row = found.row(name)
    ends = row["differences_ci_ns"]["p99.99"]
    return row["against"] == than and ends is not None and ends[0] > 0


# ---- rows, price, outputs -------------------------------------------------------------------------------------------


def test_there_is_a_row_for_none_each_alone_all_but_some_and_all(found: Levers) -> None:
    pairs = ["all but emulator, policy", "all but hugepages, locked"]
    expected = ["none", *LEVERS, *(f"all but {name}" for name in LEVERS), *pairs, "all"]
    assert [row["name"] for row in found.rows] == expected
    assert found.row("all but host")["against"] == found.row(pairs[0])["against"] == "all"
    assert set(found.row(pairs[0])["pulled"]) == set(LEVERS) - {"emulator", "policy"}
    assert found.row("host")["against"] == found.row("all")["against"] == "none"


def test_all_levers_together_are_far_better_than_none(found: Levers) -> None:
    row = found.row("all")
    ends = row["differences_ci_ns"]["p99.99"]
    assert ends is not None
    assert ends[1] < 0
    assert tail_us(found, "all") < tail_us(found, "none") / 5


def test_the_price_is_cpus_memory_and_what_others_lose(found: Levers) -> None:
    assert [found.row(name)["cpus_spent"] for name in ("none", "pinning", "all")] == [0, 4, 4]
    assert [found.row(name)["locked_mib"] for name in ("none", "pinning", "hugepages", "locked", "all")] == [
        0, 0, 1024, 1024, 1024,
    ]  # fmt: skip
    lost = found.row("all")["others_lost"]
    assert lost is not None
    assert lost == pytest.approx(0.5, abs=0.05)  # a third of each of twelve CPUs, of which two are left
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
