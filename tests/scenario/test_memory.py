"""Which page faults a guest can have, by its pages, locks and host, and how much slower its memory is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rtsim.engine import constants as es
from rtsim.profile import load_profile
from rtsim.scenario import Scenario
from rtsim.scenario.assemble import assemble
from rtsim.scenario.guests import guests_of
from rtsim.scenario.host import Host
from rtsim.scenario.memory import contention, faults_of, memory_latency, remote_share, slowdown

DATA = Path(__file__).resolve().parents[2] / "data"
FLAVOR: dict[str, Any] = {
    "ram": 1024, "vcpus": 4, "disk": 1, "name": "g",
    "properties": {"hw:cpu_policy": "dedicated", "hw:mem_page_size": "small"},
}  # fmt: skip
REALTIME = {"hw:cpu_realtime": "yes", "hw:cpu_realtime_mask": "^0-1"}
STEADY = {"collapse", "ksm", "swap"}
"""What a guest bound to a node can have beside first touches, on a host that does everything."""


def scenario(memory: dict[str, Any] | None = None, properties: dict[str, Any] | None = None, **guest: Any) -> Scenario:
    """A guest on the demo's server, whose host merges and reclaims pages."""
    changes = {**FLAVOR["properties"], **(properties or {})}
    flavor = {**FLAVOR, "properties": {key: value for key, value in changes.items() if value is not None}}
    data = {
        "host": {
            "topology": {"capabilities": "hosts/server-2x8x2.xml"},
            "memory": {"ksm": True, "committed": 1.5, **(memory or {})},
        },
        "guests": [{"name": "g", **(guest or {"flavor": flavor})}],
        "duration": "10 ms",
    }
    return Scenario.of(data, folder=DATA)


def placed(chosen: Scenario) -> tuple[Any, Host]:
    host = Host.of(chosen.model.host, chosen.folder, chosen.source)
    return guests_of(chosen, host)[0], host


def reasons(chosen: Scenario) -> set[str]:
    return {found.fault.reason for found in faults_of(*placed(chosen))}


def touches(chosen: Scenario, vcpu: int = 0) -> Any:
    return next(each for each in faults_of(*placed(chosen)) if each.fault.reason == "first_touch" and each.vcpu == vcpu)


def test_small_pages_that_are_neither_locked_nor_apart_have_everything_but_hint_faults() -> None:
    assert reasons(scenario()) == {"first_touch", *STEADY}


@pytest.mark.parametrize("size", ["2048", "1048576"])
def test_huge_pages_leave_first_touches_that_cost_the_exit_alone(size: str) -> None:
    chosen = scenario(properties={"hw:mem_page_size": size})
    assert reasons(chosen) == {"first_touch"}
    assert touches(chosen).cost is None
    small, huge = touches(scenario()).fault.arrival.rate_hz(), touches(chosen).arrival.rate_hz()
    assert small / huge == pytest.approx(int(size) / 4)


@pytest.mark.parametrize(("thp", "cost", "share"), [("always", "2m", 512), ("madvise", "2m", 512), ("never", "4k", 1)])
def test_first_touches_of_memory_not_yet_there(thp: str, cost: str, share: int) -> None:
    chosen = scenario({"transparent_hugepage": thp})
    found, costs = touches(chosen), placed(chosen)[1].profile.costs.page_fault
    assert found.cost == {"2m": costs.huge, "4k": costs.small}[cost]
    assert found.fault.arrival.rate_hz() / found.arrival.rate_hz() == pytest.approx(share)
    assert ("collapse" in reasons(chosen)) == (thp != "never")


def test_the_command_line_switches_transparent_huge_pages_off() -> None:
    chosen = scenario().patched({"host": {"kernel": {"cmdline": "transparent_hugepage=never"}}})
    assert "collapse" not in reasons(chosen)


def test_realtime_guests_are_locked_and_their_pages_not_merged() -> None:
    chosen = scenario(properties=REALTIME)
    assert reasons(chosen) == {"first_touch"}
    assert touches(chosen).cost is None


def test_locked_memory_alone_is_still_merged() -> None:
    chosen = scenario(properties={"hw:locked_memory": "true"})
    assert reasons(chosen) == {"first_touch", "ksm"}


@pytest.mark.parametrize(("memory", "gone"), [({"ksm": False}, "ksm"), ({"committed": 1.0}, "swap")])
def test_what_the_host_does_not_do_nobody_suffers_from(memory: dict[str, Any], gone: str) -> None:
    assert reasons(scenario(memory)) == {"first_touch", *STEADY} - {gone}


def test_the_fuller_the_memory_the_more_pages_are_swapped_out() -> None:
    def rate(committed: float) -> float:
        guest, host = placed(scenario({"committed": committed}))
        return next(found.arrival.rate_hz() for found in faults_of(guest, host) if found.fault.reason == "swap")

    given = next(fault.arrival.rate_hz() for fault in load_profile("tuned").memory_faults if fault.reason == "swap")
    assert rate(1.2) == pytest.approx(given)
    assert rate(2.0) == pytest.approx(3 * given)
    assert rate(1.02) == pytest.approx(given * 0.02 / 1.02 * 6, rel=0.01)


