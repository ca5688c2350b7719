"""Load balancing: who pulls what from where, when, and that no CPU idles beside a waiting task for long."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtsim.engine import constants as es
from rtsim.engine.state import State
from rtsim.sched import busiest, core, cpus, group_stats, pelt
from rtsim.sched.balance import balance_interval
from tests.engine.small import MS, TICK, US, Run, job_at, run
from tests.sched.topologies import structured

FAIR_CLASSES = pytest.mark.parametrize("fair", [es.CFS, es.EEVDF], ids=["cfs", "eevdf"])

# ---- averages --------------------------------------------------------------------------------------------------------


def test_a_task_that_always_runs_is_a_full_load_and_half_of_it_is_forgotten_in_32_periods() -> None:
    b = structured(1, 2, 1)
    b.hog("hog", 0, [0], es.OTHER, 0)
    b.hog("floating", 0, [0, 1], es.OTHER, 0)
    state = run(b, 1_000 * MS).state
    assert 1_020 <= int(state.entities[0]["util_avg"]) <= 1_024
    assert 1_020 <= int(state.entities[0]["load_avg"]) <= 1_024
    assert pelt.decay_load(1 << 20, 32) == pytest.approx(1 << 19, abs=1)
    assert 1_000 <= int(state.cfs_rqs[0]["util_avg"]) <= 1_024


@FAIR_CLASSES
def test_loads_move_with_tasks_and_are_neither_lost_nor_made(fair: int) -> None:
    b = structured(1, 2, 2, fair=fair)
    for number in range(7):
        b.hog(f"hog{number}", 0, range(4), es.OTHER, number % 3)
    state = run(b, 700 * MS).state
    assert sum(int(task["migrations"]) for task in state.tasks) > 7
    for cpu in range(4):
        here = [row for row, task in enumerate(state.tasks) if task["cpu"] == cpu]
        total = sum(int(state.entities[row]["load_avg"]) for row in here)
        assert int(state.cfs_rqs[cpu]["load_avg"]) == pytest.approx(total, rel=0.03)


@pytest.mark.parametrize(
    ("first_ns", "least", "most"),
    [
        (1_500 * US, 430, 600),  # ticks find it running: its CPU balances, and works out what is left
        (MS, 1_024, 1_024),  # they find its CPU idle, which has no reason to balance
    ],
)
def test_realtime_tasks_take_capacity(first_ns: int, least: int, most: int) -> None:
    b = structured(1, 2, 1)
    b.periodic("rt", 0, [0], es.FIFO, 5, period_ns=2 * MS, first_ns=first_ns, work=b.constant(MS), slack_ns=0)
    b.hog("floating", 0, [0, 1], es.OTHER, 0)
    state = run(b, 500 * MS).state
    assert least <= cpus.capacity_of(state, 0) <= most
    assert cpus.capacity_of(state, 1) == 1_024


# ---- how busy a group is ---------------------------------------------------------------------------------------------


def stats(*, nr: int, util: int, runnable: int, weight: int = 2, capacity: int = 2_048) -> State:
    state, _ = structured().build([])
    row = state.lb_groups[group_stats.CANDIDATE]
    row["nr_running"], row["util"], row["runnable"] = nr, util, runnable
    row["weight"], row["capacity"] = weight, capacity
    return state


@pytest.mark.parametrize(
    ("nr", "util", "runnable", "kind"),
    [
        (0, 0, 0, group_stats.HAS_SPARE),
        (1, 1_024, 1_024, group_stats.HAS_SPARE),  # a CPU is free
        (2, 1_700, 2_000, group_stats.HAS_SPARE),  # 1700 * 1.17 < 2048
        (2, 1_800, 2_000, group_stats.FULLY_BUSY),
        (2, 100, 2_500, group_stats.FULLY_BUSY),  # tasks wait for each other
        (3, 1_700, 2_000, group_stats.HAS_SPARE),
        (3, 1_800, 2_000, group_stats.OVERLOADED),
        (3, 100, 2_500, group_stats.OVERLOADED),
    ],
)
def test_types_of_groups(nr: int, util: int, runnable: int, kind: int) -> None:
    state = stats(nr=nr, util=util, runnable=runnable)
    assert group_stats.classify(state, group_stats.CANDIDATE, 0, 117) == kind


@pytest.mark.parametrize(
    ("imbalance", "running", "imb_numa_nr", "worth"), [(2, 1, 4, 0), (3, 1, 4, 3), (2, 5, 4, 2), (1, 1, 0, 1)]
)
def test_nodes_may_be_a_little_unequal_while_tasks_are_few(
    imbalance: int, running: int, imb_numa_nr: int, worth: int
) -> None:
    assert busiest.adjust_numa_imbalance(imbalance, running, imb_numa_nr) == worth


@pytest.mark.parametrize(
    ("cpus", "level", "busy", "ticks"),
    [
        (4, 0, False, 1),  # 2 ms of an SMT domain: a tick
        (4, 0, True, 7),  # 16 times as long, less a tick: 32 ms
        (8, 1, False, 2),
        (8, 1, True, 31),
        (256, 1, True, 1_023),
        (512, 1, True, 2_047),
    ],
)
def test_intervals_grow_with_the_domain_and_on_busy_cpus(cpus: int, level: int, busy: bool, ticks: int) -> None:
    state, _ = structured(1, cpus // 2, 2).build([])
    assert balance_interval(state, int(state.cpus[0]["domain"]) + level, busy) == ticks


# ---- what comes of it ------------------------------------------------------------------------------------------------


def fills_within(done: Run, limit_ns: int, until_ns: int) -> None:
    """No CPU idles longer than `limit_ns` beside another with two tasks or more to run that could go there."""
    rows = done.records(es.TR_SWITCH, es.TR_WAKING, es.TR_BLOCK, es.TR_MIGRATE)
    count = len(done.state.cpus)
    where: dict[int, int] = {}
    busy: dict[int, int] = {}
    idle_beside_waiting: dict[int, int] = {}
    for time, kind, cpu, task, _ in rows:
        if kind == es.TR_BLOCK:
            where.pop(task, None)
        elif task >= 0:
            where[task] = cpu
        if kind == es.TR_SWITCH:
            busy[cpu] = task
        waiting = [each for each, on in where.items() if busy.get(on, -1) not in (each, -1)]
        for other in range(count):
            fits = any(int(done.state.tasks[each]["allowed"][0]) >> other & 1 for each in waiting)
            if busy.get(other, -1) >= 0 or not fits:
                idle_beside_waiting.pop(other, None)
            else:
                since = idle_beside_waiting.setdefault(other, time)
                assert time - since <= limit_ns, (time, other, waiting)
    assert all(until_ns - since <= limit_ns for since in idle_beside_waiting.values())


@FAIR_CLASSES
def test_hogs_spread_over_cores_before_siblings(fair: int) -> None:
    b = structured(1, 4, 2, fair=fair)
    for number in range(4):
        b.hog(f"hog{number}", 0, range(8), es.OTHER, 0)
    done = run(b, 100 * MS)
    assert {int(task["cpu"]) // 2 for task in done.state.tasks} == {0, 1, 2, 3}
    assert all(int(task["cpu_ns"]) == 100 * MS for task in done.state.tasks)


@FAIR_CLASSES
def test_more_hogs_than_cpus_share_them_over_time(fair: int) -> None:
    b = structured(1, 2, 1, fair=fair, base_slice=1_400 * US)
    for number in range(3):
        b.hog(f"hog{number}", 0, [0, 1], es.OTHER, 0)
    done = run(b, 4_000 * MS)
    shares = sorted(int(task["cpu_ns"]) / 4e9 for task in done.state.tasks)
    assert sum(shares) == pytest.approx(2)
    assert shares[0] > 0.5  # each has its turn alone on a CPU; without balancing two would have a half each, for ever
    assert shares[-1] < 0.85
    assert sum(int(task["migrations"]) for task in done.state.tasks) > 10


@FAIR_CLASSES
def test_a_hog_behind_a_pinned_one_is_pulled_by_the_cpu_that_falls_idle(fair: int) -> None:
    b = structured(1, 2, 1, fair=fair)
    b.hog("pinned", 0, [0], es.OTHER, 0)
    b.hog("other", 0, [0, 1], es.OTHER, 0)
    job_at(b, b.server("thread", 0, [1], es.FIFO, 50), 20 * MS, 30 * MS)
    done = run(b, 200 * MS)
    fills_within(done, 3 * TICK, 200 * MS)
    assert int(done.task("other")["cpu_ns"]) >= 160 * MS


def test_the_running_task_is_pushed_where_balancing_can_move_no_other() -> None:
    b = structured(1, 2, 1)
    b.hog("floating", 0, [0, 1], es.OTHER, 0)
    rt = b.periodic("rt", 0, [0], es.FIFO, 5, period_ns=2 * MS, first_ns=20 * MS, work=b.constant(900 * US), slack_ns=0)
    done = run(b, 400 * MS, [rt])
    # half of CPU 0 is gone for fair tasks: the idle CPU 1 takes the one there, running or not
    assert done.task("floating")["cpu"] == 1
    assert int(done.task("floating")["migrations"]) == 1


@FAIR_CLASSES
def test_a_running_task_that_is_pushed_away_and_pulled_back_at_once_still_runs(fair: int) -> None:
    """CPU 1 runs a FIFO task when the stopper of CPU 0 brings it another; CPU 0, idle by that, pulls it again."""
    b = structured(1, 1, 2, fair=fair)  # siblings: what ran is not hot between them
    hog = b.hog("floating", 0, [0, 1], es.OTHER, 0)
    b.hog("fifo", 0, [1], es.FIFO, 5)
    state = run(b, 50 * MS).state
    assert int(state.cpus[0]["curr"]) == hog
    state.cpus[0]["active_balance"], state.cpus[0]["push_cpu"] = 1, 1
    assert core.pick_next_task(state, 0) == hog
    assert int(state.tasks[hog]["migrations"]) >= 2
    assert int(state.cfs_rqs[0]["curr"]) == hog
    assert int(state.cfs_rqs[0]["root"]) == es.NONE


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_no_cpu_idles_beside_a_waiting_hog_for_longer_than_balancing_takes(data: st.DataObject) -> None:
    b = structured(1, data.draw(st.integers(2, 4)), data.draw(st.integers(1, 2)), fair=data.draw(st.integers(0, 1)))
    count = len(b.cpus)
    for number in range(data.draw(st.integers(2, 5))):
        b.hog(f"hog{number}", 0, data.draw(st.sets(st.integers(0, count - 1), min_size=1)), es.OTHER, 0)
    for number in range(data.draw(st.integers(0, 2))):
        server = b.server(f"thread{number}", 0, [data.draw(st.integers(0, count - 1))], es.FIFO, 50)
        job_at(b, server, data.draw(st.integers(1, 40)) * MS, data.draw(st.integers(1, 60)) * MS)
    done = run(b, 200 * MS)
    # the widest domain's interval, doubled by passes in vain, and the failures until a running task is pushed
    fills_within(done, 60 * MS, 200 * MS)


@pytest.mark.parametrize("until_ms", [9, 50, 101, 333])
def test_idle_cpus_without_tick_are_those_in_the_mask(until_ms: int) -> None:
    b = structured(2, 4, 2, isolated=(15,))
    for number in range(5):
        b.hog(f"hog{number}", 0, range(number, 12), es.OTHER, 0)
    b.periodic("rt", 0, [14], es.FIFO, 5, period_ns=10 * MS, first_ns=MS, work=b.constant(5 * MS), slack_ns=0)
    state = run(b, until_ms * MS).state
    kernel = state.kernels[0]
    idle = {cpu for cpu in range(16) if state.cpus[cpu]["nohz_idle"]}
    assert {cpu for cpu in range(16) if int(kernel["nohz_mask"][0]) >> cpu & 1} == idle
    assert int(kernel["nohz_cpus"]) == len(idle)
    for llc, row in enumerate(state.llcs):
        members = {cpu for cpu in range(16) if state.cpus[cpu]["llc"] == llc}
        assert int(row["nr_busy"]) == len(members - idle)
    assert idle < set(range(15))


@FAIR_CLASSES
def test_isolated_cpus_are_not_balanced(fair: int) -> None:
    b = structured(1, 4, 1, isolated=(2, 3), fair=fair)
    for number in range(2):
        b.hog(f"vcpu{number}", 0, [2, 3], es.OTHER, 0)
    done = run(b, 300 * MS)
    assert {int(task["cpu"]) for task in done.state.tasks} == {2}
    assert int(done.state.cpus[3]["idle_ns"]) == 300 * MS


@FAIR_CLASSES
def test_without_a_task_that_may_move_nothing_is_kept_and_nothing_balanced(fair: int) -> None:
    b = structured(1, 4, 1, fair=fair)
    for number in range(6):
        b.hog(f"hog{number}", 0, [number % 4], es.OTHER, 0)
    state = run(b, 100 * MS).state
    assert int(state.kernels[0]["spread"]) == 0
    assert int(state.cfs_rqs[0]["load_avg"]) == 0
    assert all(int(domain["failed"]) == 0 for domain in state.domains)


# ---- balancing as a softirq ------------------------------------------------------------------------------------------


def hog_with_ksoftirqd(policy: int, *, cores: int = 2, **kernel: int) -> Run:
    """Run a pinned hog for a second beside ksoftirqd, on the first CPU of a socket of cores with one thread each."""
    b = structured(1, cores, 1, sched_softirq=4 * US, **kernel)
    b.hog("hog", 0, [0], policy, 1)
    b.softirq_thread("ksoftirqd/0", 0, "ksoftirqd", es.OTHER, 0, vectors=range(es.VECTORS))
    return run(b, 1_000 * MS)


@FAIR_CLASSES
def test_where_softirqs_are_threads_balancing_wakes_ksoftirqd_though_all_tasks_are_pinned(fair: int) -> None:
    done = hog_with_ksoftirqd(es.OTHER, force_irqthreads=1, fair=fair)
    woken = done.times(es.TR_WAKING, "ksoftirqd/0")
    assert all(time % TICK == 0 for time in woken)
    apart = {(after - before) // TICK for before, after in pairwise(woken[2:])}
    assert apart == {15}  # 4 ms, the longest interval of two CPUs, times busy_factor, less a tick
    assert len(woken) > 15
    assert int(done.task("ksoftirqd/0")["cpu_ns"]) == 4 * US * len(woken)


@FAIR_CLASSES
def test_a_cpu_that_is_left_to_sched_idle_tasks_is_balanced_at_its_next_tick(fair: int) -> None:
    """dequeue_task_fair makes balancing due as ksoftirqd leaves the CPU to the hog."""
    done = hog_with_ksoftirqd(es.IDLE_POLICY, force_irqthreads=1, fair=fair)
    woken = done.times(es.TR_WAKING, "ksoftirqd/0")
    assert {after - before for before, after in pairwise(woken[2:])} == {TICK}


def test_interrupts_that_end_with_their_softirqs_wake_no_thread_for_it() -> None:
    assert hog_with_ksoftirqd(es.OTHER).times(es.TR_WAKING, "ksoftirqd/0") == []
    assert hog_with_ksoftirqd(es.OTHER, cores=1, force_irqthreads=1).times(es.TR_WAKING, "ksoftirqd/0") == []


def test_a_realtime_task_keeps_balancing_waiting_and_what_is_raised_again_is_one_softirq() -> None:
    b = structured(1, 2, 1, sched_softirq=4 * US, force_irqthreads=1)
    hog = b.server("hog", 0, [0], es.FIFO, 1)
    job_at(b, hog, MS, 900 * MS)
    b.softirq_thread("ksoftirqd/0", 0, "ksoftirqd", es.OTHER, 0, vectors=range(es.VECTORS))
    done = run(b, 950 * MS)
    assert len(done.times(es.TR_WAKING, "ksoftirqd/0")) == 1
    assert int(done.task("ksoftirqd/0")["cpu_ns"]) == 4 * US


def test_as_the_last_fair_task_leaves_to_realtime_tasks_its_cpu_looks_for_another() -> None:
    """balance_fair comes before the pick, whoever is picked: the next balancing is due as on an idle CPU then.

    The fair server lets ksoftirqd run beside the hog, every other second; a busy CPU is balanced every 60 ms.
    """
    server = {"fair_server_runtime": 50 * MS, "fair_server_period": 1_000 * MS}
    b = structured(1, 2, 1, sched_softirq=4 * US, force_irqthreads=1, fair=es.EEVDF, **server)
    b.hog("hog", 0, [0], es.FIFO, 1)
    b.softirq_thread("ksoftirqd/0", 0, "ksoftirqd", es.OTHER, 0, vectors=range(es.VECTORS))
    woken = run(b, 2_000 * MS).times(es.TR_WAKING, "ksoftirqd/0")
    assert sum((after - before) == TICK for before, after in pairwise(woken)) > 200
