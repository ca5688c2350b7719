"""Twelve vectors worked out by hand from the kernel's rules, or measured, for what concerns one CPU at a time."""

from __future__ import annotations

from itertools import pairwise

import pytest

from rtsim.engine import constants as es
from rtsim.kernel import Kernel
from rtsim.kernel.features import scaling_factor
from rtsim.kernel.weights import nice_weight
from rtsim.sched import cfs, eevdf, fair
from rtsim.sched.entity import virtual
from tests.engine.small import MS, SECOND, TICK, US, job_at, machine, run
from tests.sched.queues import BASE_SLICE, On, eevdf_machine, place, queue, shares, take_out

CPUS = (1, 2, 3, 4, 7, 8, 64)


def lengths(switches: list[tuple[int, str]]) -> list[tuple[str, int]]:
    """Return (task, how long it ran) from one switch to the next."""
    return [(name, after - before) for (before, name), (after, _) in pairwise(switches)]


def test_1_tunables_scale_with_the_logarithm_of_the_cpus_up_to_eight() -> None:
    assert [scaling_factor(cpus) for cpus in CPUS] == [1, 2, 2, 3, 3, 4, 4]
    requests = [Kernel.of("6.12.117").features(cpus).base_slice_ns for cpus in CPUS]
    assert requests == [700 * US * factor for factor in (1, 2, 2, 3, 3, 4, 4)]


def test_2_two_cfs_hogs_switch_at_the_first_tick_after_their_12_ms_slice() -> None:
    b = machine()
    for name in ("a", "b"):
        b.hog(name, 0, [0], es.OTHER, 0)
    ran = lengths(run(b, SECOND).switches())
    assert {time for _, time in ran} == {4 * TICK}  # 12 ms have run at the third tick: not yet more
    assert all(one != two for (one, _), (two, _) in pairwise(ran))


def test_2_a_slice_that_began_just_before_a_tick_ends_one_tick_sooner() -> None:
    b = machine()
    for name in ("a", "b"):
        b.hog(name, 0, [0], es.OTHER, 0)
    job_at(b, b.server("thread", 0, [0], es.FIFO, 50), 10 * US, 3_900 * US)
    switches = run(b, 100 * MS).switches()
    first = next(n for n, (_, name) in enumerate(switches) if name == "thread") + 1
    assert lengths(switches)[first][1] == 16 * MS - 3_910 * US  # 12.09 ms


def test_2_nine_cfs_hogs_have_3_ms_slices_which_a_tick_makes_4() -> None:
    b = machine()
    for n in range(9):
        b.hog(str(n), 0, [0], es.OTHER, 0)
    ran = lengths(run(b, SECOND).switches())[50:]  # the debits of new tasks have evened out
    assert {time for _, time in ran} == {TICK}
    assert all(len({name for name, _ in ran[n : n + 9]}) == 9 for n in range(len(ran) - 9))


@pytest.mark.parametrize(("own", "placed", "preempts"), [(0, SECOND - 12 * MS, True), (SECOND + 1, SECOND + 1, False)])
def test_3_a_cfs_sleeper_of_a_second_preempts_and_one_that_used_its_share_does_not(
    own: int, placed: int, preempts: bool
) -> None:
    state = queue(machine(), [On(SECOND), On(own)], running=True)
    take_out(state, 1)
    state.cfs_rqs[0]["min_vruntime"] = SECOND
    cfs.place_entity(state, 0, 1, False)
    assert int(state.entities[1]["vruntime"]) == placed
    place(state, 1, On(placed))
    assert bool(cfs.check_preempt_wakeup(state, 1, 0, 1)) is preempts


def test_4_the_wakees_weight_scales_the_cfs_granularity() -> None:
    assert virtual(4 * MS, nice_weight(-10)) == 428_990
    assert virtual(4 * MS, nice_weight(10)) == 37_236_363
    assert 12 * MS < 37_236_363  # more than the credit for any sleep


@pytest.mark.parametrize(("lead", "picked"), [(0, 1), (4 * MS, 1), (4 * MS + 1, 0)])
def test_5_after_a_cfs_yield_the_second_runs_if_its_lead_is_within_the_granularity(lead: int, picked: int) -> None:
    state = queue(machine(), [On(), On(lead)], running=True)
    fair.yield_task_fair(state, 0)
    assert fair.pick_task_fair(state, 0) == picked


