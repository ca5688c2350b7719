"""One model, two clocks, compiled or interpreted: the same events, for any machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from typing import Any

import pytest
import simpy
from hypothesis import HealthCheck, given, settings

from rtsim.engine.clock import run_until
from rtsim.engine.simpy_clock import SimpyHost
from tests.engine.machines import build, machines
from tests.engine.runs import digest

EXAMPLES = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


class Interpreter:
    """The engine without Numba's compiler, in a process of its own (the switch is read at import)."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.engine.interpreted_worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        )  # fmt: skip

    def digest(self, spec: dict[str, Any]) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(spec) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


@pytest.fixture(scope="module")
def interpreter() -> Iterator[Interpreter]:
    worker = Interpreter()
    yield worker
    worker.close()


def compiled(spec: dict[str, Any]) -> str:
    state, _ = build(spec)
    run_until(state, spec["until"])
    return digest(state)


def onlooker(host: SimpyHost) -> Generator[simpy.Event, Any, None]:
    """Look at the model every 137 us and wait for samples, and change nothing."""
    for name, task in zip(host.names.tasks, host.state.tasks, strict=True):
        if task["watch"] >= 0:
            host.latency(name)
    while True:
        yield host.env.timeout(137_000)
        assert host.state.m[0]["now"] <= host.env.now


def with_simpy(spec: dict[str, Any]) -> str:
    env = simpy.Environment(initial_time=0)
    state, names = build(spec)
    host = SimpyHost(env, state, names)
    env.process(onlooker(host))
    env.run(until=spec["until"] + 1)
    host.finish(spec["until"])
    return digest(state)


@EXAMPLES
@given(spec=machines())
def test_the_simpy_clock_gives_the_compiled_clocks_trace(spec: dict[str, Any]) -> None:
    assert with_simpy(spec) == compiled(spec)


@EXAMPLES
@given(spec=machines())
def test_interpreted_handlers_give_the_compiled_ones_trace(spec: dict[str, Any], interpreter: Interpreter) -> None:
    assert interpreter.digest(spec) == compiled(spec)


@EXAMPLES
@given(spec=machines())
def test_every_nanosecond_is_accounted_and_causes_sum_to_latencies(spec: dict[str, Any]) -> None:
    state, _ = build(spec)
    run_until(state, spec["until"])
    for cpu in state.cpus[: spec["cpus"]]:
        buckets = sum(int(cpu[name]) for name in ("task_ns", "irq_ns", "softirq_ns", "hardware_ns", "idle_ns"))
        assert buckets == spec["until"]
    on_cpus = sum(int(cpu["task_ns"]) for cpu in state.cpus)
    assert on_cpus == sum(int(task["cpu_ns"]) for task in state.tasks)
    assert state.m[0]["broken_causes"] == 0
    for watch, totals in zip(state.watches, state.cause_totals, strict=True):
        assert int(watch["total"][0]) == int(totals.sum())
