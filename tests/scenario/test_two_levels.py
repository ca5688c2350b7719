"""A guest alone on CPUs of its own, where nothing costs anything, is the bare machine: event for event."""

from __future__ import annotations

from typing import Any

import pytest

from rtsim.profile import load_profile
from rtsim.scenario import Scenario
from rtsim.scenario.assemble import assemble
from tests.engine.small import MS, Run, run_state

KERNEL = {"release": "6.1", "preempt": "voluntary", "hz": 250}
QUIET_KVM = "nowatchdog kvm.halt_poll_ns=0 kvm.lapic_timer_advance_ns=0 kvm.lapic_timer_advance=0"
TASKS: dict[str, Any] = {
    "fifo": {
        "policy": "SCHED_FIFO",
        "priority": 80,
        "cpus": [0],
        "run": 90,
        "timer": {"ref": "unique", "period": 1000},
    },
    "weak": {"policy": "SCHED_FIFO", "priority": 10, "cpus": [0], "run": 400, "sleep": 700},
    "rr": {"policy": "SCHED_RR", "priority": 5, "cpus": [1], "instance": 2, "run": 7000, "sleep": 300},
    "fair": {"cpus": [0], "instance": 2, "run": 2500, "sleep": 1100},
    "nice": {"cpus": [1], "priority": 10, "run": 800, "sleep": 2000},
    "waits": {
        "policy": "SCHED_FIFO",
        "priority": 40,
        "cpus": [1],
        "lock": "m",
        "run": 150,
        "unlock": "m",
        "sleep": 500,
    },
    "holds": {"cpus": [0], "lock": "m", "run": 600, "unlock": "m", "sleep": 3000},
}


def free() -> dict[str, Any]:
    """Return what is to be changed in a profile so that no step costs anything and nobody else does anything."""
    costs = load_profile("tuned").model_dump(mode="json", by_alias=True, exclude_none=True)["costs"]
    nothing = ("noise", "guest_noise", "emulator", "vcpu_exits", "requests", "memory_faults")
    return {"costs": _zero(costs), **{key: [] for key in nothing}}


def _zero(costs: dict[str, Any]) -> dict[str, Any]:
    entry = {"constant": 0, "source": "zero"}
    zero: dict[str, Any] = {}
    for name, cost in costs.items():
        if "source" not in cost:
            zero[name] = _zero(cost)
        else:
            zero[name] = {"value": 1, "source": "zero"} if "value" in cost else entry
    return zero


def scenario(release: str, **rest: Any) -> Scenario:
    host = {
        "topology": {"sockets": 1, "cores": 2},
        "kernel": {**KERNEL, "release": release, "cmdline": QUIET_KVM},
        "profile_overrides": free(),
        "cgroups": "flat",
    }
    return Scenario.of({"host": host, "duration": "200 ms", "warmup": "0 s", **rest}, source=release)


def story(chosen: Scenario, prefix: str) -> tuple[Any, ...]:
    """Return switches of both CPUs that the workload runs on, and the samples and time of each task."""
    assembly = assemble(chosen, trace_length=1 << 16)
    done: Run = run_state(assembly.state, assembly.names, 200 * MS)
    first = len(done.state.cpus) - 2
    tasks = [name for name in done.names.tasks if name.removeprefix(prefix).split("-")[0] in TASKS]
    switches = [[(time, who.removeprefix(prefix)) for time, who in done.switches(first + cpu)] for cpu in (0, 1)]
    facts = {
        name.removeprefix(prefix): (done.samples(name), [int(done.task(name)[key]) for key in ("cpu_ns", "wakeups")])
        for name in tasks
    }
    return switches, facts


@pytest.mark.parametrize("release", ["6.1", "6.12"])
def test_a_guest_alone_where_nothing_costs_anything_is_the_bare_machine(release: str) -> None:
    kernel = {**KERNEL, "release": release}
    workload = {"tasks": TASKS}
    flavor = {"ram": 512, "vcpus": 2, "disk": 1, "properties": {"hw:cpu_policy": "dedicated"}}
    guest = {"name": "g", "flavor": flavor, "kernel": kernel, "workload": workload}
    bare = story(scenario(release, workload=workload), "")
    assert story(scenario(release, guests=[guest]), "g/") == bare
    assert len(bare[0][0]) > 100
