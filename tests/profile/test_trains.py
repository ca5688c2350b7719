"""Several activities of one name: their trains are found, and nothing else is taken for one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtsim.profile import load_profile
from rtsim.profile.calibration import calibrate
from rtsim.profile.calibration.sources import FoundSource, find_sources
from rtsim.profile.calibration.timeline import Occurrences, Source, Timeline
from rtsim.profile.calibration.trains import Train, find_trains
from rtsim.scenario import Scenario
from rtsim.scenario.ftrace import simulated_ftrace
from tests.profile.noisy import noisy_profile, scenario_of

DATA = Path(__file__).parents[2] / "data"
SECOND = 1_000_000_000
MS = 1_000_000


def train(rng, length, period, phase, jitter=20_000, missing=0.0):
    """Return arrivals (ns) once a period, delayed by up to `jitter`, of which a part is missing."""
    turns = np.arange(phase, length, period)
    return (turns + rng.uniform(0, jitter, len(turns)))[rng.random(len(turns)) >= missing].astype(np.int64)


def poisson(rng, length, per_s):
    return np.sort(rng.uniform(0, length, rng.poisson(per_s * length / SECOND))).astype(np.int64)


def timeline_of(cpus, length, gaps=()):
    """Return a timeline of one interrupt; `cpus` has (arrivals, mean duration) of each activity on each CPU."""
    rng = np.random.default_rng(99)
    timeline = Timeline(resolution_ns=1, last_ns=int(length), gaps_ns=list(gaps))
    for cpu, activities in enumerate(cpus):
        timeline.first_ns[cpu] = 0
        seen = timeline.sources[Source("irq", "eth0", cpu)] = Occurrences()
        struck = [(begin, mean) for arrivals, mean in activities for begin in arrivals.tolist()]
        for begin, mean in sorted(struck):
            seen.add(begin, int(rng.uniform(0.9, 1.1) * mean), 0, cpu)
    return timeline


def found_in(cpus, length, gaps=()) -> dict[str, FoundSource]:
    return {each.name: each for each in find_sources([timeline_of(cpus, length, gaps)])}


def looks(source: FoundSource, period: float, mean: float) -> None:
    assert source.process.kind == "periodic"
    assert source.process.period_ns == pytest.approx(period, rel=1e-3)
    assert source.duration.mean_ns == pytest.approx(mean, rel=0.05)


# ---- found ---------------------------------------------------------------------------------------------------------


def test_two_jobs_of_one_kworker_become_two_sources():
    rng = np.random.default_rng(1)
    length = 60 * SECOND
    first, second = train(rng, length, SECOND, 0.3e9), train(rng, length, 2.048e9, 0.7e9)
    found = found_in([[(first, 8_000), (second, 30_000)]], length)
    assert set(found) == {"eth0-1s", "eth0-2.05s"}
    looks(found["eth0-1s"], SECOND, 8_000)
    looks(found["eth0-2.05s"], 2.048e9, 30_000)
    phase = found["eth0-2.05s"].entry("")["arrival"]["periodic"]["phase"]
    assert float(phase.removesuffix(" ns")) == pytest.approx(0.7e9, abs=20_000)


@pytest.mark.parametrize("jitter", [0.0, 0.05, 0.1, 0.15])
def test_a_jittered_train_and_a_slow_one_stand_out_from_poisson_arrivals(jitter):
    rng = np.random.default_rng(2)
    length = 20 * SECOND
    fast, slow = train(rng, length, 4 * MS, MS, jitter * 4 * MS), train(rng, length, 250 * MS, 17.1e6)
    found = found_in([[(fast, 5_000), (slow, 60_000), (poisson(rng, length, 60), 5_000)]], length)
    assert set(found) == {"eth0", "eth0-4ms", "eth0-250ms"}
    looks(found["eth0-4ms"], 4 * MS, 5_000)
    looks(found["eth0-250ms"], 250 * MS, 60_000)
    assert found["eth0"].process.kind == "poisson"
    assert found["eth0"].process.rate_hz == pytest.approx(60, rel=0.1)


def test_what_beats_too_seldom_to_spoil_a_period_is_found_too():
    """By itself, the first would leave the whole periodic."""
    rng = np.random.default_rng(3)
    length = 20 * SECOND
    fast, slow = train(rng, length, 4 * MS, MS, 0.2 * MS), train(rng, length, 250 * MS, 19.1e6)
    found = found_in([[(fast, 5_000), (slow, 60_000)]], length)
    assert set(found) == {"eth0-4ms", "eth0-250ms"}
    looks(found["eth0-250ms"], 250 * MS, 60_000)


def test_missing_and_delayed_arrivals_lose_no_train():
    rng = np.random.default_rng(4)
    length = 100 * SECOND
    first, second = train(rng, length, SECOND, 0.3e9, missing=0.1), train(rng, length, 0.7e9, 0.137e9, missing=0.1)
    late = rng.random(len(first)) < 0.1
    first = np.sort(first + np.where(late, rng.exponential(20 * MS, len(first)), 0).astype(np.int64))
    found = found_in([[(first, 5_000), (second, 20_000), (poisson(rng, length, 1), 5_000)]], length)
    assert set(found) == {"eth0", "eth0-700ms", "eth0-1s"}
    looks(found["eth0-1s"], SECOND, 5_000)
    looks(found["eth0-700ms"], 0.7e9, 20_000)


@pytest.mark.parametrize("jitter", [0, 20_000, 50 * MS])
def test_a_train_is_not_several_of_its_multiples(jitter):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        length = 100 * SECOND
        arrivals = np.sort(np.concatenate((train(rng, length, SECOND, 0.3e9, jitter, 0.1), poisson(rng, length, 2))))
        (only,) = find_trains([arrivals], length)
        assert only.period_ns == pytest.approx(SECOND, rel=1e-3)


def test_two_trains_of_one_period_keep_their_phases():
    rng = np.random.default_rng(5)
    length = 60 * SECOND
    parts = [(train(rng, length, SECOND, phase), mean) for phase, mean in ((0.3e9, 5_000), (0.7e9, 40_000))]
    found = found_in([parts, [(times + 10 * MS, mean) for times, mean in parts]], length)
    assert {(each.name, each.cpus) for each in found.values()} == {("eth0-1s", "per-cpu"), ("eth0-1s#2", "per-cpu")}
    looks(found["eth0-1s"], SECOND, 5_000)
    looks(found["eth0-1s#2"], SECOND, 40_000)


def test_trains_alike_on_all_cpus_are_one_source_and_others_are_not():
    rng = np.random.default_rng(6)
    length = 60 * SECOND
    cpus = [
        [(train(rng, length, SECOND, phase), 8_000), (poisson(rng, length, 5), 5_000)]
        for phase in (0.1e9, 0.35e9, 0.6e9)
    ]
    cpus[1].append((train(rng, length, 0.3e9, 0.2e9), 20_000))
    found = found_in(cpus, length)
    assert {(each.name, each.cpus) for each in found.values()} == {
        ("eth0", "per-cpu"), ("eth0-1s", "per-cpu"), ("eth0-300ms", "1"),
    }  # fmt: skip
    looks(found["eth0-1s"], SECOND, 8_000)
    looks(found["eth0-300ms"], 0.3e9, 20_000)


def test_lost_events_part_no_train():
    rng = np.random.default_rng(7)
    length = 90 * SECOND
    both = [(train(rng, length, SECOND, 0.3e9), 8_000), (train(rng, length, 0.45e9, 0.12e9), 30_000)]
    found = found_in([both], length, gaps=(31 * SECOND, 61 * SECOND, 62 * SECOND))
    looks(found["eth0-1s"], SECOND, 8_000)
    looks(found["eth0-450ms"], 0.45e9, 30_000)
    assert sum(each.duration.count for each in found.values()) == sum(len(times) for times, _ in both)


def test_a_hundred_thousand_arrivals_are_parted():
    rng = np.random.default_rng(8)
    length = 150 * SECOND
    parts = [train(rng, length, 3 * MS, MS), train(rng, length, 4 * MS, 2 * MS, 0.4 * MS), poisson(rng, length, 80)]
    trains = find_trains([np.sort(np.concatenate(parts))], length)
    assert [each.period_ns for each in trains] == pytest.approx([3 * MS, 4 * MS], rel=1e-3)
    assert [int(each.members[0].sum()) for each in trains] == pytest.approx([len(part) for part in parts[:2]], rel=0.01)


# ---- not found -----------------------------------------------------------------------------------------------------


def bursts(rng, count, size=4):
    starts = np.cumsum(rng.exponential(size * 1e7, count // size))
    return np.sort((starts[:, None] + 70_000 * np.arange(size)).ravel())


def on_ticks(rng, count, share=1 / 3):
    """Return arrivals at a part of all ticks, which are on few phases of any multiple of it."""
    ticks = np.flatnonzero(rng.random(round(count / share)) < share)
    return 4e6 * ticks + rng.exponential(5_000, len(ticks))


def scattered_bursts(rng, count, size=5):
    """Return bursts that come periodically, each of some arrivals anywhere in a tenth of the period."""
    starts = 1e8 * np.arange(count // size)
    return np.sort((starts[:, None] + rng.uniform(0, 1e7, (count // size, size))).ravel())


NO_TRAINS = {
    "poisson": lambda rng, count: np.cumsum(rng.exponential(1e7, count)),
    "bursts": bursts,
    "ticks": on_ticks,
    "scattered bursts": scattered_bursts,
    "regular": lambda rng, count: np.cumsum(rng.gamma(100, 1e5, count)),
    "gamma": lambda rng, count: np.cumsum(rng.gamma(4, 2.5e6, count)),
    "clustered": lambda rng, count: np.cumsum(rng.gamma(0.5, 2e7, count)),
    "lognormal": lambda rng, count: np.cumsum(rng.lognormal(np.log(1e7), 0.3, count)),
    "heavy": lambda rng, count: np.cumsum(rng.lognormal(np.log(1e7), 1.0, count)),
}


def trains_by_chance(kind: str, count: int, times: int) -> list[list[Train]]:
    """Return the trains found in arrivals that have none."""
    found = []
    for seed in range(times):
        arrivals = NO_TRAINS[kind](np.random.default_rng([seed, count]), count).astype(np.int64)
        found.append(find_trains([arrivals], int(arrivals[-1])))
    return [trains for trains in found if trains]


@pytest.mark.parametrize("kind", NO_TRAINS)
@pytest.mark.parametrize(("count", "times"), [(20, 40), (60, 20), (300, 4), (2000, 1)])
def test_nothing_else_is_taken_for_trains(kind, count, times):
    assert trains_by_chance(kind, count, times) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", NO_TRAINS)
@pytest.mark.parametrize(("count", "times"), [(20, 3000), (60, 1000), (300, 300), (5000, 30)])
def test_less_than_one_in_a_thousand_is_taken_for_trains(kind, count, times):
    assert len(trains_by_chance(kind, count, times)) <= times // 1000


@pytest.mark.parametrize("share", [0.6, 0.7, 0.75])
def test_most_ticks_have_no_trains_of_their_multiples(share):
    for seed in range(4):
        arrivals = on_ticks(np.random.default_rng([seed, 1000]), 1000, share).astype(np.int64)
        assert find_trains([arrivals], int(arrivals[-1])) == []


def test_the_criterion_is_what_keeps_chance_out(monkeypatch):
    """Without it, Poisson arrivals do have trains: the tests above can fail."""
    monkeypatch.setattr("rtsim.profile.calibration.trains.FALSE_TRAINS", 1e30)
    monkeypatch.setattr("rtsim.profile.calibration.trains.MOST_TWINS", 1000)
    assert len(trains_by_chance("poisson", 300, 2)) == 2


def test_a_period_that_lasts_for_a_part_of_the_time_is_no_train():
    """Its source would strike all the time."""
    rng = np.random.default_rng(9)
    arrivals = np.sort(np.concatenate((train(rng, SECOND, 8 * MS, MS), train(rng, SECOND, 20 * MS, 3 * MS))))
    assert len(find_trains([arrivals], SECOND)) == 2
    assert find_trains([arrivals], 10 * SECOND) == []


def test_a_timer_that_is_set_anew_and_comes_with_a_tick_is_no_train():
    """As load balancing: 60 ms after the last time, with the next tick but one now and then."""
    rng = np.random.default_rng(10)
    steps = np.where(rng.random(40) < 0.4, 64, 60) * MS
    arrivals = np.cumsum(steps) + rng.integers(0, 50_000, 40)
    assert find_trains([arrivals], int(arrivals[-1])) == []


def test_every_29th_tick_of_a_train_that_ticks_is_not_another():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        fast = train(rng, SECOND, 4 * MS, MS, 0.1 * MS, 0.1)
        trains = find_trains([np.sort(np.concatenate((fast, poisson(rng, SECOND, 160))))], SECOND)
        assert [each.period_ns for each in trains] == pytest.approx([4 * MS], rel=1e-3)


# ---- from traces ----------------------------------------------------------------------------------------


def source(name: str, arrival: dict[str, Any], mean: str) -> dict[str, Any]:
    return {
        "name": name, "class": "irq", "cpus": "per-cpu", "arrival": arrival,
        "duration": {"gamma": {"mean": mean, "cv": 0.3}}, "source": "drawn",
    }  # fmt: skip


def test_two_handlers_of_one_name_are_found_in_a_trace(tmp_path: Path) -> None:
    profile = noisy_profile(0)
    profile["noise"] = [
        source("eth1", {"periodic": {"period": "23 ms", "phase": "random", "jitter": "100 us"}}, "8 us"),
        source("eth2", {"periodic": {"period": "100 ms", "phase": "random"}}, "60 us"),
        source("eth3", {"poisson": {"rate": "40 / s"}}, "15 us"),
    ]
    scenario = Scenario.of(scenario_of(profile, tmp_path, 0), source="noisy")
    text = "".join(simulated_ftrace(scenario))
    for name in ("eth1", "eth2", "eth3"):
        assert name in text
        text = text.replace(f"name={name}", "name=eth0")
    (tmp_path / "trace.txt").write_text(text)
    calibration = calibrate(tmp_path / "trace.txt", base="kernel-lab")
    found = {each.name: each for each in calibration.sources or () if each.kind == "irq"}
    assert {(each.name, each.cpus) for each in found.values()} == {
        ("eth0", "per-cpu"), ("eth0-23ms", "per-cpu"), ("eth0-100ms", "per-cpu"),
    }  # fmt: skip
    looks(found["eth0-23ms"], 23 * MS, 8_000)
    looks(found["eth0-100ms"], 100 * MS, 60_000)
    assert found["eth0"].process.kind == "poisson"
    assert found["eth0"].process.rate_hz == pytest.approx(40, rel=0.1)
    calibration.write(tmp_path / "found.yaml")
    names = [each.name for each in load_profile(tmp_path / "found.yaml").noise if each.kind == "irq"]
    assert len(names) == len(set(names)) == 3


def test_what_a_real_thread_does_thrice_in_50_ms_is_three_trains() -> None:
    """It wakes at 0, 29.1 and 33.2 ms of its period, which looks as one of 16.7 ms on the whole."""
    calibration = calibrate(DATA / "measured/trace/disk-writer.txt.zst", base="kernel-lab")
    found = [each for each in calibration.sources or () if each.name.startswith("daemon-")]
    assert [each.name for each in found] == ["daemon-50.1ms", "daemon-50.1ms#2", "daemon-50.1ms#3"]
    phases = sorted(float(each.entry("")["arrival"]["periodic"]["phase"].removesuffix(" ns")) for each in found)
    gaps = np.diff([*phases, phases[0] + 50.09 * MS])
    first = int(np.argmax(gaps))
    assert np.roll(gaps, -first) == pytest.approx([29.1 * MS, 4.1 * MS, 16.9 * MS], abs=0.2 * MS)


def test_long_bursts_that_come_periodically_are_not_a_train_for_each_arrival() -> None:
    rng = np.random.default_rng(5)
    starts = train(rng, 100 * SECOND, SECOND, 3 * MS)
    times = (starts[:, None] + np.arange(20) * 50_000).ravel()
    assert find_trains([times], 100 * SECOND) == []
    pairs = (starts[:, None] + np.arange(2) * 50_000).ravel()
    assert [each.period_ns for each in find_trains([pairs], 100 * SECOND)] == pytest.approx([SECOND] * 2, rel=1e-4)
