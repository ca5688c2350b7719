"""The engine against queueing theory: FIFO servers on one CPU are an M/G/1 queue with preemptive-resume priorities.

Each class is a thread at a FIFO priority of its own, fed by a Poisson source of jobs; nothing costs anything but the
jobs. Classes are numbered from the strongest. With arrival rates l_i, loads r_i = l_i E[S_i] and s_k = r_1 + ... + r_k
(Kleinrock, Queueing Systems II; Gross and Harris):

* mean delay to first service  W_k = sum_{i<=k} l_i E[S_i^2] / 2 / ((1 - s_{k-1}) (1 - s_k))
* mean response                T_k = W_k + E[S_k] / (1 - s_{k-1})

Moments are those of the quantile tables drawn from, so that theory and simulation have the very same distributions.

**What "within the interval" means.** A run's responses depend on each other, so each configuration is simulated 20
times with different seeds. A run begins empty and ends at the first look after its time at which the CPU is idle: it
consists of whole busy periods, and by Wald's identity the sum of its responses less T_k for each has mean 0 exactly,
without warm-up and without jobs cut off at the end. The interval is Student's t over the 20 sums. A configuration is
*right* if the theory lies in the intervals of all its classes and both measures at once; each of those m intervals has
a confidence of 1 - 0.01 / m (Bonferroni), so that a right engine is right on at least 99 % of configurations, and on 95
of 100 all but surely (99.7 %). Intervals that wide forgive a small bias: so the relative errors of all configurations
are pooled too, which shows a bias of half a percent in 100 of them. The strongest class is checked exactly besides: its
path is Lindley's recursion on its own arrivals and jobs, nanosecond for nanosecond, whatever the classes below do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder
from rtsim.engine.clock import run_until
from rtsim.engine.random import draw_int, stream
from rtsim.engine.state import State
from rtsim.profile.distributions import Constant, Distribution, Exponential, Gamma, Lognormal, Mixture, Uniform
from rtsim.profile.tables import sample
from tests.engine.small import US, machine

Floats = npt.NDArray[np.float64]

REPLICATIONS = 20
JOBS = 4_000
"""Jobs of the rarest class in one replication, on average."""
LOOK_NS = 50 * US
"""How often a run looks whether it may end."""
MEASURES = ((es.H_LATENCY, "delay"), (es.H_RESPONSE, "response"))


@dataclass(frozen=True)
class Class:
    """One class of jobs."""

    interval: Distribution
    service: Distribution

    @property
    def rate(self) -> float:
        return 1 / self.interval.mean_ns

    @property
    def load(self) -> float:
        return self.rate * self.service.mean_ns


def theory(classes: Sequence[Class]) -> Floats:
    """Return mean delay and mean response of each class, ns; shape (classes, 2)."""
    rows = []
    for k, this in enumerate(classes):
        residual = math.fsum(c.rate * c.service.second_moment_ns2 / 2 for c in classes[: k + 1])
        above = math.fsum(c.load for c in classes[:k])
        delay = residual / ((1 - above) * (1 - above - this.load))
        rows.append((delay, delay + this.service.mean_ns / (1 - above)))
    return np.array(rows)


def build(classes: Sequence[Class], seed: int) -> State:
    b = machine(seed=seed)
    tasks = []
    for k, this in enumerate(classes):
        tasks.append(b.server(f"class{k}", 0, [0], es.FIFO, 90 - k))
        b.source(
            f"jobs{k}", es.NOISE_THREAD, task=tasks[k], interval=b.table(this.interval.table()),
            duration=b.table(this.service.table()),
        )  # fmt: skip
    state, _ = b.build(tasks)
    until = round(JOBS * max(this.interval.mean_ns for this in classes))
    run_until(state, until)
    while int(state.cpus[0]["curr"]) >= 0:
        until += LOOK_NS
        run_until(state, until)
    assert int(state.m[0]["lost_jobs"]) == 0
    assert int(state.m[0]["broken_causes"]) == 0
    return state


def simulated(classes: Sequence[Class], seed: int) -> tuple[Floats, Floats]:
    """Return sums (ns) and counts of delays and responses of each class in one replication; shape (classes, 2)."""
    watches = build(classes, seed).watches
    columns = [which for which, _ in MEASURES]
    return watches["total"][:, columns].astype(float), watches["count"][:, columns].astype(float)


def configuration(number: int) -> list[Class]:
    """Draw configuration `number`: 2 to 4 classes, 0.3 to 0.8 of the CPU in all."""
    rng = np.random.default_rng([20, number])
    count = int(rng.integers(2, 5))
    loads = rng.dirichlet(np.full(count, 3.0)) * rng.uniform(0.3, 0.8)
    classes = []
    for load in loads:
        service = service_time(rng, float(rng.uniform(20, 80)) * US)
        classes.append(Class(Exponential(service.mean_ns / float(load)), service))
    return classes


def service_time(rng: np.random.Generator, scale: float) -> Distribution:
    ns = round(scale)
    choices: list[Distribution] = [
        Constant(ns),
        Uniform(ns // 10, 2 * ns),
        Exponential(scale),
        Lognormal(ns, round(ns * rng.uniform(2, 8))),
        Gamma(ns, float(rng.uniform(0.3, 1.5))),
        Mixture(((0.9, Constant(ns // 2)), (0.1, Exponential(3 * scale)))),
    ]
    return choices[int(rng.integers(len(choices)))]


def excess(number: int) -> tuple[Floats, Floats]:
    """Return how far a configuration is above theory, relative, and the standard error; shapes (classes, 2)."""
    classes = configuration(number)
    expected = theory(classes)
    runs = [simulated(classes, 1_000 * number + r) for r in range(REPLICATIONS)]
    differences = np.array([(total - count * expected) for total, count in runs])
    scale = np.mean([count for _, count in runs], axis=0) * expected
    error = differences.std(axis=0, ddof=1) / math.sqrt(REPLICATIONS)
    return differences.mean(axis=0) / scale, error / scale


def check(numbers: range, least_right: int) -> None:
    found = [excess(number) for number in numbers]
    limits = [stats.t.ppf(1 - 0.01 / (2 * error.size), REPLICATIONS - 1) for _, error in found]
    inside = [bool((np.abs(mean) <= limit * error).all()) for (mean, error), limit in zip(found, limits, strict=True)]
    wrong = [number for number, right in zip(numbers, inside, strict=True) if not right]
    assert len(numbers) - len(wrong) >= least_right, f"configurations outside their intervals: {wrong}"
    # the weakest class of each alone: values within a configuration depend on each other
    bias = math.fsum(mean[-1, 1] for mean, _ in found)
    spread = math.sqrt(math.fsum(error[-1, 1] ** 2 for _, error in found))
    assert abs(bias) < 3.5 * spread, f"responses are {bias / len(found):+.2%} off on average"


def test_means_of_preemptive_priorities() -> None:
    check(range(20), least_right=19)


@pytest.mark.slow
def test_means_of_preemptive_priorities_in_95_of_100_configurations() -> None:
    check(range(100), least_right=95)


# ---- exact checks ---------------------------------------------------------------------------------------------------


def path(this: Class, seed: int, name: str, until_ns: int) -> tuple[list[int], list[int]]:
    """Return arrivals and durations of a source's jobs, drawn apart from the engine."""
    intervals, services = this.interval.table(), this.service.table()
    arrival, duration = stream(seed, name, "arrival"), stream(seed, name, "duration")
    arrivals: list[int] = []
    durations: list[int] = []
    time, n = 0, 0
    while True:
        n += 1
        time += sample(intervals, draw_int(*arrival, n))
        if time > until_ns:
            return arrivals, durations
        arrivals.append(time)
        durations.append(sample(services, draw_int(*duration, n)))


