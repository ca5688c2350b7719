"""Spinlocks of guests in whole scenarios: which kind a guest has, and what a holder without a CPU leads to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rtsim.engine import constants as es
from rtsim.inputs.errors import InputError
from rtsim.nova import Placement
from rtsim.scenario import Scenario, simulate
from rtsim.scenario.assemble import assemble

DOMAIN = """
<domain><name>g</name><memory>524288</memory><vcpu>2</vcpu>
 <features>{features}</features><cpu mode="{mode}"/></domain>
"""
TIMER = {"ref": "unique", "period": 2000, "mode": "absolute"}
TASKS = {
    f"t{n}": {"cpus": str(n), "policy": "SCHED_FIFO", "run": 50, "spin_lock": "l", "run1": 300, "spin_unlock": "l"}
    for n in range(2)
}


def scenario(cmdline: str = "", guest: str = "", mode: str = "host-model", **overrides: Any) -> Scenario:
    """Two vCPUs share one CPU of a machine, and a lock."""
    return Scenario.of(
        {
            "host": {"topology": {"sockets": 1, "cores": 1}, "kernel": {"release": "6.1", "cmdline": cmdline},
                     "nova": {"cpu_shared_set": "0", "cpu_mode": mode}},
            "guests": [{"name": "g", "flavor": {"ram": 512, "vcpus": 2, "disk": 1, "properties": {}},
                        "kernel": {"release": "6.1", "cmdline": guest},
                        "overrides": overrides, "workload": {"tasks": TASKS}}],
            "warmup": 0, "duration": "100 ms",
        }
    )  # fmt: skip


def kind(of: Scenario) -> int:
    built = assemble(of)
    return int(built.state.kernels[1]["spinlocks"])


@pytest.mark.parametrize(
    ("features", "mode", "pv_unhalt", "dedicated"),
    [
        ("", "host-model", False, False),
        ("", "host-passthrough", True, False),
        ("<pvspinlock/>", "host-model", True, False),
        ("<pvspinlock state='off'/>", "host-passthrough", False, False),
        ("<kvm><hint-dedicated state='on'/></kvm>", "host-passthrough", True, True),
        ("<kvm><hint-dedicated state='off'/></kvm>", "host-passthrough", True, False),
    ],
)
def test_what_a_domain_offers_its_guest(features: str, mode: str, pv_unhalt: bool, dedicated: bool) -> None:
    placement = Placement.from_domain_xml(DOMAIN.format(features=features, mode=mode))
    assert (placement.pv_unhalt, placement.hint_dedicated) == (pv_unhalt, dedicated)


def test_a_feature_that_is_neither_on_nor_off() -> None:
    with pytest.raises(InputError, match="expected on or off, found 'maybe'"):
        Placement.from_domain_xml(DOMAIN.format(features="<pvspinlock state='maybe'/>", mode="host-model"))


def test_which_spinlocks_a_guest_has() -> None:
    assert kind(scenario()) == es.SPIN_VIRT
    assert kind(scenario(mode="host-passthrough")) == es.SPIN_PV
    assert kind(scenario(pvspinlock=True)) == es.SPIN_PV
    assert kind(scenario(mode="host-passthrough", guest="nopvspin")) == es.SPIN_NATIVE
    assert kind(scenario(mode="host-passthrough", hint_dedicated=True)) == es.SPIN_NATIVE


def test_a_domain_from_a_file_decides(tmp_path: Path) -> None:
    (tmp_path / "g.xml").write_text(DOMAIN.format(features="<pvspinlock state='on'/>", mode="host-model"))
    data = scenario().data | {"guests": [{"name": "g", "domain": "g.xml", "workload": {"tasks": TASKS}}]}
    assert kind(Scenario.of(data, folder=tmp_path)) == es.SPIN_PV


def test_realtime_tasks_wait_for_the_preempted_holder_of_a_lock_and_are_told_so() -> None:
    """Beside each that takes the lock there is a task that its timer wakes."""
    awake = {
        f"rt{n}": {"cpus": str(n), "policy": "SCHED_FIFO", "priority": 50, "run": 5, "timer": TIMER} for n in (0, 1)
    }
    guests = {"g": {"workload": {"tasks": {**TASKS, **awake}}}}
    tasks = simulate(scenario(pvspinlock=True).patched({"guests": guests})).tasks
    assert sum(tasks[f"g/rt{n}"].causes_ns.get("guest/spinlock", 0) for n in (0, 1)) > 100_000
    stories = [sample.story for n in (0, 1) for sample in tasks[f"g/rt{n}"].worst]
    assert any("in the guest a spinlock was waited for" in story for story in stories)
    assert any("yields to" in story for story in stories)


def test_costs_of_pause_loops_and_kicks_count() -> None:
    for of, cost in ((scenario(), "pause"), (scenario("kvm_intel.ple_gap=0", pvspinlock=True), "kick")):
        dear = {"costs": {"vm_exit": {cost: {"constant": "50 us", "source": "assumed"}}}}
        assert simulate(of).events != simulate(of.patched({"host": {"profile_overrides": dear}})).events
    soon = {"costs": {"spin_turn": {"constant": "1 ns", "source": "assumed"}}}
    halts = scenario(pvspinlock=True)
    assert simulate(halts).events != simulate(halts.patched({"host": {"profile_overrides": soon}})).events
