"""What is observed: buckets as `rtsim.measure` reads them, and each cause by a machine where nothing else delays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from rtsim.engine import constants as es
from rtsim.engine import samples
from rtsim.engine.builder import Builder
from rtsim.engine.clock import run_until
from rtsim.engine.state import State
from rtsim.measure import histogram
from rtsim.profile.distributions import Exponential, Lognormal
from tests.engine.called import called
from tests.engine.machines import build, machines
from tests.engine.small import MS, US, add_kernel, interrupt_at, job_at, machine, run


def test_buckets_are_those_of_the_histogram() -> None:
    bucket_index = called(samples.bucket_index)
    edges = [2**n + d for n in range(47) for d in (-1, 0, 1)]
    spread = np.random.default_rng(1).integers(0, 2**47, 2_000) >> np.random.default_rng(2).integers(0, 47, 2_000)
    values = np.array([v for v in edges if 0 <= v < 2**47] + [2**47 - 1, *range(2_100), *spread])
    assert [int(bucket_index(int(v))) for v in values] == histogram.bucket_index(values).tolist()


def cyclictest(b: Builder, policy: int = es.FIFO, slack: int = 0, priority: int = 80) -> int:
    """A task released at 1 ms, 2 ms, ... that then computes for a microsecond."""
    return b.periodic(
        "cyclictest", 0, [0], policy, priority, period_ns=MS, first_ns=MS, work=b.constant(US), slack_ns=slack
    )


def one_sample(b: Builder, task: int) -> tuple[int, dict[str, int]]:
    done = run(b, MS + 900 * US, [task])
    (latency,) = done.samples("cyclictest")
    return latency, done.causes("cyclictest")


def test_nothing_delays_a_free_wake_up() -> None:
    b = machine()
    assert one_sample(b, cyclictest(b)) == (0, {})


def test_timer_slack() -> None:
    b = machine()
    assert one_sample(b, cyclictest(b, es.OTHER, slack=50 * US, priority=0)) == (50 * US, {"timer_slack": 50 * US})


def test_the_costs_of_a_wake_up_from_idle_add_up() -> None:
    b = machine(idle_exit=5_000, irq_entry=600, timer_irq=400, wake=1_000, context_switch=1_600, syscall_exit=200)
    assert one_sample(b, cyclictest(b)) == (8_800, {"idle_exit": 5_000, "irq": 2_000, "switch": 1_800})


def thread_in_the_way(b: Builder, priority: int) -> None:
    job_at(b, b.server("kthread", 0, [0], es.FIFO, priority, kthread=1), MS - 10 * US, 30 * US)


NOISES: dict[str, tuple[Callable[[Builder], None], dict[str, int]]] = {
    "device interrupt": (lambda b: interrupt_at(b, 0, MS - 10 * US, 30 * US), {"irq": 20 * US}),
    "softirq": (lambda b: interrupt_at(b, 0, MS - 10 * US, 30 * US, es.NOISE_SOFTIRQ), {"softirq": 20 * US}),
    "NMI": (lambda b: interrupt_at(b, 0, MS - 10 * US, 30 * US, es.NOISE_NMI), {"irq": 20 * US}),
    "SMI": (lambda b: interrupt_at(b, 0, MS - 10 * US, 30 * US, es.NOISE_HARDWARE), {"hardware": 20 * US}),
    "SMI on all": (lambda b: interrupt_at(b, es.NONE, MS - 10 * US, 30 * US, es.NOISE_HARDWARE), {"hardware": 20 * US}),
    "stronger thread": (lambda b: thread_in_the_way(b, 90), {"thread:kthread": 20 * US}),
    "equal thread": (lambda b: thread_in_the_way(b, 80), {"thread:kthread": 20 * US}),
    "weaker thread": (lambda b: thread_in_the_way(b, 70), {}),
}


@pytest.mark.parametrize("noise", NOISES)
def test_what_was_under_way_when_the_timer_expired_is_the_cause(noise: str) -> None:
    add, causes = NOISES[noise]
    b = machine()
    task = cyclictest(b)
    add(b)
    assert one_sample(b, task) == (sum(causes.values()), causes)


def test_what_comes_during_the_wait_is_a_cause_of_its_own() -> None:
    b = machine(context_switch=5_000)
    task = cyclictest(b)
    interrupt_at(b, 0, MS + 1 * US, 30 * US)  # waits for the switch, in which interrupts are off
    interrupt_at(b, 0, MS + 2 * US, 7 * US, es.NOISE_HARDWARE)  # does not
    latency, causes = one_sample(b, task)
    assert causes == {"switch": 5 * US, "hardware": 7 * US}
    assert latency == 12 * US  # the sample ends with the switch: the interrupt hits user space


def test_a_kernel_section_that_cannot_be_preempted() -> None:
    b = machine(preempt_off=15 * US)
    task = cyclictest(b)
    job_at(b, b.server("kthread", 0, [0], es.OTHER, 0, kthread=1), MS - 10 * US, 100 * US)
    assert one_sample(b, task) == (15 * US, {"preempt_off": 15 * US})


def test_a_section_ends_with_the_threads_work_at_the_latest() -> None:
    b = machine(preempt_off=15 * US)
    task = cyclictest(b)
    job_at(b, b.server("kthread", 0, [0], es.OTHER, 0, kthread=1), MS - 10 * US, 16 * US)
    assert one_sample(b, task) == (6 * US, {"preempt_off": 6 * US})


def test_user_code_is_preempted_at_once_whatever_kernel_sections_take() -> None:
    b = machine(preempt_off=15 * US)
    task = cyclictest(b)
    b.hog("hog", 0, [0], es.OTHER, 0)
    assert one_sample(b, task) == (0, {})


def test_guest_causes_are_kept_apart_from_the_hosts() -> None:
    b = machine(idle_exit=5_000, context_switch=1_000, vm_entry=700)
    vcpu = b.vcpu("vcpu0", 0, [0], es.FIFO, 1, lock=b.lock())
    guest = add_kernel(b, 1, context_switch=1_600, irq_entry=300)
    b.cpu("guest/cpu0", guest, carrier=vcpu)
    task = b.periodic("cyclictest", guest, [0], es.FIFO, 80, period_ns=MS, first_ns=MS, work=b.constant(US), slack_ns=0)
    latency, causes = one_sample(b, task)
    assert causes == {
        "idle_exit": 5_000, "switch": 1_000, "vm_entry": 700, "guest/irq": 300, "guest/switch": 1_600,
    }  # fmt: skip
    assert latency == sum(causes.values())


def noisy(observe_from_ns: int = 0) -> tuple[list[tuple[int, int]], State]:
    """Return (release, latency) of a second of a noisy cyclictest, and the state."""
    b = machine(seed=5, trace_length=1 << 17)
    task = cyclictest(b)
    b.source(
        "device", es.NOISE_IRQ, duration=b.table(Lognormal(20_000, 90_000).table()), cpu=0,
        interval=b.table(Exponential(70_000.0).table()),
    )  # fmt: skip
    done = run(b, 1_000 * MS, [task], observe_from_ns)
    return [(row[0] - row[4], row[4]) for row in done.records(es.TR_SAMPLE)], done.state


def test_histogram_sums_and_extremes_are_those_of_the_samples() -> None:
    samples, state = noisy()
    latencies = np.array([latency for _, latency in samples])
    watch = state.watches[0]
    assert (int(watch["count"][0]), int(watch["total"][0])) == (len(latencies), int(latencies.sum()))
    assert (int(watch["least"][0]), int(watch["most"][0])) == (int(latencies.min()), int(latencies.max()))
    counts = np.bincount(histogram.bucket_index(latencies), minlength=histogram.BUCKETS)
    assert (state.histograms[0, 0] == counts).all()


def test_the_ten_worst_samples_are_kept_with_their_causes() -> None:
    samples, state = noisy()
    kept = sorted(((int(row["release"]), int(row["latency"])) for row in state.worst), key=lambda sample: -sample[1])
    assert [latency for _, latency in kept] == sorted((latency for _, latency in samples), reverse=True)[:10]
    assert set(kept) <= set(samples)
    assert [int(total) for total in state.worst_causes.sum(axis=1)] == [int(row["latency"]) for row in state.worst]
    for row in state.worst:
        window = row["window"][: 5 * int(row["trace_count"])].reshape(-1, 5)
        assert window[0, 0] < int(row["release"]) <= window[-1, 0] <= int(row["release"]) + int(row["latency"])


def test_warm_up_is_simulated_and_not_counted() -> None:
    everything, _ = noisy()
    same, state = noisy(observe_from_ns=500 * MS)
    assert same == everything
    counted = [latency for release, latency in everything if release >= 500 * MS]
    assert (int(state.watches[0]["count"][0]), int(state.watches[0]["total"][0])) == (len(counted), sum(counted))
    assert int(state.cause_totals.sum()) == sum(counted)
    assert all(int(row["release"]) >= 500 * MS for row in state.worst)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(machines())
def test_nothing_is_throttled_where_nothing_can_be(spec: dict[str, Any]) -> None:
    state, names = build(spec)
    run_until(state, spec["until"])
    totals = dict(zip(names.causes(), state.cause_totals.sum(axis=0), strict=True))
    assert {cause: int(totals[cause]) for cause in ("throttled", "guest/throttled")} == {
        "throttled": 0,
        "guest/throttled": 0,
    }