def lindley(arrivals: Sequence[int], durations: Sequence[int]) -> list[int]:
    """Return each job's delay: W' = max(0, W + S - A), A to the next arrival."""
    delays = [0]
    for before, after, service in zip(arrivals, arrivals[1:], durations, strict=False):
        delays.append(max(0, delays[-1] + service - (after - before)))
    return delays


@pytest.mark.parametrize("number", range(5))
def test_the_strongest_class_is_lindleys_recursion_to_the_nanosecond(number: int) -> None:
    classes = configuration(number)
    state = build(classes, seed=number)
    arrivals, durations = path(classes[0], number, "jobs0", int(state.m[0]["now"]))
    delays = lindley(arrivals, durations)
    responses = [delay + service for delay, service in zip(delays, durations, strict=True)]
    watch = state.watches[0]
    assert [int(watch["count"][which]) for which, _ in MEASURES] == [len(delays), len(responses)]
    assert [int(watch["total"][which]) for which, _ in MEASURES] == [sum(delays), sum(responses)]
    assert int(watch["most"][es.H_RESPONSE]) == max(responses)


def test_the_cpu_is_never_idle_while_there_is_work() -> None:
    """Work conservation: the CPU's busy time is that of one queue with every class's jobs in order of arrival."""
    classes = configuration(3)
    state = build(classes, seed=3)
    until = int(state.m[0]["now"])
    jobs: list[tuple[int, int]] = []
    for k, this in enumerate(classes):
        jobs += zip(*path(this, 3, f"jobs{k}", until), strict=True)
    jobs.sort()
    free, busy = 0, 0
    for arrival, duration in jobs:
        begin = max(free, arrival)
        free = begin + duration
        busy += max(0, min(free, until) - begin)
    assert int(state.cpus[0]["task_ns"]) == busy


def test_deterministic_arrivals_and_service_never_wait() -> None:
    b: Builder = machine()
    task = b.server("server", 0, [0], es.FIFO, 50)
    b.source("jobs", es.NOISE_THREAD, task=task, duration=b.constant(99 * US), period_ns=100 * US, phase_ns=7 * US)
    state, _ = b.build([task])
    run_until(state, 1_000_000 * US)
    watch = state.watches[0]
    assert (int(watch["most"][es.H_LATENCY]), int(watch["least"][es.H_RESPONSE])) == (0, 99 * US)
    assert int(watch["most"][es.H_RESPONSE]) == 99 * US