@pytest.mark.parametrize("kind", [es.CFS, es.EEVDF])
@pytest.mark.parametrize(("one_each", "share"), [(False, 0.2), (True, 0.5)])
def test_6_a_group_of_four_busy_vcpus_weighs_a_quarter_on_each_cpu_and_one_each_all(
    kind: int, one_each: bool, share: float
) -> None:
    b = machine(cpus=4, fair=kind)
    group = b.group("vm")
    for cpu in range(4):
        own = b.group(f"vm/{cpu}") if one_each else group
        b.hog(f"vcpu{cpu}", 0, [cpu], es.OTHER, 0, group=own)
    b.hog("beside", 0, [0], es.OTHER, 0, group=b.group("beside"))
    used = shares(b, 9 * SECOND, from_ns=SECOND)
    assert used["vcpu0"] == pytest.approx(share, abs=0.005)
    assert used["vcpu1"] == pytest.approx(1)


def test_7_eevdf_placement_inflates_lag_so_that_it_survives() -> None:
    """One runs with v = 100; lag 1 becomes 2 on placement, V moves to 99, and the lag is 1 again."""
    state = queue(eevdf_machine(), [On(100), On()], running=True)
    take_out(state, 1)
    state.entities[1]["vlag"] = 1
    eevdf.place_entity(state, 0, 1, False)
    assert int(state.entities[1]["vruntime"]) == 98
    assert int(state.entities[1]["deadline"]) == 98 + BASE_SLICE
    place(state, 1, On(98))
    assert eevdf.average_vruntime(state, 0) == 99


def test_8_two_eevdf_hogs_alternate_at_every_tick() -> None:
    b = eevdf_machine("6.6")
    for n in range(2):
        b.hog(f"hog{n}", 0, [0], es.OTHER, 0)
    assert run(b, SECOND - 1).switches() == [(n * TICK, f"hog{n % 2}") for n in range(250)]


def test_9_of_those_not_beyond_v_the_earliest_deadline_is_picked() -> None:
    """V = 3, so that 1 and 2 are eligible and 6 is not."""
    state = queue(eevdf_machine(), [On(1, 9), On(2, 4), On(6, 7)], running=False)
    assert eevdf.average_vruntime(state, 0) == 3
    assert eevdf.pick_eevdf(state, 0, True) == 1


@pytest.mark.parametrize("kind", [es.CFS, es.EEVDF])
def test_10_nice_0_and_nice_5_share_1024_to_335(kind: int) -> None:
    b = machine(fair=kind, trace_length=1 << 15)
    b.hog("nice0", 0, [0], es.OTHER, 0)
    b.hog("nice5", 0, [0], es.OTHER, 5)
    assert shares(b, 20 * SECOND)["nice0"] == pytest.approx(1024 / (1024 + 335), abs=0.002)


def test_11_a_fifo_hog_runs_950_ms_of_each_second_and_a_tick_more_at_most() -> None:
    b = machine(rt_runtime=950 * MS, rt_period=SECOND)
    b.hog("fifo", 0, [0], es.FIFO, 50)
    b.hog("fair", 0, [0], es.OTHER, 0)
    ran = lengths(run(b, 10 * SECOND).switches())[2:]
    assert len(ran) >= 15
    assert all(950 * MS - TICK <= time <= 950 * MS + TICK for name, time in ran if name == "fifo")
    assert all(50 * MS - TICK <= time <= 50 * MS + TICK for name, time in ran if name == "fair")


def test_12_default_timer_slack_delays_a_fair_sleeper_by_50_us() -> None:
    """clock_nanosleep under SCHED_OTHER against a slack of 1 ns."""
    latencies = []
    for slack_ns in (50_000, 1):
        b = machine()
        task = b.periodic(
            "sleeper", 0, [0], es.OTHER, 0, period_ns=MS, first_ns=MS, work=b.constant(10 * US), slack_ns=slack_ns
        )
        latencies.append(run(b, 20 * MS - 1, [task]).samples("sleeper"))
    assert latencies == [[50_000] * 19, [1] * 19]
