"""The profile kernel-lab is what the recordings' scenarios with an idle CPU measured, step by step."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from statistics import mean

import pytest

from rtsim.profile import load_profile
from rtsim.validation.replay import decisions
from tests.validation.recordings import ONE_CPU, recording

COSTS = load_profile("kernel-lab").costs
EVENT = re.compile(r" (\d+)\.(\d{6}): (\w+): (.*)")
CASES = [(name, "per1ms-fifo80-idle") for name in ONE_CPU]
CASES += [(name, "per1ms-other-idle") for name in ONE_CPU if name != "kernel-6.1-rt"]  # whose timers ktimers/3 expires
SLACK_NS = 50_000
TICK_NS = 4_000_000


def ns(*steps: str) -> int:
    return sum(getattr(COSTS, step).constant for step in steps)


def steps_us(name: str, case: str) -> dict[str, float]:
    """Return the mean time of each step of a wake-up: waking to interrupt exit, exit to switch."""
    found: dict[str, list[int]] = {"wake": [], "schedule": []}
    waking = left = None
    for line in recording(name).cases[case].repetitions[0].trace_text().splitlines():
        event = EVENT.search(line)
        if event is None:
            continue
        time_us = int(event[1]) * 1_000_000 + int(event[2])
        if event[3] == "sched_waking" and "comm=per " in event[4]:
            waking = time_us
        elif event[3] == "local_timer_exit" and waking is not None:
            found["wake"].append(time_us - waking)
            waking, left = None, time_us
        elif event[3] == "sched_switch" and left is not None:
            found["schedule"].append(time_us - left)
            left = None
    assert len(found["schedule"]) > 3900
    return {step: mean(times) for step, times in found.items()}


def test_steps_are_the_means_over_the_kernels() -> None:
    measured = [steps_us(name, case) for name, case in CASES]
    for step in ("wake", "schedule"):
        assert ns(step) / 1000 == pytest.approx(mean(each[step] for each in measured), abs=0.1)


@pytest.mark.parametrize(("name", "case"), CASES)
def test_the_steps_add_up_to_the_measured_latency(name: str, case: str) -> None:
    (repetition,) = recording(name).cases[case].repetitions
    measured_ns = repetition.tasks["per"]["wake_latency_ns"]["p50"] - (SLACK_NS if "other" in case else 0)
    path = ("irq_entry", "timer_irq", "wake", "schedule", "context_switch", "syscall_exit")
    assert ns(*path) + COSTS.idle_exit["C1"].constant == pytest.approx(measured_ns, abs=1_000)


@pytest.mark.parametrize("name", ONE_CPU)
def test_the_way_out_adds_up_too(name: str) -> None:
    """A period without work is charged what lies between the beginnings of the two switches, and schedule() twice."""
    (repetition,) = recording(name).cases["per1ms-fifo80-idle"].repetitions
    per = repetition.tasks["per"]
    charged_ns = ns("schedule", "context_switch", "syscall_exit", "hrtimer_program", "schedule")
    assert charged_ns == pytest.approx(per["cputime_ns"] / per["loops"], abs=1_700)


def test_rtwl_overshoots_by_its_activation_and_up_to_a_poll() -> None:
    costs = load_profile("kernel-lab").workload
    assert costs.activation is not None
    assert costs.activation.uniform is not None
    assert costs.clock_poll is not None
    for name in ONE_CPU[:2]:
        rows = recording(name).cases["per1ms-fifo80-hog3"].repetitions[0].rows("per.lat")
        beyond = sorted(response - latency - 100_000 for _, latency, response in rows)
        low, high = beyond[len(beyond) // 1000], beyond[-len(beyond) // 10]
        assert low == pytest.approx(costs.activation.uniform.min, abs=500)
        assert high - low == pytest.approx(costs.clock_poll.constant, abs=500)


@pytest.mark.parametrize("case", ["share-2hog", "share-4hog", "share-nice-10+0+10"])
def test_a_busy_cpu_balances_at_the_profiles_period(case: str) -> None:
    """As ksoftirqd/3 of the realtime kernel shows, which runs the softirq there."""
    (source,) = (source for source in load_profile("kernel-lab").noise if source.name == "sched-balance")
    found = decisions(recording("kernel-6.1-rt").cases[case].repetitions[0].trace_text(), 3)
    woken = [d.time_ns for d in found if d.kind == "wakeup" and d.thread and d.thread.name == "ksoftirqd/3"]
    ticks = Counter(round((later - earlier) / TICK_NS) for earlier, later in pairwise(woken))
    assert ticks.total() > 50, "other softirqs wake it in between"
    assert ticks.most_common(1)[0][0] == source.arrival.interval().mean_ns / TICK_NS
