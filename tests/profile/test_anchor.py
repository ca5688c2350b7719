"""What latencies beside a trace tell of the steps that the trace does not show, and of what tracing adds."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median

import pytest

from rtsim.inputs.errors import InputError
from rtsim.profile import load_profile
from rtsim.profile.calibration import Calibration, calibrate
from rtsim.profile.calibration.anchor import REST
from rtsim.profile.calibration.totals import STEPS
from rtsim.traces.recording import read_recording

RECORDED = Path(__file__).parents[2] / "data" / "recorded"
LATE, WAKING, LEFT, SWITCH = 1_000, 3_000, 9_000, 12_000
"""Of the wake-ups below, in ns from the expiry."""
BASE_REST_NS = sum(getattr(load_profile("tuned").costs, step).distribution().mean_ns for step in REST)


def wake_up(second: int, *, switch: bool = True, prio: int = 4, running: str = "<idle>-0", started: bool = True) -> str:
    """Return a wake-up of cyclictest by its timer, and its way back to sleep."""
    due = second * 10**9 + 500_000_000
    comm, pid = running.rsplit("-", 1)
    who = f"comm={comm} prev_pid={pid} prev_prio=120"

    def at(ns: int) -> str:
        return f"[000] {second}.{500_000_000 + ns:09}"

    lines = [
        f"cyclictest-9 [000] {second}.400000000: hrtimer_start: hrtimer=0x1 function=hrtimer_wakeup expires={due}",
        f"cyclictest-9 [000] {second}.400002000: sched_switch: prev_comm=cyclictest prev_pid=9 prev_prio={prio} "
        f"prev_state=S ==> next_{who.replace('prev_', 'next_')}",
        f"{running} {at(LATE)}: local_timer_entry: vector=236",
        f"{running} {at(LATE)}: hrtimer_expire_entry: hrtimer=0x1 function=hrtimer_wakeup now={due + LATE}",
        f"{running} {at(WAKING)}: sched_waking: comm=cyclictest pid=9 prio={prio} target_cpu=000",
        f"{running} {at(LEFT)}: local_timer_exit: vector=236",
        f"{running} {at(SWITCH)}: sched_switch: prev_{who} prev_state=R ==> next_comm=cyclictest next_pid=9 "
        f"next_prio={prio}",
    ]
    kept = lines[0 if started else 1 : 7 if switch else 6]
    return "".join(f"  {line}\n" for line in kept)


def recording(folder: Path, *, traced_us: int | None = None, untraced_us: int | None = None, **options) -> Path:
    """Write a trace of wake-ups, and beside it what cyclictest measured."""
    (folder / "trace.txt").write_text("".join(wake_up(second, **options) for second in range(1, 41)))
    for name, latency_us in (("cyclictest-traced", traced_us), ("cyclictest", untraced_us)):
        if latency_us is not None:
            (folder / f"{name}.json").write_text(json.dumps(cyclictest(latency_us)))
    return folder


def cyclictest(latency_us: int) -> dict[str, object]:
    thread = {"histogram": {str(latency_us): 40}, "cycles": 40, "min": latency_us, "max": latency_us, "avg": latency_us}
    return {"num_threads": 1, "resolution_in_ns": 0, "thread": {"0": {**thread, "cpu": 0}}}


def rest_ns(found: Calibration) -> float:
    return sum(found.costs[step].mean_ns for step in REST)


def total_ns(found: Calibration) -> float:
    """Return the steps of a wake-up on an idle CPU."""
    costs = found.profile().costs
    steps = [getattr(costs, step) for step in STEPS] + [costs.idle_exit["C1"]]
    return sum(step.distribution().mean_ns for step in steps)


def test_the_rest_is_what_the_traced_latency_has_beyond_the_switch(tmp_path: Path) -> None:
    found = calibrate(recording(tmp_path, traced_us=14), base="tuned")
    assert rest_ns(found) == pytest.approx(14_499.5 - SWITCH)
    assert found.costs["wake"].mean_ns == LEFT - WAKING
    base = load_profile("tuned").costs
    proportion = base.context_switch.distribution().mean_ns / base.syscall_exit.distribution().mean_ns
    assert found.costs["context_switch"].mean_ns / found.costs["syscall_exit"].mean_ns == pytest.approx(proportion)
    assert "median latency under the trace" in found.profile().costs.syscall_exit.source


def test_tracing_is_taken_off_the_steps_behind_the_clock_reading(tmp_path: Path) -> None:
    found = calibrate(recording(tmp_path, traced_us=14, untraced_us=10), base="tuned")
    share = (10_499.5 - LATE) / (14_499.5 - LATE)
    assert found.costs["wake"].mean_ns == pytest.approx((LEFT - WAKING) * share, abs=1)
    assert total_ns(found) == pytest.approx(10_499.5, abs=10)
    assert found.warnings == ()


def test_a_latency_that_is_longer_without_tracing_lengthens_nothing(tmp_path: Path) -> None:
    found = calibrate(recording(tmp_path, traced_us=14, untraced_us=17), base="tuned")
    assert found.costs["wake"].mean_ns == LEFT - WAKING
    assert found.warnings == (
        "cyclictest's median is 17.5 us without tracing and 14.5 us with it: not tracing made the difference, and the "
        "steps are taken as traced",
    )


@pytest.mark.parametrize(("untraced_us", "share"), [(20, 1.0), (9, (9_499.5 - LATE) / (SWITCH + BASE_REST_NS - LATE))])
def test_without_a_latency_under_the_trace_the_other_is_met(tmp_path: Path, untraced_us: int, share: float) -> None:
    """A longer one leaves more to the rest; a shorter one shortens all steps alike."""
    found = calibrate(recording(tmp_path, untraced_us=untraced_us), base="tuned")
    assert found.costs["wake"].mean_ns == pytest.approx((LEFT - WAKING) * share, abs=1)
    assert rest_ns(found) == pytest.approx(20_499.5 - SWITCH if share == 1 else BASE_REST_NS * share, abs=1)


def test_a_switch_from_idle_that_is_not_traced_is_the_bases_schedule(tmp_path: Path) -> None:
    found = calibrate(recording(tmp_path, traced_us=14, switch=False), base="kernel-lab")
    assert "schedule" not in found.costs
    assert rest_ns(found) == pytest.approx(14_499.5 - LEFT - 4_100)


def test_a_trace_without_expiries_is_met_by_its_steps(tmp_path: Path) -> None:
    found = calibrate(recording(tmp_path, traced_us=20, started=False), base="kernel-lab")
    assert rest_ns(found) == pytest.approx(20_499.5 - (SWITCH - LATE) - 250 - 1_650)


def test_a_rest_far_from_the_bases_is_said(tmp_path: Path) -> None:
    (warning,) = calibrate(recording(tmp_path, traced_us=20), base="tuned").warnings
    assert warning.startswith("context_switch and syscall_exit together take 8.5 us by the latencies measured and 1.9")
    assert "a latency of 20.5 us off by -6.6 us" in warning


def test_latencies_of_a_fair_thread_are_not_used(tmp_path: Path) -> None:
    """They hold the slack of its timer."""
    folder = recording(tmp_path, traced_us=70, prio=120)
    found = calibrate(folder, base="tuned")
    assert not set(REST) & set(found.costs)
    assert found.warnings == (
        f"{folder}: the trace has no realtime wake-ups of cyclictest, its latencies are not used",
    )


def test_a_histogram_without_its_median_is_refused(tmp_path: Path) -> None:
    recording(tmp_path, traced_us=14)
    written = cyclictest(14) | {
        "thread": {"0": {"histogram": {}, "cycles": 40, "min": 1, "max": 99, "avg": 20, "cpu": 0}}
    }
    (tmp_path / "cyclictest-traced.json").write_text(json.dumps(written))
    with pytest.raises(InputError, match="expected a histogram that holds the median"):
        calibrate(tmp_path)


@pytest.mark.parametrize("base", ["tuned", "kernel-lab"])
def test_recorded_latencies_are_the_sum_of_the_steps_whatever_the_base(base: str) -> None:
    case = read_recording(RECORDED / "kernel-6.1-cfs").cases["per1ms-fifo80-idle"].repetitions[0]
    latencies = [latency for _, latency, _ in case.rows("per.lat")]
    assert total_ns(calibrate(case.folder, base=base)) == pytest.approx(median(latencies), rel=0.03)


def test_what_a_busy_cpu_shows_holds_on_an_idle_one(tmp_path: Path) -> None:
    """Half a recording without an idle CPU: a fair task's charging is told by fair wake-ups."""
    cases = (RECORDED / "kernel-6.1-cfs" / case for case in ("per1ms-fifo80-hog3", "per1ms-other-hog1"))
    found = calibrate(*cases, base="tuned").costs
    idle = calibrate(RECORDED / "kernel-6.1-cfs/per1ms-fifo80-idle", base="tuned").costs
    assert found["put_fair"].mean_ns == pytest.approx(found["preempt_fair"].mean_ns, rel=0.05)
    steps = ("timer_irq", "wake", "schedule", *REST)
    assert sum(found[step].mean_ns for step in steps) == pytest.approx(sum(idle[s].mean_ns for s in steps), rel=0.03)


def test_without_fair_wake_ups_the_base_parts_charging_from_the_rest() -> None:
    found = calibrate(RECORDED / "kernel-6.1-cfs/per1ms-fifo80-hog3", base="kernel-lab").costs
    assert found["schedule"].mean_ns / found["put_fair"].mean_ns == pytest.approx(4.1 / 2.4, rel=0.01)
