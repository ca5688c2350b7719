"""The promise of bounds: on random machines, no latency or response of a bounded task exceeds its bound."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder
from rtsim.engine.clock import run_until
from rtsim.engine.state import State
from rtsim.scenario.bounds import Bound, bounds_of
from tests.engine import machines as other
from tests.engine.small import MS, US, machine

UNTIL_NS = 20 * MS
COSTS = (
    "context_switch", "syscall_exit", "irq_entry", "timer_irq", "tick", "wake", "ipi", "softirq_entry", "idle_exit",
    "schedule", "hrtimer_program", "softirq_exit",
)  # fmt: skip
NOISES = (es.NOISE_IRQ, es.NOISE_SOFTIRQ, es.NOISE_NMI, es.NOISE_HARDWARE)


def drawn_range(shortest: int, longest: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(shortest, longest), min_size=2, max_size=2)


@st.composite
def fifo_tasks(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw one to four FIFO tasks of distinct priorities that leave some of the CPU."""
    count = draw(st.integers(1, 4))
    priorities = draw(st.lists(st.integers(1, 98), min_size=count, max_size=count, unique=True))
    return [
        {
            "priority": priority,
            "period_ns": (period := draw(st.integers(100, 2_000)) * US),
            "first_ns": draw(st.integers(1, 4 * MS)),
            "work_ns": draw(st.integers(1, period // 5)),
            "slack_ns": draw(st.sampled_from([0, 0, 50 * US])),
            "catch_up": draw(st.booleans()),
        }
        for priority in priorities
    ]


@st.composite
def cpus(draw: st.DrawFn) -> dict[str, Any]:
    """Draw what one CPU has: FIFO tasks, what they preempt, and what interrupts them."""
    noise = st.fixed_dictionaries({"interval": drawn_range(20 * US, MS), "duration": drawn_range(0, 20 * US)})
    kthread = st.fixed_dictionaries({"interval": drawn_range(50 * US, MS), "duration": drawn_range(1, 300 * US)})
    return {
        "fifo": draw(fifo_tasks()),
        "hog": draw(st.sampled_from([None, "user", "kernel"])),
        "kthread": draw(st.none() | kthread),
        "noise": [draw(st.none() | noise) for _ in NOISES],
        "ksoftirqd": draw(st.booleans()),
        "nohz_full": draw(st.booleans()),
    }


@st.composite
def fifo_machines(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a kernel's rules and costs, and one or two CPUs."""
    return {
        "seed": draw(st.integers(0, 2**31)),
        "preempt": draw(st.integers(es.PREEMPT_NONE, es.PREEMPT_RT)),
        "rules": {
            name: draw(st.integers(0, 1)) for name in ("fair", "timer_migration", "softirq_defers", "idle_polls")
        },
        "costs": {name: draw(st.one_of(st.just(0), st.integers(1, 8 * US))) for name in COSTS},
        "section_ns": draw(st.integers(0, 40 * US)),
        "cpus": draw(st.lists(cpus(), min_size=1, max_size=2)),
    }


def uniform(b: Builder, ends: list[int]) -> int:
    low, high = sorted(ends)
    return b.table([low + (high - low) * i // 2048 for i in range(2049)])


def add_cpu_load(b: Builder, cpu: int, spec: dict[str, Any]) -> list[int]:
    """Add the tasks and noise of a CPU; return its FIFO tasks."""
    rows = [
        b.periodic(
            f"fifo{cpu}.{number}", 0, [cpu], es.FIFO, task["priority"], period_ns=task["period_ns"],
            first_ns=task["first_ns"], work=b.constant(task["work_ns"]), slack_ns=task["slack_ns"],
            catch_up=task["catch_up"],
        )
        for number, task in enumerate(spec["fifo"])
    ]  # fmt: skip
    if spec["hog"]:
        b.hog(f"hog{cpu}", 0, [cpu], es.OTHER, 0, kthread=int(spec["hog"] == "kernel"))
    if spec["ksoftirqd"]:
        b.softirq_thread(f"ksoftirqd{cpu}", cpu, "ksoftirqd", es.OTHER, 0, vectors=range(es.VECTORS))
    if spec["kthread"]:
        server = b.server(f"kthread{cpu}", 0, [cpu], es.OTHER, 0, kthread=1)
        add_source(b, f"work{cpu}", es.NOISE_THREAD, spec["kthread"], task=server)
    for kind, noise in zip(NOISES, spec["noise"], strict=True):
        if noise:
            add_source(b, f"noise{cpu}.{kind}", kind, noise, cpu=cpu)
    return rows


def add_source(b: Builder, name: str, kind: int, spec: dict[str, Any], **target: int) -> None:
    duration, interval = uniform(b, spec["duration"]), uniform(b, spec["interval"])
    b.source(name, kind, duration=duration, interval=interval, **target)


def build(spec: dict[str, Any]) -> tuple[State, Any]:
    """Lay out a drawn machine; its FIFO tasks are observed."""
    realtime = spec["preempt"] == es.PREEMPT_RT
    b = machine(
        len(spec["cpus"]), seed=spec["seed"], preempt=spec["preempt"], force_irqthreads=int(realtime),
        preempt_off=spec["section_ns"], **spec["rules"], **spec["costs"],
    )  # fmt: skip
    rows = []
    for cpu, load in enumerate(spec["cpus"]):
        b.cpus[cpu]["nohz_full"] = int(load["nohz_full"] and cpu > 0)  # the boot CPU does the housekeeping
        rows += add_cpu_load(b, cpu, load)
    return b.build(rows)


def check(state: State, names: Any, until_ns: int) -> dict[str, Bound]:
    """Run the machine, hold every task against its bounds and return them."""
    run_until(state, until_ns)
    bounds = bounds_of(state, names)
    for watch, task in enumerate(names.watched):
        bound = bounds.get(names.tasks[task])
        if bound is None:
            continue
        for limit, which in ((bound.rtsl_ns, es.H_LATENCY), (bound.rta_ns, es.H_RESPONSE)):
            most = int(state.watches[watch]["most"][which])
            assert limit is None or most <= limit, (names.tasks[task], es.HISTOGRAMS[which], most, bound)
    return bounds


CASES = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}


@settings(max_examples=150, **CASES)  # type: ignore[arg-type]
@given(spec=fifo_machines())
def test_no_latency_of_a_fifo_task_exceeds_its_bound(spec: dict[str, Any]) -> None:
    check(*build(spec), UNTIL_NS)


@pytest.mark.slow
@settings(max_examples=10_000, **CASES)  # type: ignore[arg-type]
@given(spec=fifo_machines())
def test_no_latency_exceeds_its_bound_on_ten_thousand_machines(spec: dict[str, Any]) -> None:
    check(*build(spec), UNTIL_NS)


@settings(max_examples=60, **CASES)  # type: ignore[arg-type]
@given(spec=other.machines())
def test_bounds_hold_with_guests_locks_and_noise_of_every_class(spec: dict[str, Any]) -> None:
    check(*other.build(spec, trace_length=1 << 10), spec["until"])


@pytest.mark.slow
@settings(max_examples=5_000, **CASES)  # type: ignore[arg-type]
@given(spec=other.machines())
def test_bounds_hold_on_five_thousand_machines_with_guests(spec: dict[str, Any]) -> None:
    check(*other.build(spec, trace_length=1 << 10), spec["until"])


def test_the_bounds_say_something() -> None:
    load = {
        "fifo": [{"priority": 80, "period_ns": MS, "first_ns": MS, "work_ns": US, "slack_ns": 0, "catch_up": True}],
        "hog": "kernel", "kthread": None, "ksoftirqd": False, "nohz_full": False,
        "noise": [{"interval": [100 * US, 500 * US], "duration": [US, 5 * US]}, None, None, None],
    }  # fmt: skip
    state, names = build(
        {
            "seed": 1, "preempt": es.PREEMPT_FULL, "rules": {}, "costs": {"context_switch": 2 * US, "irq_entry": 500},
            "section_ns": 20 * US, "cpus": [load],
        }
    )  # fmt: skip
    bound = check(state, names, 100 * MS)["fifo0.0"]
    most = int(state.watches[0]["most"][es.H_LATENCY])
    assert bound.rtsl_ns is not None
    assert most <= bound.rtsl_ns <= 1.5 * most
