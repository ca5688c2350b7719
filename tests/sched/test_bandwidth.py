"""cpu.max: quota and period, slices of 5 ms, nested limits, sleepers, and more than one CPU."""

from __future__ import annotations

import pytest

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder
from rtsim.engine.clock import run_until
from tests.engine.small import MS, SECOND, TICK, US, machine, run
from tests.sched.queues import shares

PERIOD = 100 * MS
KINDS = pytest.mark.parametrize("kind", [es.CFS, es.EEVDF])


def limited(quota_ns: int, kind: int = es.CFS, cpus: int = 1) -> tuple[Builder, int]:
    b = machine(cpus, fair=kind, delay_dequeue=int(kind == es.EEVDF))
    return b, b.group("limited", quota_ns=quota_ns, period_ns=PERIOD)


@KINDS
def test_a_hog_alone_runs_its_quota_and_pays_back_what_the_tick_let_it_overrun(kind: int) -> None:
    """30 ms end in mid-tick: it runs to 32, owes 2, and has 28 in the next period."""
    b, group = limited(30 * MS, kind)
    b.hog("hog", 0, [0], es.OTHER, 0, group=group)
    switches = run(b, 4 * PERIOD - 1).switches()
    assert switches == [
        (0, "hog"), (32 * MS, "idle"), (100 * MS, "hog"), (128 * MS, "idle"),
        (200 * MS, "hog"), (232 * MS, "idle"), (300 * MS, "hog"), (328 * MS, "idle"),
    ]  # fmt: skip


@KINDS
@pytest.mark.parametrize("hogs", [1, 3])
def test_in_the_long_run_the_group_has_its_part_of_the_cpu_and_others_the_rest(kind: int, hogs: int) -> None:
    b, group = limited(30 * MS, kind)
    for number in range(hogs):
        b.hog(f"hog{number}", 0, [0], es.OTHER, 0, group=group)
    b.hog("free", 0, [0], es.OTHER, -20)
    b.tasks[-1]["group"] = b.group("free", shares=10)
    used = shares(b, 4 * SECOND, from_ns=SECOND)
    assert used["free"] == pytest.approx(0.7, abs=0.01)


def test_a_queue_draws_slices_of_5_ms() -> None:
    b, group = limited(30 * MS)
    b.hog("hog", 0, [0], es.OTHER, 0, group=group)
    state, _ = b.build(watched=[])
    pools = []
    for tick in range(9):
        run_until(state, tick * TICK)
        pools.append(int(state.groups[0]["runtime"]) // MS)
    # what has been run is replaced, and 5 ms more drawn, whenever a tick finds the last draw used up
    assert pools == [25, 25, 17, 17, 9, 9, 1, 1, 0]


def test_a_limit_above_holds_for_what_is_below() -> None:
    b = machine()
    outer = b.group("outer", quota_ns=50 * MS, period_ns=PERIOD)
    for name, quota in (("inner", 10 * MS), ("beside", 0)):
        b.hog(name, 0, [0], es.OTHER, 0, group=b.group(name, parent=outer, quota_ns=quota, period_ns=PERIOD))
    used = shares(b, 4 * SECOND, from_ns=SECOND)
    assert used["inner"] == pytest.approx(0.1, abs=0.01)
    assert used["beside"] == pytest.approx(0.4, abs=0.01)


def test_a_limit_above_that_is_used_up_keeps_what_is_given_back_below_waiting() -> None:
    """The outer group has 20 ms in 100, the inner one 5 in 10: refilled early, it has to wait for the outer one."""
    b = machine()
    outer = b.group("outer", quota_ns=20 * MS, period_ns=PERIOD)
    b.hog("hog", 0, [0], es.OTHER, 0, group=b.group("inner", parent=outer, quota_ns=5 * MS, period_ns=10 * MS))
    used = shares(b, 3 * SECOND, from_ns=SECOND)
    assert used["hog"] == pytest.approx(0.2, abs=0.01)


def sleeper(b: Builder, group: int, first_ns: int) -> int:
    return b.periodic(
        "sleeper", 0, [0], es.OTHER, 0,
        period_ns=10 * MS, first_ns=first_ns, work=b.constant(MS), slack_ns=0, catch_up=True, group=group,
    )  # fmt: skip


@KINDS
def test_a_sleeper_within_its_quota_is_never_held_up(kind: int) -> None:
    b, group = limited(30 * MS, kind)
    task = sleeper(b, group, 10 * MS)
    assert set(run(b, SECOND, [task]).samples("sleeper")) == {0}


@KINDS
def test_a_sleeper_beside_a_hog_in_its_group_waits_for_the_next_period(kind: int) -> None:
    b, group = limited(30 * MS, kind)
    b.hog("hog", 0, [0], es.OTHER, 0, group=group)
    task = sleeper(b, group, 10 * MS)
    done = run(b, 3 * PERIOD - 1, [task])
    begun = [at for at, name in done.switches(after_ns=0) if name == "sleeper"]
    assert all(at % PERIOD <= 32 * MS for at in begun)
    assert max(done.samples("sleeper")) >= 60 * MS  # woken while the group is off its CPU


def test_what_a_queue_does_not_need_goes_back_to_the_pool_but_for_1_ms() -> None:
    b, group = limited(30 * MS)
    b.periodic("task", 0, [0], es.OTHER, 0, period_ns=SECOND, first_ns=10 * MS, work=b.constant(MS), slack_ns=0)
    b.tasks[-1]["group"] = group
    state, _ = b.build(watched=[])
    run_until(state, 12 * MS)
    assert int(state.cfs_rqs[1]["runtime_remaining"]) == 1 * MS
    assert int(state.groups[0]["runtime"]) == 30 * MS - MS - MS


def test_a_quota_is_shared_by_all_cpus_and_each_may_overrun_by_a_tick() -> None:
    b, group = limited(100 * MS, cpus=2)
    for cpu in range(2):
        b.hog(f"hog{cpu}", 0, [cpu], es.OTHER, 0, group=group)
    used = shares(b, 5 * SECOND, from_ns=SECOND)
    assert sum(used.values()) == pytest.approx(1.0, abs=0.01)


def test_burst_saves_up_what_was_not_used() -> None:
    b = machine()
    group = b.group("limited", quota_ns=20 * MS, period_ns=PERIOD, burst_ns=20 * MS)
    work = b.constant(36 * MS)
    task = b.periodic(
        "task", 0, [0], es.OTHER, 0, period_ns=3 * PERIOD, first_ns=PERIOD, work=work, slack_ns=0, group=group
    )
    state, _ = b.build([task])
    run_until(state, PERIOD + 40 * MS)
    assert int(state.tasks[task]["state"]) == es.SLEEPING  # 36 ms at one go


def test_an_idle_group_stops_its_timer() -> None:
    b, group = limited(30 * MS)
    b.periodic("task", 0, [0], es.OTHER, 0, period_ns=10 * SECOND, first_ns=US, work=b.constant(US), slack_ns=0)
    b.tasks[-1]["group"] = group
    state, _ = b.build(watched=[])
    run_until(state, 5 * PERIOD)
    assert int(state.groups[0]["period_active"]) == 0
