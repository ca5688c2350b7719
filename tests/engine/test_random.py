"""Random streams against Python's unbounded integers, and what they promise: other names never notice."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtsim.engine import random
from rtsim.engine.builder import Builder
from rtsim.engine.random import CELLS, LEVELS, TABLE_SIZE, stream
from rtsim.engine.state import State
from rtsim.profile import sample
from rtsim.profile.distributions import Constant, Exponential, Lognormal, Uniform
from tests.engine.called import called

draw = called(random.draw)
sample_table = called(random.sample_table)
scaled = called(random._scaled)
cost = called(random.cost)

BITS = 2**64 - 1

EDGES = sorted(
    {0, 1, 2, BITS, BITS - 1}
    | {1 << n for n in range(64)}
    | {(1 << n) - 1 for n in range(1, 64)}
    | {(1 << n) + 1 for n in range(64)}
    | {BITS ^ (1 << n) for n in range(64)}
)
"""Both sides of each level's border, and all of the first and last draws."""

WIDE = np.linspace(0, 2**62, TABLE_SIZE).astype(np.int64)
JUMP = np.where(np.arange(TABLE_SIZE) < TABLE_SIZE // 2, 0, np.int64(2**62))
"""One cell that is 2^62 ns wide."""


def reference_draw(key: int, gamma: int, n: int) -> int:
    """SplitMix64 as published: the state moves on by gamma, then two multiplications and three shifts mix it."""
    z = (key + n * gamma) & BITS
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & BITS
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & BITS
    return z ^ (z >> 31)


def state_with(table: np.ndarray) -> State:
    """A state whose table 0 is `table`."""
    b = Builder()
    b.table(table)
    b.kernel(1, tick_ns=4_000_000)
    b.cpu("cpu0", 0)
    return b.build(watched=[])[0]


int64s = st.integers(-(2**63), 2**63 - 1)


@settings(max_examples=500, deadline=None)
@given(key=int64s, gamma=int64s, n=st.integers(0, 2**62))
def test_a_draw_is_splitmix64_with_the_streams_own_increment(key: int, gamma: int, n: int) -> None:
    assert int(draw(key, gamma, n)) == reference_draw(key, gamma, n)


def test_the_published_sequence_of_splitmix64() -> None:
    """Seed 1234567 with the golden increment, as in the generators' reference lists."""
    golden = 0x9E3779B97F4A7C15 - 2**64
    assert [int(draw(1234567, golden, n)) for n in range(1, 4)] == [
        6457827717110365317, 3203168211198807973, 9817491932198370423,
    ]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**63), name=st.text(max_size=20), purpose=st.text(max_size=10))
def test_a_streams_increment_is_odd_and_changes_bits_often(seed: int, name: str, purpose: str) -> None:
    key, gamma = stream(seed, name, purpose)
    assert -(2**63) <= key < 2**63
    unsigned = gamma & BITS
    assert unsigned % 2 == 1
    assert (unsigned ^ (unsigned >> 1)).bit_count() >= 24


def test_streams_depend_on_seed_name_and_purpose_alone() -> None:
    digest = hashlib.blake2b(b"7\0host/irq/eth0\0arrival", digest_size=16).digest()
    key, _ = stream(7, "host/irq/eth0", "arrival")
    assert key == int.from_bytes(digest[:8], "little", signed=True)
    others = [(7, "host/irq/eth0", "duration"), (7, "host/irq/eth1", "arrival"), (8, "host/irq/eth0", "arrival")]
    assert len({key, *(stream(*other)[0] for other in others)}) == 4


def test_a_new_source_leaves_the_streams_of_the_others_untouched() -> None:
    def streams(names: list[str]) -> dict[str, tuple[int, ...]]:
        b = Builder(seed=3)
        b.kernel(1, tick_ns=4_000_000)
        b.cpu("host/cpu0", 0)
        duration = b.constant(0)
        for name in names:
            b.source(name, 2, duration=duration, cpu=0, period_ns=1_000)
        state, found = b.build(watched=[])
        fields = ("arrival_key", "arrival_gamma", "duration_key", "duration_gamma")
        return {
            name: tuple(int(row[f]) for f in fields) for name, row in zip(found.sources, state.sources, strict=True)
        }

    before, after = streams(["disk", "net"]), streams(["timer", "net", "disk"])
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize(
    "table",
    [
        Exponential(50_000.0).table(), Lognormal(8_000, 40_000).table(), Uniform(0, 1_000).table(),
        Uniform(0, 2**62).table(), Constant(0).table(), Constant(2**62).table(), WIDE, JUMP, np.arange(TABLE_SIZE),
    ],
    ids=["exponential", "lognormal", "uniform", "wide uniform", "zero", "largest", "wide", "jump", "index"],
)  # fmt: skip
def test_compiled_sampling_equals_the_reference(table: np.ndarray) -> None:
    state = state_with(table)
    key, gamma = stream(1, "draws", "reference")
    values = EDGES + [reference_draw(key, gamma, n) for n in range(20_000)]
    mismatches = [u for u in values if int(sample_table(state, 0, np.uint64(u))) != sample(table, u)]
    assert mismatches == []


@settings(max_examples=500, deadline=None)
@given(width=st.integers(0, 2**62), fraction=st.integers(0, 2**32 - 1))
def test_scaling_a_cell_never_overflows(width: int, fraction: int) -> None:
    assert int(scaled(width, fraction)) == width * fraction >> 32


def test_the_layout_is_the_profiles() -> None:
    from rtsim.profile import tables

    assert (LEVELS, CELLS, TABLE_SIZE) == (tables.LEVELS, tables.CELLS, tables.SIZE)


def test_costs_of_a_constant_need_no_draw_and_others_take_one_each() -> None:
    state = state_with(np.arange(TABLE_SIZE))
    key, gamma = int(state.cpus[0]["stream_key"]), int(state.cpus[0]["stream_gamma"])
    drawn = [int(cost(state, 0, 0)) for _ in range(5)]
    assert drawn == [sample(np.arange(TABLE_SIZE), reference_draw(key, gamma, n)) for n in range(1, 6)]
    constant = state_with(np.full(TABLE_SIZE, 1_234))
    assert int(cost(constant, 0, 0)) == 1_234
    assert int(constant.cpus[0]["stream_n"]) == 0