def test_numa_balancing_scans_memory_that_is_bound_to_no_node() -> None:
    floating = {"hw:cpu_policy": "shared", "hw:mem_page_size": None}
    chosen = scenario(properties=floating)
    assert "numa_hint" in reasons(chosen)
    off = chosen.patched({"host": {"kernel": {"sysctl": {"numa_balancing": 0}}}})
    assert "numa_hint" not in reasons(off)


DOMAIN = """<domain><name>g</name><memory>1048576</memory><vcpu>2</vcpu>
<cputune><vcpupin vcpu="0" cpuset="1"/><vcpupin vcpu="1" cpuset="2"/><emulatorpin cpuset="0"/></cputune>
<numatune><memory mode="strict" nodeset="{node}"/></numatune><memoryBacking>{backing}</memoryBacking></domain>"""


def domain(tmp_path: Path, node: int, backing: str = "") -> Scenario:
    path = tmp_path / "domain.xml"
    path.write_text(DOMAIN.format(node=node, backing=backing))
    return scenario(domain=str(path))


def test_a_domain_with_huge_pages_and_without_cells(tmp_path: Path) -> None:
    backing = '<hugepages><page size="1" unit="GiB"/></hugepages>'
    assert reasons(domain(tmp_path, 0, backing)) == {"first_touch"}


def test_memory_on_the_other_node_is_remote(tmp_path: Path) -> None:
    """CPUs 0-7 and their siblings are node 0; a third of the steps waits for memory that is 1.7 times as far away."""
    assert [remote_share(*placed(domain(tmp_path, node))) for node in (0, 1)] == [0, 1]
    guest, host = placed(domain(tmp_path, 1))
    assert slowdown(host, memory_latency(host, remote_share(guest, host))) == pytest.approx(1 + 0.3 * 0.7)


def test_memory_of_a_guest_that_floats_over_both_nodes_is_half_remote() -> None:
    assert remote_share(*placed(scenario(properties={"hw:cpu_policy": "shared", "hw:mem_page_size": None}))) == 0.5


def test_nova_keeps_memory_beside_its_vcpus() -> None:
    assert remote_share(*placed(scenario())) == 0


def test_contended_memory_makes_every_step_longer() -> None:
    """A queue at half its capacity waits half a service: 1.5 times the latency, on 30 % of the time."""
    chosen = scenario({"bandwidth": 0.5})
    host = placed(chosen)[1]
    assert contention(host) == 1.5
    costs = {}
    for name, each in (("idle", scenario()), ("busy", chosen)):
        s = assemble(each).state
        costs[name] = s.tables[s.kernels["wake"], 1024]
    assert costs["busy"] / costs["idle"] == pytest.approx([1.15, 1.15], rel=1e-3)


def work_ns(chosen: Scenario, share: float) -> int:
    """Return what the engine has a guest's task compute, of 100 us with `share` of them waiting for memory."""
    guest = {
        **chosen.data["guests"][0],
        "workload": {"tasks": {"app": {"memory_share": share, "run": 100, "sleep": 9}}},
    }
    assembly = assemble(Scenario.of({**chosen.data, "guests": [guest]}, folder=chosen.folder))
    state = assembly.state
    first = int(state.tasks[assembly.names.tasks.index("g/app")]["pc"])
    assert int(state.ops[first]["code"]) == es.OP_RUN
    return int(state.tables[state.ops[first]["value"], 1024])


def test_a_tasks_work_is_longer_by_its_share_of_waiting_for_memory(tmp_path: Path) -> None:
    assert work_ns(domain(tmp_path, 0), 0.4) == 100_000
    assert work_ns(domain(tmp_path, 1), 0.4) == pytest.approx(100_000 * (1 + 0.4 * 0.7), abs=1)
    assert work_ns(domain(tmp_path, 1), 0) == 100_000
    assert work_ns(scenario({"bandwidth": 0.5}), 0.4) == pytest.approx(100_000 * (1 + 0.4 * 0.5), abs=1)


def test_reclaim_and_ksmd_disturb_cpus_only_where_they_run() -> None:
    def disturbers(memory: dict[str, Any]) -> set[str]:
        host = placed(scenario(memory))[1]
        return {source.name for source, _ in host.noise_on()} & {"ksmd", "tlb-flush", "drain"}

    assert disturbers({}) == {"ksmd", "tlb-flush", "drain"}
    assert disturbers({"ksm": False}) == {"tlb-flush", "drain"}
    assert disturbers({"committed": 1.0}) == {"ksmd"}


def test_faults_become_sources_of_their_vcpus() -> None:
    assembly = assemble(scenario(properties=REALTIME))
    rows = {name: assembly.state.sources[row] for row, name in enumerate(assembly.names.sources) if "/memory/" in name}
    assert {name.split("/memory/")[0] for name in rows} == {f"g/vcpu{n}" for n in range(4)}
    for name, row in rows.items():
        assert row["kind"] == es.NOISE_FAULT
        assert assembly.names.tasks[row["task"]] == name.split("/memory/")[0]
        assert row["lasting"] == (not name.split("/memory/")[1].startswith("touch"))
