"""Each part of a calibration alone: arrivals, durations, who ran, steps, histograms."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from rtsim.inputs.errors import InputError
from rtsim.profile import load_profile
from rtsim.profile.calibration import calibrate
from rtsim.profile.calibration.arrivals import fit_arrivals
from rtsim.profile.calibration.durations import Measurements, fit_durations
from rtsim.profile.calibration.naming import irq_of_thread, policy_of, thread_name
from rtsim.profile.calibration.occurrences import read_occurrences
from rtsim.profile.calibration.sources import find_sources
from rtsim.profile.calibration.timeline import Source
from rtsim.profile.calibration.totals import STEPS
from rtsim.traces.text import TextTrace

RECORDED = Path(__file__).parents[2] / "data" / "recorded"
SECOND = 1_000_000_000


def times(intervals):
    return np.cumsum(np.asarray(intervals)).astype(np.int64)


# ---- arrivals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jitter_ns", [0, 100_000])
@pytest.mark.parametrize("resolution", [1, 1000])
def test_a_period_is_found_under_jitter_and_missing_arrivals(jitter_ns, resolution):
    rng = np.random.default_rng(1)
    n = np.flatnonzero(rng.random(2000) > 0.1)
    arrivals = n * 999_400 + 123_456 + rng.integers(0, jitter_ns + 1, len(n))
    found = fit_arrivals([arrivals // resolution * resolution], 2000 * 999_400, resolution)
    assert found.period_ns == pytest.approx(999_400, abs=4 * found.period_error_ns + 1)
    assert found.phase_ns == pytest.approx(123_456, abs=0.05 * jitter_ns + resolution)
    assert ("jitter" in found.entry["periodic"]) == (jitter_ns > 0)


def test_poisson_arrivals_are_not_taken_for_anything_else():
    rng = np.random.default_rng(2)
    for _ in range(50):
        found = fit_arrivals([times(rng.exponential(2e6, 3000))], 3000 * 2_000_000)
        assert found.kind == "poisson"
        assert found.rate_hz == pytest.approx(500)


def test_regular_intervals_that_lose_their_phase_are_not_periodic():
    rng = np.random.default_rng(3)
    found = fit_arrivals([times(rng.gamma(25, 40_000, 3000))], 3 * SECOND)
    assert found.kind == "empirical"
    assert isinstance(found.entry["empirical"]["file"], Measurements)


def test_what_misses_many_of_its_periods_keeps_its_rate():
    rng = np.random.default_rng(8)
    n = np.flatnonzero(rng.random(4000) < 0.6)
    found = fit_arrivals([n * 1_000_000], 4000 * 1_000_000)
    assert found.kind == "empirical"
    assert found.rate_hz == pytest.approx(600, rel=0.05)


@pytest.mark.parametrize("count", [5, 8, 12, 20])
def test_a_handful_of_arrivals_is_not_periodic_by_chance(count):
    rng = np.random.default_rng(7)
    kinds = [fit_arrivals([times(rng.exponential(1e6, count))], count * 1_000_000).kind for _ in range(200)]
    assert kinds.count("poisson") >= 198
    assert fit_arrivals([1_000_000 * np.arange(count)], count * 1_000_000).kind == "periodic"


def test_bursts_are_told_by_size_spacing_and_rate():
    rng = np.random.default_rng(4)
    starts = times(rng.exponential(1e7, 2000))
    arrivals = np.sort((starts[:, None] + 40_000 * np.arange(5)).ravel())
    found = fit_arrivals([arrivals], int(starts[-1]))
    assert found.kind == "bursts"
    assert (found.entry["bursts"]["size"], found.entry["bursts"]["spacing"]) == (5, "40 us")
    assert found.rate_hz == pytest.approx(10_000 * 1e9 / starts[-1])


def test_gaps_in_a_trace_are_no_intervals():
    rng = np.random.default_rng(5)
    parts = [times(rng.exponential(1e6, 200)) + 100 * SECOND * i for i in range(10)]
    assert fit_arrivals(parts, 10 * 200 * 1_000_000).kind == "poisson"


# ---- durations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "draw"),
    [
        ("uniform", lambda rng, n: rng.uniform(5_000, 30_000, n)),
        ("exponential", lambda rng, n: rng.exponential(20_000, n)),
        ("gamma", lambda rng, n: rng.gamma(4, 5_000, n)),
        ("lognormal", lambda rng, n: rng.lognormal(np.log(20_000), 0.6, n)),
        ("constant", lambda rng, n: np.full(n, 20_000.0)),
        ("empirical", lambda rng, n: rng.choice([5_000.0, 50_000.0], n)),
    ],
)
@pytest.mark.parametrize("resolution", [1, 1000])
def test_families_are_told_apart_whatever_the_resolution(family, draw, resolution):
    rng = np.random.default_rng(6)
    true = draw(rng, 4000)
    begin = rng.uniform(0, 1e6, 4000)
    stamps = [np.floor(at / resolution).astype(np.int64) * resolution for at in (begin, begin + true)]
    found = fit_durations(stamps[1] - stamps[0], resolution)
    assert found.family == family
    assert found.mean_ns == pytest.approx(true.mean(), abs=4 * found.error_ns)


# ---- who ran -------------------------------------------------------------------------------------------------------

TRACE = """\
  <idle>-0       [000]     1.000000: sched_waking: comm=kworker/0:1 pid=7 prio=120 target_cpu=000
  <idle>-0       [000]     1.000010: sched_switch: prev_comm=swapper/0 prev_pid=0 prev_prio=120 prev_state=R ==>\
 next_comm=kworker/0:1 next_pid=7 next_prio=120
  kworker/0:1-7       [000]     1.000020: irq_handler_entry: irq=24 name=eth0
  kworker/0:1-7       [000]     1.000025: softirq_raise: vec=3 [action=NET_RX]
  kworker/0:1-7       [000]     1.000030: irq_handler_exit: irq=24 ret=handled
  kworker/0:1-7       [000]     1.000031: softirq_entry: vec=3 [action=NET_RX]
  kworker/0:1-7       [000]     1.000035: local_timer_entry: vector=236
  kworker/0:1-7       [000]     1.000036: softirq_raise: vec=7 [action=SCHED]
  kworker/0:1-7       [000]     1.000045: local_timer_exit: vector=236
  kworker/0:1-7       [000]     1.000051: softirq_exit: vec=3 [action=NET_RX]
  kworker/0:1-7       [000]     1.000052: softirq_entry: vec=7 [action=SCHED]
  kworker/0:1-7       [000]     1.000055: softirq_exit: vec=7 [action=SCHED]
  kworker/0:1-7       [000]     1.000060: sched_switch: prev_comm=kworker/0:1 prev_pid=7 prev_prio=120 prev_state=R ==>\
 next_comm=cyclictest next_pid=9 next_prio=4
  cyclictest-9       [000]     1.000070: sched_switch: prev_comm=cyclictest prev_pid=9 prev_prio=4 prev_state=S ==>\
 next_comm=kworker/0:1 next_pid=7 next_prio=120
  kworker/0:1-7       [000]     1.000075: sched_switch: prev_comm=kworker/0:1 prev_pid=7 prev_prio=120 prev_state=I ==>\
 next_comm=swapper/0 next_pid=0 next_prio=120
