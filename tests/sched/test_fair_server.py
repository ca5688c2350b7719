"""The fair server's states on exact traces: deferred, boosted, replenished, stopped (dl_server in deadline.c, 6.12)."""

from __future__ import annotations

import pytest

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder
from tests.engine.small import MS, SECOND, US, job_at, machine, run

EEVDF = {"fair": es.EEVDF, "delay_dequeue": 1, "custom_slice": 1, "preempt_short": 1}


def served(**fields: int) -> Builder:
    return machine(trace_length=1 << 15, **{**EEVDF, "fair_server_runtime": 50 * MS, **fields})


def test_a_starved_hog_gets_50_ms_of_each_second() -> None:
    b = served()
    b.hog("fifo", 0, [0], es.FIFO, 99)
    b.hog("fair", 0, [0], es.OTHER, 0)
    done = run(b, 4 * SECOND)
    # 950 ms deferred; boosted from then on once a period, to the first tick at which the budget is used up
    assert done.stretches("fair", 4 * SECOND) == [
        (950 * MS, 50 * MS), (1_950 * MS, 50 * MS), (2_950 * MS, 50 * MS), (3_950 * MS, 50 * MS),
    ]  # fmt: skip


def test_what_a_tick_lets_the_server_overrun_is_taken_off_the_next_budget() -> None:
    b = served(fair_server_runtime=49 * MS)
    b.hog("fifo", 0, [0], es.FIFO, 99)
    b.hog("fair", 0, [0], es.OTHER, 0)
    lengths = [length for _, length in run(b, 4 * SECOND).stretches("fair", 4 * SECOND)]
    assert lengths == [49 * MS, 49 * MS, 49 * MS, 49 * MS]


def test_a_runtime_of_zero_switches_the_server_off() -> None:
    b = served(fair_server_runtime=0)
    b.hog("fifo", 0, [0], es.FIFO, 1)
    b.hog("fair", 0, [0], es.OTHER, 0)
    assert run(b, 3 * SECOND).stretches("fair", 3 * SECOND) == []


def test_fair_tasks_that_get_their_share_are_never_boosted() -> None:
    b = served()
    b.periodic("fifo", 0, [0], es.FIFO, 1, period_ns=100 * MS, first_ns=0, work=b.constant(90 * MS), slack_ns=0)
    b.hog("fair", 0, [0], es.OTHER, 0)
    lengths = [length for _, length in run(b, 3 * SECOND).stretches("fifo", 3 * SECOND)]
    assert lengths[1:] == [90 * MS] * 29  # behind the one in which it goes to sleep until its first release


def test_idle_time_counts_as_service() -> None:
    b = served()
    fair = b.server("fair", 0, [0], es.OTHER, 0)
    job_at(b, fair, 10 * MS, MS)
    job_at(b, b.server("fifo", 0, [0], es.FIFO, 1), 500 * MS, 2 * SECOND)
    job_at(b, fair, 600 * MS, MS)
    done = run(b, 2 * SECOND)
    # started at 10 ms; 489 ms idle used that budget up, so the wait ends with the period, at 1010 ms, not at 960 ms
    assert done.stretches("fair", 2 * SECOND) == [(10 * MS, MS), (1_010 * MS, MS)]


def sleeper(b: Builder) -> int:
    return b.periodic(
        "sleeper", 0, [0], es.OTHER, 0, period_ns=10 * MS, first_ns=2 * MS, work=b.constant(50 * US), slack_ns=50 * US
    )


def test_a_light_sleeper_starves_for_950_ms_of_each_1950_ms() -> None:
    b = served()
    b.hog("fifo", 0, [0], es.FIFO, 1)
    sleeper(b)
    waits = run(b, 4 * SECOND, [1]).samples("sleeper")
    # from 950 ms the server is active: it stops and starts with each wake-up, until its deadline at 1.95 s has passed
    assert [(n, wait) for n, wait in enumerate(waits) if wait > 50 * US] == [(100, 950 * MS)]
    assert len(waits) == 200


def test_after_a_boost_a_server_with_idle_wait_defers_anew() -> None:
    b = served(fair_server_idle_wait=1)
    b.hog("fifo", 0, [0], es.FIFO, 1)
    sleeper(b)
    assert run(b, 4 * SECOND, [1]).samples("sleeper") == [950 * MS] * 3


def test_a_boosted_task_runs_above_fifo_99_and_below_an_earlier_deadline() -> None:
    b = served()
    b.hog("fifo", 0, [0], es.FIFO, 99)
    b.hog("fair", 0, [0], es.OTHER, 0)
    deadline = b.server(
        "deadline", 0, [0], es.DEADLINE, 0, dl_runtime=20 * MS, dl_deadline=SECOND // 2, dl_period=SECOND
    )
    job_at(b, deadline, 960 * MS, 5 * MS)
    done = run(b, SECOND + 10 * MS)
    assert done.switches()[-4:] == [
        (950 * MS, "fair"), (960 * MS, "deadline"), (965 * MS, "fair"), (1_008 * MS, "fifo"),
    ]  # fmt: skip


@pytest.mark.parametrize("idle_wait", [0, 1])
def test_the_server_of_an_idle_cpu_stops(idle_wait: int) -> None:
    b = served(fair_server_idle_wait=idle_wait)
    job_at(b, b.server("fair", 0, [0], es.OTHER, 0), 10 * MS, MS)
    done = run(b, 5 * SECOND)
    server = done.state.dl_entities[1]
    assert (server["server_active"], server["on_rq"]) == (0, 0)
    assert int(done.state.cpus[0]["sched_timer"]) == -1
