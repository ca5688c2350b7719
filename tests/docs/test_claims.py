"""What the manual says in prose about the program, where a change could make it untrue."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from rtsim.kernel.sysctl import CONFIG, SYSCTL
from rtsim.planning import compare
from rtsim.scenario import Scenario, simulate
from tests.docs.pages import ROOT

SCENARIO = ROOT / "data" / "scenarios" / "smt4.yaml"
USED_COSTS = (
    "context_switch", "wake", "irq_entry", "timer_irq", "tick", "softirq_entry", "syscall_exit", "vm_entry",
    "hrtimer_program", "schedule", "preempt_fair", "cgroup_level", "irq_thread_hard", "ktimers", "softirq_exit",
    "enqueue_remote",
)  # fmt: skip
INERT_TUNABLES = {
    "sched_child_runs_first": 1, "sched_deadline_period_min_us": 200,
    "sched_deadline_period_max_us": 1 << 21, "watchdog": 0, "nmi_watchdog": 0,
    "watchdog_thresh": 20,
}  # fmt: skip


def brief(**host: Any) -> Scenario:
    busy = {"tasks": {"hog": {"cpus": "0", "run": -1}}}  # ticks come only where something runs
    return Scenario.load(SCENARIO).lasting("200 ms").patched({"workload": busy, **({"host": host} if host else {})})


def outcome(scenario: Scenario) -> Mapping[str, Any]:
    return simulate(scenario).to_json()["tasks"]


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("cost", USED_COSTS)
def test_costs_listed_as_used_change_results(cost: str) -> None:
    assert f"`{cost}`" in page("guides/profiles.md")
    assert outcome(brief(profile_overrides={"costs": {cost: {"constant": "7 us", "source": "assumed"}}})) != outcome(
        brief()
    )


def test_what_a_busy_sibling_costs_changes_results() -> None:
    slowed = {"costs": {"smt_speed": {"value": 0.1, "source": "assumed"}}}
    assert outcome(brief(profile_overrides=slowed)) != outcome(brief())


def test_what_the_emulator_needs_for_timers_counts_where_it_fires_them() -> None:
    guests = {"realtime4": {"timer_delivery": "emulator"}}
    longer = {"costs": {"bql_hold": {"constant": "50 us", "source": "assumed"}}}
    assert outcome(brief(profile_overrides=longer)) == outcome(brief())
    assert outcome(brief(profile_overrides=longer).patched({"guests": guests})) != outcome(
        brief().patched({"guests": guests})
    )


def test_what_logging_and_sending_pages_costs_counts_where_a_guest_is_migrated() -> None:
    busy = {"tasks": {"writer": {"cpus": "0", "run": -1}}}
    migration = {"dirty_rate": "100000 / s", "round": "20 ms"}
    moving = {"guests": {"realtime4": {"migration": migration, "workload": busy}}}
    for cost in ("pml_entry", "sync", "send"):
        assert f"`{cost}`" in page("guides/memory.md")
        dear = {"costs": {"dirty_log": {cost: {"constant": "3 us", "source": "assumed"}}}}
        assert outcome(brief(profile_overrides=dear).patched(moving)) != outcome(brief().patched(moving))


def test_posting_timers_changes_nothing_for_guests_that_exit_to_idle() -> None:
    assert "`kvm.pi_inject_timer` changes nothing here" in page("background/limits.md")
    line = str(brief().data["host"]["kernel"]["cmdline"])
    found = [outcome(brief(kernel={"cmdline": f"{line} kvm.pi_inject_timer={on}"})) for on in (0, 1)]
    assert found[0] == found[1]


def test_settings_listed_without_effect_have_none() -> None:
    assert all(f"`{name}`" in page("background/limits.md") for name in INERT_TUNABLES)
    assert outcome(brief(kernel={"sysctl": INERT_TUNABLES})) == outcome(brief())


def test_all_other_settings_are_listed_with_effect() -> None:
    text = page("guides/scenario.md")
    assert [name for name in {*SYSCTL, *CONFIG} - set(INERT_TUNABLES) if f"`{name}`" not in text] == []


def test_accounting_of_interrupts_has_an_effect() -> None:
    hogs = {name: {"cpus": "0", "run": -1} for name in ("a", "b")}
    sharing = brief().lasting("2 s").patched({"workload": {"tasks": hogs}})
    apart = sharing.patched({"host": {"kernel": {"config": {"irq_time_accounting": True}}}})
    assert outcome(apart) != outcome(sharing)


def test_what_a_run_contains_is_described() -> None:
    text = page("reference/result.md")
    assert [key for key in keys(simulate(brief()).to_json()) if f"`{key}`" not in text] == []


def test_what_a_comparison_contains_is_described() -> None:
    text = page("reference/result.md")
    made = compare(brief(), vary={"seed": ["1", "2"]}, replications=1).to_json()
    made["variants"] = {}
    assert [key for key in keys(made) if f"`{key}`" not in text] == []


def keys(data: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys of a result, those of its scenario and of mappings by name left out."""
    data = copy.deepcopy(dict(data))
    data.pop("scenario", None)
    for name in ("tasks", "guests", "cpus", "bounds"):
        data[name] = list(data.get(name, {}).values())[-1:]
    stack: list[Any] = [data]
    while stack:
        each = stack.pop()
        if isinstance(each, Mapping):
            yield from each
            stack += [value for key, value in each.items() if key not in ("vcpupin", "causes_ns")]
        elif isinstance(each, list):
            stack += each


def test_every_cause_is_described() -> None:
    from rtsim.engine.constants import CAUSE_NAMES

    described = set(re.findall(r"`([a-z_]+)`", page("reference/result.md")))
    assert set(CAUSE_NAMES) <= described


def test_every_dependency_has_its_reason() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = page("background/dependencies.md")
    for requirement in project["dependencies"]:
        assert re.search(rf"^\|.*\b{re.split('[<>=]', requirement)[0]}\b", text, re.MULTILINE), requirement
    for extra in project["optional-dependencies"]:
        assert f"`[{extra}]`" in text


@pytest.mark.parametrize(
    ("code", "unloaded"),
    [
        ("import rtsim", {"numpy", "numba", "pandas", "matplotlib", "simpy", "scipy", "networkx", "pydantic"}),
        ("import rtsim.validation.pytest_plugin", {"numpy", "numba", "pandas", "pydantic", "simpy"}),
        (
            "from rtsim.cli import status; "
            "status(['pin', '--host', 'data/hosts/smt-4cpu.xml', '--flavor', 'data/flavors/realtime4.json'])",
            {"numba", "matplotlib"},
        ),
    ],
    ids=["import rtsim", "pytest", "rtsim pin"],
)
def test_slow_libraries_are_loaded_where_they_are_used(code: str, unloaded: set[str]) -> None:
    script = f"{code}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert unloaded.isdisjoint(json.loads(ran.stdout.splitlines()[-1]))


def test_every_builtin_profile_is_listed() -> None:
    sources = (ROOT / "rtsim" / "profile" / "builtin").glob("*.yaml")
    assert {path.stem for path in sources} == set(
        re.findall(r"\{profile-numbers\} (\S+)", page("reference/profiles.md"))
    )


def test_pictures_are_small() -> None:
    assert all(path.stat().st_size < 200_000 for path in Path(ROOT / "docs" / "images").iterdir())