"""


def occurrences(text):
    return read_occurrences(TextTrace(BytesIO(text.encode()), "trace"))


def test_durations_are_without_what_ran_on_top():
    found = occurrences(TRACE).sources
    told = {(source.kind, source.name): (seen.begin_ns, seen.duration_ns) for source, seen in found.items()}
    assert told == {
        ("irq", "eth0"): ([1_000_020_000], [10_000]),
        ("softirq", "net_rx"): ([1_000_031_000], [10_000]),
        # 50 us and 5 us on the CPU, less the handler (10), the softirq with the tick in it (20) and the tick's own (3)
        ("thread", "kworker"): ([1_000_000_000], [22_000]),
    }
    assert found[Source("thread", "kworker", 0, "other", 0)].pieces == [2]


def test_nothing_is_told_across_lost_events():
    lines = TRACE.splitlines(keepends=True)
    cut = "".join([*lines[:4], "CPU:0 [LOST 12 EVENTS]\n", *lines[4:]])
    timeline = occurrences(cut)
    assert len(timeline.gaps_ns) == 1
    assert {(source.kind, source.name) for source in timeline.sources} == {("softirq", "net_rx")}


THREADED = """\
  <idle>-0       [000]     {0}.000000: irq_handler_entry: irq=24 name=eth0
  <idle>-0       [000]     {0}.000002: irq_handler_exit: irq=24 ret=handled
  <idle>-0       [000]     {0}.000003: sched_waking: comm=irq/24-eth0 pid=7 prio=49 target_cpu=000
  <idle>-0       [000]     {0}.000010: sched_switch: prev_comm=swapper/0 prev_pid=0 prev_prio=120 prev_state=R ==>\
 next_comm=irq/24-eth0 next_pid=7 next_prio=49
  irq/24-eth0-7  [000]     {0}.000040: sched_switch: prev_comm=irq/24-eth0 prev_pid=7 prev_prio=49 prev_state=R ==>\
 next_comm=cyclictest next_pid=9 next_prio=4
  cyclictest-9   [000]     {0}.000050: sched_switch: prev_comm=cyclictest prev_pid=9 prev_prio=4 prev_state=S ==>\
 next_comm=irq/24-eth0 next_pid=7 next_prio=49
  irq/24-eth0-7  [000]     {0}.000065: sched_switch: prev_comm=irq/24-eth0 prev_pid=7 prev_prio=49 prev_state=S ==>\
 next_comm=swapper/0 next_pid=0 next_prio=120
