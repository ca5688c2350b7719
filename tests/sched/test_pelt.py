"""PELT against its definition: the kernel's table, decay by half in 32 periods, averages of constant loads."""

from __future__ import annotations

import pytest

from rtsim.engine import constants as es
from rtsim.engine.state import State
from rtsim.sched import pelt
from tests.engine.small import machine

PERIOD = 1024 * 1024
"""ns."""

KERNEL_TABLE = """
    ffffffff fa83b2da f5257d14 efe4b99a eac0c6e6 e5b906e6 e0ccdeeb dbfbb796 d744fcc9 d2a81d91 ce248c14 c9b9bd85
    c5672a10 c12c4cc9 bd08a39e b8fbaf46 b504f333 b123f581 ad583ee9 a9a15ab4 a5fed6a9 a2704302 9ef5325f 9b8d39b9
    9837f050 94f4efa8 91c3d373 8ea4398a 8b95c1e3 88980e80 85aac367 82cd8698
"""
"""runnable_avg_yN_inv of the kernel's sched-pelt.h."""


def test_the_table_is_the_kernels() -> None:
    assert [f"{number:x}" for number in pelt._INVERSE] == KERNEL_TABLE.split()


@pytest.mark.parametrize(("periods", "left"), [(0, 1 << 40), (32, 1 << 39), (64, 1 << 38), (320, 1 << 30)])
def test_half_is_forgotten_in_32_periods(periods: int, left: int) -> None:
    assert left - 256 <= pelt.decay_load(1 << 40, periods) <= left


def test_everything_is_forgotten_after_63_halves() -> None:
    assert pelt.decay_load(2**62, 32 * 63 + 1) == 0


def test_a_decay_in_steps_is_the_decay_of_their_sum() -> None:
    for first, second in ((1, 1), (5, 27), (31, 40), (100, 3)):
        steps = pelt.decay_load(pelt.decay_load(10**12, first), second)
        assert steps == pytest.approx(pelt.decay_load(10**12, first + second), rel=1e-8)


@pytest.mark.parametrize("value", [2**31, 2**32 - 1, 2**33 + 2**31 + 12345, 10**15 + 7])
def test_decay_is_the_product_with_the_table_over_2_to_the_32_exactly(value: int) -> None:
    for periods in range(32):
        assert pelt.decay_load(value, periods) == value * int(KERNEL_TABLE.split()[periods], 16) >> 32


def loaded(weight: int) -> State:
    b = machine()
    b.hog("hog", 0, [0], es.OTHER, 0, group=b.group("group"))
    state, _ = b.build(watched=[])
    state.cfs_rqs[1]["load"] = weight << 10
    return state


def advance(state: State, now: int, step: int) -> int:
    """Bring the queue's average up to `now` in updates `step` apart; return it."""
    for clock in range(int(state.cfs_rqs[1]["load_updated"]) + step, now + 1, step):
        state.cpus[0]["clock"] = clock
        pelt.update_queue(state, 1, whole=False)
    return int(state.cfs_rqs[1]["load_avg"])


@pytest.mark.parametrize("weight", [3, 256, 1024, 88761])
def test_a_constant_load_becomes_its_average_half_the_way_in_32_periods(weight: int) -> None:
    state = loaded(weight)
    assert advance(state, 32 * PERIOD, PERIOD) == pytest.approx(weight / 2, rel=0.02, abs=1)
    assert advance(state, 500 * PERIOD, PERIOD) == pytest.approx(weight, rel=1e-3, abs=1)
    state.cfs_rqs[1]["load"] = 0
    assert advance(state, 532 * PERIOD, PERIOD) == pytest.approx(weight / 2, rel=0.02, abs=1)


def test_averages_do_not_depend_on_when_they_are_brought_up_to_date() -> None:
    until = 96 * PERIOD
    averages = [advance(loaded(1024), until, step) for step in (PERIOD // 4, PERIOD, 3 * PERIOD, until)]
    assert max(averages) - min(averages) <= 2


def test_the_least_weight_is_2() -> None:
    state = loaded(1)
    state.cfs_rqs[1]["load"] = 5
    assert advance(state, 900 * PERIOD, PERIOD) in (1, 2)  # of 2, rounded down
