"""Recorded sources strike when they did, for as long as they did, once or again and again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from rtsim.engine import constants as es
from tests.engine.small import MS, US, machine, run

ROWS = [[0, 5 * US], [2 * MS, 0], [2 * MS, 30 * US], [9 * MS, 7 * US]]


def strikes(rows: Sequence[Sequence[int]], until_ns: int, **source: Any) -> list[tuple[int, int]]:
    """Return (time, duration) of each arrival at an interrupt of CPU 0 with recorded `rows`."""
    b = machine()
    b.source("recorded", es.NOISE_IRQ, cpu=0, recorded=np.array(rows), **source)
    done = run(b, until_ns)
    assert int(done.state.cpus[0]["irq_ns"]) == sum(row[4] for row in done.records(es.TR_NOISE))
    return [(row[0], row[4]) for row in done.records(es.TR_NOISE)]


def test_every_row_strikes_once() -> None:
    assert strikes(ROWS, 30 * MS) == [(time, duration) for time, duration in ROWS]


def test_a_recording_begins_again_after_its_length() -> None:
    expected = [(time + turn * 10 * MS, duration) for turn in range(3) for time, duration in ROWS]
    assert strikes(ROWS, 29_999_999, period_ns=10 * MS) == expected


@pytest.mark.parametrize("kind", [es.NOISE_SOFTIRQ, es.NOISE_HARDWARE, es.NOISE_NMI])
def test_each_class_takes_what_was_recorded(kind: int) -> None:
    b = machine()
    b.source("recorded", kind, cpu=0, recorded=np.array(ROWS), vector=es.VEC_NET_RX)
    done = run(b, 20 * MS)
    cpu = done.state.cpus[0]
    assert int(cpu["irq_ns"] + cpu["softirq_ns"] + cpu["hardware_ns"]) == sum(duration for _, duration in ROWS)


def test_sources_have_rows_of_their_own() -> None:
    b = machine(2)
    for cpu, rows in enumerate([[[MS, US]], [[MS, 2 * US], [3 * MS, 4 * US]]]):
        b.source(f"recorded{cpu}", es.NOISE_IRQ, cpu=cpu, recorded=np.array(rows))
    done = run(b, 5 * MS)
    assert done.state.cpus["irq_ns"].tolist() == [US, 6 * US]


def test_a_thread_that_waits_long_loses_no_arrival() -> None:
    b = machine()
    rows = np.array([[n * US, US] for n in range(1000)])
    b.hog("strong", 0, [0], es.FIFO, 90)
    late = b.server("late", 0, [0], es.FIFO, 10, room=len(rows))
    b.source("late", es.NOISE_THREAD, task=late, recorded=rows)
    assert int(run(b, 5 * MS).state.m[0]["lost_jobs"]) == 0


def test_a_stronger_task_delays_a_recorded_thread_and_a_weaker_one_is_delayed() -> None:
    b = machine()
    thread = b.server("thread", 0, [0], es.FIFO, 50, room=1)
    b.source("thread", es.NOISE_THREAD, task=thread, recorded=np.array([[MS + US, 100 * US]]))
    tasks = [
        b.periodic(name, 0, [0], es.FIFO, priority, period_ns=100 * MS, first_ns=MS, work=b.constant(10 * US),
                   slack_ns=0)
        for name, priority in (("strong", 60), ("weak", 40))
    ]  # fmt: skip
    done = run(b, 2 * MS, [*tasks, thread])
    assert (done.samples("strong"), done.samples("thread"), done.samples("weak")) == ([0], [9 * US], [110 * US])
