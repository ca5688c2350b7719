"""The SimPy clock: what people's own processes may do to a host, and when it happens."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
import simpy

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder
from rtsim.engine.clock import run_until
from rtsim.engine.simpy_clock import SimpyHost
from rtsim.engine.trace import recorded
from tests.engine.runs import digest
from tests.engine.small import MS, US, Run, interrupt_at, job_at, machine

Process = Generator[simpy.Event, Any, None]


def host(env: simpy.Environment, b: Builder, watched: tuple[int, ...] = ()) -> SimpyHost:
    return SimpyHost(env, *b.build(watched))


def seen(h: SimpyHost) -> Run:
    return Run(h.state, h.names)


def run(env: simpy.Environment, until_ns: int, *hosts: SimpyHost) -> None:
    env.run(until=until_ns + 1)
    for h in hosts:
        h.finish(until_ns)


def server() -> tuple[Builder, int]:
    b = machine(context_switch=1_000, irq_entry=300, idle_exit=2_000)
    return b, b.server("thread", 0, [0], es.FIFO, 50)


def cyclictest(b: Builder, period_ns: int = MS) -> int:
    return b.periodic(
        "cyclictest", 0, [0], es.FIFO, 80, period_ns=period_ns, first_ns=period_ns, work=b.constant(US), slack_ns=0
    )


def test_a_job_given_by_a_process_equals_one_of_the_models_own() -> None:
    env = simpy.Environment(initial_time=0)
    b, task = server()
    h = host(env, b, (task,))

    def give() -> Process:
        yield env.timeout(5 * MS)
        yield h.job("thread", 40 * US)

    env.process(give())
    run(env, 10 * MS, h)
    b, task = server()
    job_at(b, task, 5 * MS, 40 * US)
    expected = Run(*b.build([task]))
    run_until(expected.state, 10 * MS)
    own = [row for row in expected.records() if row[1] != es.TR_NOISE]
    assert seen(h).records() == own
    assert seen(h).samples("thread") == [2_000 + 300 + 1_000]


def test_an_interrupt_raised_by_a_process_equals_one_of_the_models_own() -> None:
    env = simpy.Environment(initial_time=0)
    b = machine()
    h = host(env, b, (cyclictest(b),))

    def raise_irq() -> Process:
        yield env.timeout(3 * MS - 10 * US)
        yield h.irq(0, 30 * US)

    env.process(raise_irq())
    run(env, 4 * MS + 500 * US, h)
    assert seen(h).samples("cyclictest") == [0, 0, 20 * US, 0]
    assert seen(h).causes("cyclictest") == {"irq": 20 * US}
    assert int(h.state.cpus[0]["irq_ns"]) == 30 * US


def test_waking_a_task_ends_its_sleep_early() -> None:
    env = simpy.Environment(initial_time=0)
    b = machine()
    b.periodic("task", 0, [0], es.FIFO, 80, period_ns=10 * MS, first_ns=10 * MS, work=b.constant(US), slack_ns=0)
    h = host(env, b)

    def wake() -> Process:
        yield env.timeout(3 * MS)
        yield h.wake("task")

    env.process(wake())
    run(env, 4 * MS, h)
    assert seen(h).times(es.TR_WAKING, "task") == [3 * MS]


def test_waking_a_runnable_task_changes_nothing() -> None:
    env = simpy.Environment(initial_time=0)
    b = machine()
    b.hog("hog", 0, [0], es.OTHER, 0)
    h = host(env, b)

    def wake() -> Process:
        yield env.timeout(3 * MS)
        yield h.wake("hog")

    env.process(wake())
    run(env, 10 * MS, h)
    b = machine()
    b.hog("hog", 0, [0], es.OTHER, 0)
    untouched = host(simpy.Environment(initial_time=0), b)
    untouched.finish(10 * MS)
    assert digest(h.state) == digest(untouched.state)


def test_actions_at_an_instant_come_after_the_models_events_of_that_instant() -> None:
    """Whichever was made first, process or host, and whatever the model does at that time."""
    for process_first in (False, True):
        env = simpy.Environment(initial_time=0)
        b = machine()
        b.server("thread", 0, [0], es.FIFO, 50)
        interrupt_at(b, 0, 5 * MS, 0)
        cyclictest(b, 5 * MS)
        hosts: list[SimpyHost] = []

        def give(env: simpy.Environment = env, hosts: list[SimpyHost] = hosts) -> Process:
            yield env.timeout(5 * MS)
            kinds = [int(row["kind"]) for row in recorded(hosts[0].state) if row["time"] == 5 * MS]
            assert es.TR_NOISE in kinds
            assert es.TR_SWITCH in kinds
            yield hosts[0].job("thread", 40 * US)

        if process_first:
            env.process(give())
        hosts.append(host(env, b))
        if not process_first:
            env.process(give())
        run(env, 6 * MS, hosts[0])
        assert seen(hosts[0]).switches(after_ns=0) == [
            (5 * MS, "cyclictest"), (5 * MS + US, "thread"), (5 * MS + 41 * US, "idle"),
        ]  # fmt: skip


def test_that_order_holds_at_the_hosts_first_instant_too() -> None:
    env = simpy.Environment(initial_time=0)
    b = machine()
    b.server("thread", 0, [0], es.FIFO, 50)
    interrupt_at(b, 0, 0, 7 * US)
    hosts: list[SimpyHost] = []

    def give() -> Process:
        yield hosts[0].job("thread", 40 * US)

    env.process(give())
    hosts.append(host(env, b))
    run(env, MS, hosts[0])
    assert seen(hosts[0]).times(es.TR_WAKING) == [7 * US]


def test_several_actions_at_one_instant_all_happen_in_order() -> None:
    env = simpy.Environment(initial_time=0)
    b = machine()
    for name in ("first", "second", "third"):
        b.server(name, 0, [0], es.FIFO, 50)
    h = host(env, b)

    def give(name: str) -> Process:
        yield env.timeout(MS)
        h.job(name, 10 * US)
        yield h.job(name, 10 * US)

    for name in ("second", "first", "third"):
        env.process(give(name))
    run(env, 2 * MS, h)
    assert seen(h).switches() == [
        (1_000_000, "second"), (1_020_000, "first"), (1_040_000, "third"), (1_060_000, "idle"),
    ]  # fmt: skip


def test_latency_is_the_next_sample_and_happens_when_it_ends() -> None:
    env = simpy.Environment(initial_time=0)
    b = machine(idle_exit=2_000, context_switch=1_000)
    task = cyclictest(b)
    h = host(env, b, (task,))
    got: list[tuple[float, int]] = []

    def watch() -> Process:
        for _ in range(2):
            latency = yield h.latency("cyclictest")
            got.append((env.now, latency))
        yield env.timeout(MS)  # one sample passes unseen
        latency = yield h.latency("cyclictest")
        got.append((env.now, latency))

    env.process(watch())
    run(env, 10 * MS, h)
    assert got == [(n * MS + 3_000, 3_000) for n in (1, 2, 4)]


def test_a_controller_couples_two_hosts_in_one_environment() -> None:
    """Each sample on one host is a packet for the other, 70 us later."""
    env = simpy.Environment(initial_time=0)
    b = machine()
    task = b.periodic("sender", 0, [0], es.FIFO, 80, period_ns=MS, first_ns=MS, work=b.constant(US), slack_ns=0)
    left = host(env, b, (task,))
    b = machine(idle_exit=5_000)
    task = b.server("receiver", 0, [0], es.FIFO, 50)
    right = host(env, b, (task,))

    def cable() -> Process:
        while True:
            yield left.latency("sender")
            yield env.timeout(70 * US)
            yield right.job("receiver", 20 * US)

    env.process(cable())
    run(env, 5 * MS + 500 * US, left, right)
    assert seen(left).samples("sender") == [0] * 5
    assert seen(right).times(es.TR_SAMPLE, "receiver") == [n * MS + 75 * US for n in range(1, 6)]
    assert all(int(cpu["since"]) == 5 * MS + 500 * US for h in (left, right) for cpu in h.state.cpus)


def test_a_host_may_begin_later_and_counts_its_own_time() -> None:
    env = simpy.Environment(initial_time=0)
    hosts: list[SimpyHost] = []

    def later() -> Process:
        yield env.timeout(3 * MS)
        b = machine()
        task = cyclictest(b)
        hosts.append(host(env, b, (task,)))
        latency = yield hosts[0].latency("cyclictest")
        assert (latency, env.now, hosts[0].now_ns) == (0, 4 * MS, MS)
        yield hosts[0].irq(0, 30 * US)

    env.process(later())
    env.run(until=10 * MS)
    assert seen(hosts[0]).times(es.TR_IRQ)[1] == MS


def test_names_that_do_not_exist_are_refused_with_those_that_do() -> None:
    env = simpy.Environment(initial_time=0)
    b, _ = server()
    h = host(env, b)
    with pytest.raises(KeyError, match="no task 'thraed'; there are thread"):
        h.wake("thraed")
    with pytest.raises(KeyError, match="'thread' is not observed"):
        h.latency("thread")
