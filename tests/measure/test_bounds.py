"""Response-time analysis and the bound of rtsl, against published figures and by hand."""

from __future__ import annotations

from fractions import Fraction

import pytest

from rtsim.measure.bounds import (
    UNDISTURBED,
    Bucket,
    PeriodicTask,
    RtslParts,
    least_of,
    response_time,
    rtsl_bound,
    sliding_window,
)

README = RtslParts(poid=56194, paie=5167, psd=48092, dst=45883)
"""The example in the README of rtsl."""


def test_a_textbook_set() -> None:
    # Buttazzo, Hard Real-Time Computing Systems: C = 1, 1, 2, 1; T = 4, 5, 6, 11
    tasks = [PeriodicTask(9 - n, c, t) for n, (c, t) in enumerate([(1, 4), (1, 5), (2, 6), (1, 11)])]
    assert response_time(tasks) == [1, 2, 4, 10]


def test_a_later_job_of_the_busy_period_may_be_the_worst() -> None:
    # Lehoczky 1990: C = 26, 62; T = 70, 100; the first job takes 114, the third is the longest of the seven
    tasks = [PeriodicTask(2, 26, 70), PeriodicTask(1, 62, 100)]
    assert response_time(tasks) == [26, 118]


def test_jitter_and_blocking_come_on_top() -> None:
    assert response_time([PeriodicTask(1, 10, 100, jitter_ns=7, blocking_ns=5)]) == [22]
    # released 20 late and then on time, the stronger one comes twice
    assert response_time([PeriodicTask(2, 10, 50, jitter_ns=20), PeriodicTask(1, 35, 500)])[1] == 55


def test_equals_wait_for_each_other() -> None:
    assert response_time([PeriodicTask(5, 10, 100), PeriodicTask(5, 20, 100)]) == [30, 30]


def test_there_is_no_bound_without_a_rest() -> None:
    tasks = [PeriodicTask(3, 5, 10), PeriodicTask(2, 5, 10), PeriodicTask(1, 1, 100)]
    assert response_time(tasks) == [5, None, None]


def test_the_example_of_rtsl() -> None:
    assert README.interference_free == 109453
    assert rtsl_bound(README) == 109453


def test_a_scheduling_tail_longer_than_other_sections_takes_their_place() -> None:
    assert RtslParts(poid=10, paie=1, psd=2, dst=30).interference_free == 33


def test_interrupts_lengthen_the_window_they_are_counted_in() -> None:
    timer = [(n * 100_000, 50_000) for n in range(50)]
    # two begin within 109 us, three within the 209 us that makes; no fourth within 259 us
    assert rtsl_bound(README, sliding_window({"timer": timer})) == 109453 + 3 * 50_000


def test_each_vector_has_its_own_worst_window() -> None:
    bursts = sliding_window({"a": [(0, 5), (10, 5), (1000, 5)], "b": [(500, 7)], "c": []})
    assert [bursts(length) for length in (1, 10, 11, 2000)] == [12, 12, 17, 22]


@pytest.mark.parametrize("share", [100_000, 150_000])
def test_interrupts_that_leave_nothing_have_no_bound(share: int) -> None:
    assert rtsl_bound(README, lambda window: window * share // 100_000) is None


def test_the_least_of_several_buckets_counts() -> None:
    slow, fast = Bucket(1_000, Fraction(1, 256)), Bucket(100, Fraction(1, 2))
    within = least_of([slow, fast])
    assert [within(window) for window in (0, 200, 100_000)] == [100, 200, 1_391]
    assert rtsl_bound(RtslParts(900, 0, 0, 0), within) == 1_908  # 900 + 1,000 + ceil(1,908 / 256)


def test_a_bucket_that_takes_all_the_time_leaves_no_bound() -> None:
    assert rtsl_bound(RtslParts(900, 0, 0, 0), Bucket(0, Fraction(1)).within) is None


def test_interruptions_lengthen_responses() -> None:
    tasks = [PeriodicTask(2, 10, 100), PeriodicTask(1, 20, 200)]
    assert response_time(tasks, UNDISTURBED) == response_time(tasks) == [10, 30]
    assert response_time(tasks, Bucket(5, Fraction(1, 4))) == [20, 47]  # 10 + 5 + 20 / 4; 30 + 5 + ceil(47 / 4)
    assert response_time(tasks, Bucket(0, Fraction(4, 5))) == [50, None]
