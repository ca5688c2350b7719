"""Decisions read from recorded traces agree with what the traces say elsewhere."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from rtsim.validation.replay import Charge, Decision, Thread, decisions, timer_expiries
from tests.validation.recordings import ONE_CPU, recording


def recorded(name: str, case: str) -> list[Decision]:
    return list(decisions(recording(name).cases[case].repetitions[0].trace_text(), 3))


LINES = """\
            hog2-275     [003] d.h2.    36.656843: sched_waking: comm=per pid=272 prio=19 target_cpu=003
            hog2-275     [003] dNh3.    36.656847: sched_wakeup: comm=per pid=272 prio=19 target_cpu=003
            hog2-275     [003] dNh..    36.656849: hrtimer_expire_exit: hrtimer=(____ptrval____)
            hog2-275     [003] dN.2.    36.656852: sched_stat_runtime: comm=hog2 pid=275 runtime=838778 [ns] vruntime=6191661503 [ns]
            hog2-275     [003] d..2.    36.656856: sched_switch: prev_comm=hog2 prev_pid=275 prev_prio=120 prev_state=R ==> next_comm=per next_pid=272 next_prio=19
             per-272     [003] d..2.    36.656973: sched_switch: prev_comm=per prev_pid=272 prev_prio=19 prev_state=S ==> next_comm=hog 0 next_pid=273 next_prio=110
          <idle>-0       [001] dNh4.    36.656980: sched_wakeup: comm=kworker/3:1 pid=44 prio=120 target_cpu=003
           hog 0-273     [003] d.h..    36.660002: hrtimer_expire_entry: hrtimer=(____ptrval____) function=tick_sched_timer now=36660001545
           hog 0-273     [003] d.h1.    36.660006: sched_stat_runtime: comm=hog 0 pid=273 runtime=3027000 [ns]
           hog 0-273     [003] dNh..    36.660010: hrtimer_expire_exit: hrtimer=(____ptrval____)
"""  # noqa: E501


def test_decisions_of_a_few_lines() -> None:
    hog2, per, hog0 = Thread(275, "hog2", 120), Thread(272, "per", 19), Thread(273, "hog 0", 110)
    kworker = Thread(44, "kworker/3:1", 120)
    assert list(decisions(LINES, 3)) == [
        Decision(36_656_847_000, "wakeup", per, resched=True),
        Decision(36_656_856_000, "switch", hog2, True, per, (Charge(36_656_852_000, 275, 838_778, 6_191_661_503),)),
        Decision(36_656_973_000, "switch", per, False, hog0),
        # woken from another CPU: what became of the mark shows there only
        Decision(36_656_980_000, "wakeup", kworker, resched=False),
        Decision(36_660_010_000, "tick", hog0, True, None, (Charge(36_660_006_000, 273, 3_027_000, None),)),
    ]
    assert not list(decisions(LINES, 2))
    assert (hog0.weight, hog0.fair, per.fair, kworker.weight) == (9548, True, False, 1024)


def test_expiries_of_timers_are_told_by_their_function_and_cpu() -> None:
    assert timer_expiries(LINES, 3, "tick_sched_timer") == [36_660_001_545]
    assert not timer_expiries(LINES, 3, "sched_cfs_period_timer")
    assert not timer_expiries(LINES, 2, "tick_sched_timer")


def test_need_resched_is_seen_in_realtime_kernels_too() -> None:
    text = "  ktimers/3-137  [003] d{flags}h2..  5.753438: sched_wakeup: comm=per pid=257 prio=120 target_cpu=003\n"
    marks = {flags: next(decisions(text.format(flags=flags), 3)).resched for flags in ("..", "n.", "N.", ".L")}
    assert marks == {"..": False, "n.": True, "N.": True, ".L": True}


@pytest.mark.parametrize("name", ONE_CPU)
def test_who_leaves_is_who_came(name: str) -> None:
    for case in ("share-4hog", "per10ms-work2ms-other-hog3", "starve-fifo1hog-other10ms"):
        found = recorded(name, case)
        switches = [decision for decision in found if decision.kind == "switch"]
        for earlier, later in pairwise(switches):
            assert earlier.next is not None
            assert later.thread is not None
            assert earlier.next.pid == later.thread.pid
        assert [decision.time_ns for decision in found] == sorted(decision.time_ns for decision in found)


@pytest.mark.parametrize("name", ONE_CPU)
def test_every_wake_up_and_tick_of_a_sleeper_and_hogs_is_there(name: str) -> None:
    case = recording(name).cases["per10ms-work2ms-other-hog3"]
    found = recorded(name, case.name)
    kinds = Counter(decision.kind for decision in found)
    assert kinds["tick"] == pytest.approx(4.09 * 250, abs=20), "four seconds and what it takes to start"
    woken = Counter(decision.thread.name for decision in found if decision.kind == "wakeup" and decision.thread)
    assert woken["per"] == pytest.approx(case.repetitions[0].tasks["per"]["loops"], abs=8)


@pytest.mark.parametrize("case", ["share-4hog", "share-nice-10+0+10", "per1ms-fifo80-hog3"])
def test_vruntime_moves_by_run_time_over_weight(case: str) -> None:
    """Of kernel 6.1, which traces both. The hogs are placed anew while they start, and never after."""
    found = recorded("kernel-6.1-cfs", case)
    start_ns = recording("kernel-6.1-cfs").cases[case].repetitions[0].start_ns
    threads = {decision.thread.pid: decision.thread for decision in found if decision.thread is not None}
    last: dict[int, int] = {}
    moved_ns, expected_ns = Counter[str](), Counter[str]()
    for charge in (charge for decision in found for charge in decision.charges):
        thread = threads[charge.pid]
        if not thread.name.startswith("hog") or charge.vruntime_ns is None:
            continue
        if charge.pid in last and start_ns < charge.time_ns < start_ns + 3_990_000_000:
            step, expected = charge.vruntime_ns - last[charge.pid], charge.runtime_ns * 1024 / thread.weight
            # The kernel multiplies by a 32-bit inverse of the weight. Updates between two decisions are left out of the
            # trace: they only make a step longer.
            assert step > expected * (1 - 1e-6) - 2
            moved_ns[thread.name] += step
            expected_ns[thread.name] += round(expected)
        last[charge.pid] = charge.vruntime_ns
    assert len(moved_ns) == 3 + (case == "share-4hog")
    for name, moved in moved_ns.items():
        assert moved == pytest.approx(expected_ns[name], rel=0.01)


def test_eevdf_traces_carry_no_vruntime() -> None:
    charges = [charge for decision in recorded("kernel-6.12-eevdf", "share-2hog") for charge in decision.charges]
    assert len(charges) > 1000
    assert {charge.vruntime_ns for charge in charges} == {None}
