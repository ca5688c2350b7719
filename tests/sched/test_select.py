"""Which CPU a woken fair task is queued on: one table a rule of ``select_task_rq_fair`` (6.1 and 6.12 agree)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from rtsim.engine import constants as es
from rtsim.engine.state import State
from rtsim.sched import select
from tests.engine.small import MS
from tests.sched.topologies import structured

WAKEE = 0
NONE = es.NONE
EVERYWHERE = range(16)


def world(
    *, busy: Iterable[int] = (), batch_idle: Iterable[int] = (), allowed: Iterable[int] = EVERYWHERE,
    isolated: tuple[int, ...] = (), pending: Iterable[int] = (),
) -> State:  # fmt: skip
    """Two sockets of four cores with two threads, 16 CPUs, a cache a socket; `busy` CPUs run a task each.

    `batch_idle` ones run a SCHED_IDLE task; on `pending` ones a task is about to arrive.
    """
    b = structured(2, 4, 2, isolated=isolated)
    b.hog("wakee", 0, allowed, es.OTHER, 0)
    for cpu in EVERYWHERE:
        b.hog(f"runner{cpu}", 0, [cpu], es.OTHER, 0)
    state, _ = b.build([])
    for cpu in {*busy, *batch_idle}:
        state.cpus[cpu]["curr"] = 1 + cpu
        state.cpus[cpu]["nr_running"] = 1
    for cpu in batch_idle:
        state.cfs_rqs[cpu]["h_nr_idle"] = 1
    for cpu in pending:
        state.cpus[cpu]["wakelist"] = 1 + cpu
    state.m[0]["now"] = 1_000 * MS
    return state


def woken(state: State, here: int, prev: int, recent: int | None = None) -> int:
    """Return where the wakee goes that ran on `prev` and is woken by `here`."""
    state.tasks[WAKEE]["cpu"] = prev
    state.entities[WAKEE]["queue"] = prev
    state.tasks[WAKEE]["recent_cpu"] = prev if recent is None else recent
    return int(select.select_task_rq_fair(state, WAKEE, here))


# ---- beside the waker or where it ran --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("here", "prev", "busy", "goes_to", "why"),
    [
        (0, 0, (), 0, "woken where it was, idle"),
        (0, 2, (), 2, "both idle, one cache: where it was"),
        (0, 2, (2,), 0, "the waker's CPU idles, its own does not"),
        (0, 2, (0,), 2, "the waker's CPU is busy, its own idles"),
        (0, 8, (), 8, "an idle CPU of another cache is no reason to move while its own idles"),
        (0, 8, (0,), 8, "its own idles in another cache"),
    ],
)  # fmt: skip
def test_idle_waker_or_idle_previous(here: int, prev: int, busy: tuple[int, ...], goes_to: int, why: str) -> None:
    assert woken(world(busy=busy), here, prev) == goes_to, why


@pytest.mark.parametrize(
    ("sync", "here_running", "prev_idle", "target"),
    [
        (True, 1, False, 0),  # the waker, alone on its CPU, is about to sleep
        (True, 2, False, 2),
        (False, 1, False, 2),
        (True, 1, True, 0),  # asked before whether the previous CPU idles
        (False, 2, True, 2),
    ],
)
def test_a_synchronous_wake_up_takes_the_place_of_a_waker_that_is_alone(
    sync: bool, here_running: int, prev_idle: bool, target: int
) -> None:
    state = world(busy=(0,) if prev_idle else (0, 2))
    state.cpus[0]["nr_running"] = here_running
    loads(state, {0: 4_000, 2: 1_000})
    state.tasks[WAKEE]["cpu"] = state.entities[WAKEE]["queue"] = 2
    domain = int(state.cpus[0]["domain"]) + 1
    assert select.wake_affine(state, domain, WAKEE, 0, 2, sync) == target


def loads(state: State, by_cpu: Mapping[int, int], task: int = 0) -> None:
    """Set load averages of CPUs, and of the wakee."""
    for cpu, load in by_cpu.items():
        state.cfs_rqs[cpu]["load_avg"] = load
    state.entities[WAKEE]["load_avg"] = task


@pytest.mark.parametrize(
    ("here_load", "prev_load", "rt_share", "target"),
    [
        (1_000, 1_000, 0, 0),  # 100 against 108: the waker's CPU has a bonus of half the imbalance percentage
        (1_079, 1_000, 0, 0),
        (1_080, 1_000, 0, 2),  # equal then
        (2_000, 1_000, 0, 2),
        (1_000, 900, 512, 2),  # realtime tasks leave half of the waker's CPU: its load counts twice
    ],
)
def test_both_busy_the_lesser_load_wins(here_load: int, prev_load: int, rt_share: int, target: int) -> None:
    state = world(busy=(0, 2))
    state.cpus[0]["rt_avg"] = rt_share
    state.cpus[0]["rt_updated"] = state.cpus[2]["rt_updated"] = 1_000 * MS
    loads(state, {0: here_load, 2: prev_load})
    state.tasks[WAKEE]["cpu"] = state.entities[WAKEE]["queue"] = 2
    domain = int(state.cpus[0]["domain"]) + 1
    assert select.wake_affine(state, domain, WAKEE, 0, 2, False) == target


def test_the_wakee_itself_is_taken_off_where_it_was_and_put_on_where_it_may_go() -> None:
    state = world(busy=(0, 2))
    loads(state, {0: 1_000, 2: 1_500}, task=300)
    state.tasks[WAKEE]["cpu"] = state.entities[WAKEE]["queue"] = 2
    domain = int(state.cpus[0]["domain"]) + 1
    # 1000 + 299 against (1500 - 299) * 1.08: the task counts h_load, a unit less than its average
    assert select.wake_affine(state, domain, WAKEE, 0, 2, False) == 2
    loads(state, {0: 990, 2: 1_500}, task=300)
    assert select.wake_affine(state, domain, WAKEE, 0, 2, False) == 0


@pytest.mark.parametrize(
    ("allowed", "goes_to"), [(EVERYWHERE, 0), (range(2, 16), 3)], ids=["waker in the mask", "waker outside"]
)
def test_a_waker_outside_the_mask_does_not_attract(allowed: Iterable[int], goes_to: int) -> None:
    state = world(busy=(2,), allowed=allowed)
    state.llcs[0]["idle_cores"] = 0
    assert woken(state, 0, 2) == goes_to


# ---- wide wakers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("waker", "wakee", "wide"),
    [
        (64, 8, True),  # a cache of 8 CPUs: slave >= 8 and master >= 8 * slave
        (63, 8, False),
        (64, 7, False),
        (8, 64, True),  # whichever has more is the master
        (0, 0, False),
    ],
)
def test_wake_wide(waker: int, wakee: int, wide: bool) -> None:
    state = world(busy=(0,))
    state.tasks[1]["waker_flips"] = waker
    state.tasks[WAKEE]["waker_flips"] = wakee
    assert select.wake_wide(state, 0, WAKEE) == wide


def test_a_wide_waker_does_not_attract() -> None:
    state = world(busy=(2,))
    state.llcs[0]["idle_cores"] = 0
    state.cpus[0]["waker_flips"], state.tasks[WAKEE]["waker_flips"] = 1_000, 100
    assert woken(state, 0, 2) == 3  # its sibling, not the waker's idle CPU


def test_partners_are_counted_and_forgotten() -> None:
    state = world(busy=(0,))
    for wakee in (5, 5, 6, 5):
        select.record_wakee(state, 0, wakee)
    assert int(state.tasks[1]["waker_flips"]) == 3
    state.m[0]["now"] += 1_004 * MS
    select.record_wakee(state, 0, 5)
    assert int(state.tasks[1]["waker_flips"]) == 1  # halved after a second, and no new partner
    select.record_wakee(state, 4, 5)
    assert int(state.cpus[4]["waker_flips"]) == 1  # an idle CPU's own


# ---- an idle CPU nearby ----------------------------------------------------------------------------------------------


def nearby(state: State, prev: int, target: int, recent: int | None = None, *, idle_cores: bool = False) -> int:
    for llc in state.llcs:
        llc["idle_cores"] = int(idle_cores)
    state.tasks[WAKEE]["recent_cpu"] = prev if recent is None else recent
    return int(select.select_idle_sibling(state, WAKEE, prev, target))


@pytest.mark.parametrize(
    ("busy", "batch_idle", "prev", "target", "recent", "goes_to", "why"),
    [
        ((), (), 0, 0, 0, 0, "the target idles"),
        ((), (0,), 0, 0, 0, 0, "only SCHED_IDLE tasks there: as good as idle"),
        ((4,), (), 0, 4, 0, 0, "the previous one idles and shares the cache"),
        ((4, 5), (), 8, 4, 8, 6, "the previous one idles, but shares no cache: the first idle one behind the target"),
        ((0, 1), (), 0, 0, 6, 6, "one used recently idles"),
        ((0, 1), (), 0, 0, 8, 2, "one used recently in another cache does not count"),
        ((0, 6), (), 0, 0, 6, 1, "one used recently is busy: the sibling"),
        ((0,), (), 0, 0, 0, 1, "the idle sibling of the previous one"),
        ((0, 1, 2), (), 0, 0, 0, 3, "no idle sibling: the next idle one behind the target"),
        ((6, 7), (), 6, 6, 6, 0, "the search wraps at the end of the cache"),
        ((0, 1, 2), (4,), 0, 0, 0, 3, "idle comes first in order"),
        ((0, 1, 2, 3), (4,), 0, 0, 0, 4, "SCHED_IDLE tasks only"),
        (tuple(range(8)), (), 0, 0, 0, 0, "nothing idle in the cache: behind the others, though another cache idles"),
    ],
)  # fmt: skip
def test_select_idle_sibling(
    busy: tuple[int, ...], batch_idle: tuple[int, ...], prev: int, target: int, recent: int, goes_to: int, why: str
) -> None:
    assert nearby(world(busy=busy, batch_idle=batch_idle), prev, target, recent) == goes_to, why


@pytest.mark.parametrize(
    ("busy", "goes_to", "why"),
    [
        ((0,), 2, "a whole idle core comes before the idle sibling"),
        ((0, 2), 4, "the next core with both threads idle"),
        ((0, 2, 4, 6), 1, "no core is wholly idle: the first idle thread behind the target"),
    ],
)
def test_whole_idle_cores_first(busy: tuple[int, ...], goes_to: int, why: str) -> None:
    state = world(busy=busy)
    assert nearby(state, 0, 0, idle_cores=True) == goes_to, why
    assert int(state.llcs[0]["idle_cores"]) == int(goes_to != 1)  # a search in vain is not repeated


def test_an_idle_core_counts_by_the_thread_that_the_mask_allows() -> None:
    assert nearby(world(busy=(0,), allowed=(0, 5)), 0, 0, idle_cores=True) == 5


@pytest.mark.parametrize(("nr_idle_scan", "goes_to"), [(0, 0), (3, 0), (4, 4), (8, 4)])
def test_the_search_is_as_long_as_the_use_of_the_cache_makes_worth_while(nr_idle_scan: int, goes_to: int) -> None:
    state = world(busy=(0, 1, 2, 3))
    state.llcs[0]["nr_idle_scan"] = nr_idle_scan
    assert nearby(state, 0, 0) == goes_to


def test_a_cpu_that_a_task_is_on_its_way_to_is_not_idle() -> None:
    assert nearby(world(busy=(0, 1), pending=(2,)), 0, 0) == 3


def test_the_mask_is_kept() -> None:
    assert nearby(world(busy=(0,), allowed=(0, 7, 9)), 0, 0) == 7
    assert nearby(world(busy=(0, 7), allowed=(0, 7, 9)), 0, 0) == 0


def test_isolated_cpus_attract_nobody_and_a_task_on_one_stays() -> None:
    state = world(busy=(0, 1, 4, 5), allowed=(0, 1, 2, 3, 4, 5), isolated=(2, 3))
    assert woken(state, 0, 1) == 1
    state = world(busy=(2,), allowed=(2, 3), isolated=(2, 3))
    assert woken(state, 2, 2) == 2
    assert woken(state, 3, 2) == 2  # woken by an idle CPU that shares no cache with it, being isolated


def test_a_cpu_that_goes_idle_tells_of_its_idle_core() -> None:
    state = world(busy=(3,))
    state.llcs[0]["idle_cores"] = 0
    select.note_idle_core(state, 2)
    assert int(state.llcs[0]["idle_cores"]) == 0
    select.note_idle_core(state, 4)
    assert int(state.llcs[0]["idle_cores"]) == 1