"""


def test_a_threaded_handler_is_without_the_switches_to_its_thread():
    """Its hard part took 2 us, its thread 30 and 15, of which two switches are 4 us each."""
    timeline = occurrences("".join(THREADED.format(second) for second in range(1, 20)))
    (found,) = find_sources([timeline], 4_000)
    assert (found.kind, found.name) == ("irq", "eth0")
    assert found.duration.mean_ns == 2_000 + 30_000 + 15_000 - 2 * 4_000


def test_threads_are_named_for_what_they_are():
    assert thread_name("kworker/3:1H") == ("kworker-high", 3)
    assert thread_name("rcuop/12") == ("rcuop", 12)
    assert thread_name("systemd-journal") == ("systemd-journal", None)
    assert irq_of_thread("irq/24-eth0") == 24
    assert policy_of("migration/3", 0) == ("stop", 0)
    assert policy_of("ktimers/1", 98) == ("fifo", 1)
    assert policy_of("kworker/3:1H", 100) == ("other", -20)


# ---- recordings ----------------------------------------------------------------------------------------------------


def test_a_recorded_kernel_gives_the_costs_that_were_read_off_by_hand():
    found = calibrate(RECORDED / "kernel-6.1-cfs/per1ms-fifo80-idle", base="kernel-lab")
    by_hand = {"timer_irq": 2_700, "wake": 6_000, "schedule": 4_100, "softirq_entry": 1_500, "tick": 11_000}
    assert {name: found.costs[name].mean_ns for name in by_hand} == pytest.approx(by_hand, abs=1_100)
    assert {(each.name, each.policy) for each in found.sources} == {("kworker", "other"), ("migration", "stop")}
    assert "per" not in set(found.table()["name"])


def test_steps_in_which_the_machine_was_stopped_can_be_left_out():
    """An emulator that ran one CPU after the other made turns of 20 us; where the other CPUs idled, it made none."""
    recording = RECORDED / "kernel-6.12-eevdf-4cpu/wake-other-mask1-3-hogs2-3"
    stretched, clear = (calibrate(recording, base="kernel-lab", stop_ns=stop_ns).costs for stop_ns in (None, 15_000))
    assert stretched["schedule"].mean_ns > 10_000
    for step, expected in {"timer_irq": 2_700, "wake": 6_900, "schedule": 4_100, "softirq_entry": 1_500}.items():
        assert clear[step].mean_ns == pytest.approx(expected, abs=1_500)
    assert clear["schedule"].count < stretched["schedule"].count


def test_a_fair_task_is_charged_as_a_realtime_one_comes():
    cases = (RECORDED / "kernel-6.1-cfs" / case for case in ("per1ms-fifo80-idle", "per1ms-fifo80-hog3"))
    found = calibrate(*cases, base="kernel-lab").costs
    assert found["put_fair"].mean_ns == pytest.approx(2_400, abs=200)  # as data/recorded/README.md has it
    assert "preempt_fair" not in found


def test_a_histogram_gives_the_whole_wake_up_and_says_what_it_cannot(tmp_path):
    measured = RECORDED / "kernel-6.1-cfs/cyc-fifo80-hog3/cyclictest.json"
    found = calibrate(measured, base="kernel-lab")
    costs = found.profile().costs
    total = sum(getattr(costs, step).distribution().isf(np.array([0.5]))[0] for step in STEPS)
    assert total + 250 == pytest.approx(7_500, abs=10)  # 250 ns to leave the idle state
    assert found.sources is None
    assert found.profile().noise == load_profile("kernel-lab").noise
    assert any("not which takes how much" in sentence for sentence in found.kept)
    found.write(tmp_path / "profile.yaml")
    assert load_profile(tmp_path / "profile.yaml").costs == costs


def test_a_summary_without_histogram_is_refused(tmp_path):
    (tmp_path / "plain.txt").write_text("T: 0 ( 1) P:80 I:1000 C: 100 Min: 3 Act: 4 Avg: 4 Max: 20\n")
    with pytest.raises(InputError, match="expected a histogram that holds the median"):
        calibrate(tmp_path / "plain.txt")


def test_a_text_in_nanoseconds_is_taken_as_such_if_that_is_said(tmp_path):
    samples = "".join(f"       0: {number:7}: {50_000 + number}\n" for number in range(1000))
    (tmp_path / "verbose.txt").write_text(f"Thread 0 Interval: 1000\n{samples}")
    found = calibrate(tmp_path / "verbose.txt", base="kernel-lab", unit="ns")
    assert sum(fit.mean_ns for fit in found.costs.values()) + 250 == pytest.approx(50_500, abs=10)
    assert found.warnings == ()
    assert "say unit='ns'" in calibrate(tmp_path / "verbose.txt", base="kernel-lab").warnings[0]


def test_what_no_wake_up_ends_in_is_refused():
    noise = RECORDED.parent / "measured/rtla/osnoise-hist-6.12.txt"
    with pytest.raises(InputError, match=r"expected latencies of wake-ups .*, found osnoise's noise"):
        calibrate(noise)


def test_intervals_as_measured_are_in_the_profile_itself():
    found = calibrate(RECORDED.parent / "measured/trace/trace-cmd-osnoise.txt")
    stalls = next(each for each in found.sources if each.process.kind == "empirical")
    (source,) = (each for each in found.profile().noise if each.name == stalls.name)
    intervals = stalls.process.entry["empirical"]["file"].values
    assert source.arrival.interval().mean_ns == pytest.approx(intervals.mean(), rel=0.01)


def test_a_folder_without_recording_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"expected one of trace\.txt, .* in this folder"):
        calibrate(tmp_path)
