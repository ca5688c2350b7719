"""Which free CPUs of a cell are taken, thread policy by thread policy, and where the emulator thread goes."""

from __future__ import annotations

import pytest
from nova_tables import a_cell, a_flavor, pins, placed

from rtsim.nova import CapabilitiesCell, CapabilitiesCpu, ComputeHost, NovaConf, NovaRefusal
from rtsim.nova.cpuspec import rebuilt, stored_and_loaded
from rtsim.nova.python2 import set_order, tuple_set_order

PAIRS = [[0, 1], [2, 3], [4, 5], [6, 7]]
SINGLE = [[cpu] for cpu in range(8)]


def dedicated(vcpus: int, **specs: str):  # type: ignore[no-untyped-def]
    return a_flavor(vcpus, 256, cpu_policy="dedicated", **specs)


@pytest.mark.parametrize(
    ("vcpus", "used", "threads", "expected"),
    [
        # Full cores first, in the order listed.
        (4, (), None, [0, 1, 2, 3]),
        (4, (), "prefer", [0, 1, 2, 3]),
        # An odd vCPU is alone on its core; require takes that too.
        (3, (), "prefer", [0, 1, 2]),
        (3, (), "require", [0, 1, 2]),
        # One thread used: its core is passed over while full ones suffice.
        (2, (0,), "prefer", [2, 3]),
        # Two full cores are too few for 6 vCPUs, one thread of each core too few as well: whatever is free.
        (6, (0, 2), "prefer", [1, 3, 4, 5, 6, 7]),
        # Three full cores do not hold 7; nor does one thread a core; the last resort does.
        (7, (0,), "prefer", [1, 2, 3, 4, 5, 6, 7]),
        # No full core left: one thread of every core with a free one.
        (3, (0, 2, 4, 6), "prefer", [1, 3, 5]),
        (2, (0, 2, 4, 6), "require", None),
    ],
)
def test_threads_of_cores(vcpus: int, used: tuple[int, ...], threads: str | None, expected: list[int] | None) -> None:
    flavor = dedicated(vcpus, **({"cpu_thread_policy": threads} if threads else {}))
    cell = a_cell(PAIRS, used=used)
    if expected is None:
        with pytest.raises(NovaRefusal, match="ComputeResourcesUnavailable"):
            placed([cell], flavor)
    else:
        assert pins(placed([cell], flavor)) == expected


def test_four_threads_a_core_are_taken_two_by_two_where_that_suffices_only() -> None:
    cores = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert pins(placed([a_cell(cores)], dedicated(4))) == [0, 1, 2, 3]
    assert pins(placed([a_cell(cores, used=(0, 4))], dedicated(4))) == [8, 9, 10, 11]
    # At three threads a core two cores hold six; the wider core gives three of its four.
    assert pins(placed([a_cell(cores, used=(0, 8))], dedicated(6))) == [1, 2, 3, 4, 5, 6]


def test_require_needs_threads() -> None:
    with pytest.raises(NovaRefusal, match="ComputeResourcesUnavailable"):
        placed([a_cell(SINGLE)], dedicated(2, cpu_thread_policy="require"))


def test_isolate_takes_one_thread_of_each_free_core_on_hosts_of_the_old_kind() -> None:
    everything = [cpu for core in PAIRS for cpu in core]
    old = a_cell(PAIRS, shared=everything, used=(2,))
    placement = placed([old], dedicated(2, cpu_thread_policy="isolate"))
    assert pins(placement) == [0, 4]
    host = ComputeHost([old])
    host.claim(placement)
    assert host.cells[0].pinned == {0, 1, 2, 4, 5}


def test_isolate_is_refused_on_threads_with_a_dedicated_set() -> None:
    with pytest.raises(NovaRefusal) as refused:
        placed([a_cell(PAIRS)], dedicated(2, cpu_thread_policy="isolate"), explain=True)
    assert any("bug 1889633" in line for line in refused.value.explain)


def test_isolate_on_cores_without_threads_is_prefer() -> None:
    assert pins(placed([a_cell(SINGLE)], dedicated(2, cpu_thread_policy="isolate"))) == [0, 1]


@pytest.mark.parametrize(
    ("core", "order"),
    [
        ([31, 63], [63, 31]),
        ([5, 11], [11, 5]),
        ([0, 1], [0, 1]),
    ],
)
def test_threads_come_in_the_order_of_python_s_sets(core: list[int], order: list[int]) -> None:
    cell = a_cell([core, [100, 101]])
    assert pins(placed([cell], dedicated(2))) == order
    assert pins(placed([cell], dedicated(2), canonical=True)) == sorted(core)


def test_how_often_a_set_was_rebuilt_decides_its_order() -> None:
    """0 and 8 want the same slot of a set's table: each insertion one by one puts the second elsewhere."""
    assert list({0, 8} & set(range(9))) == [0, 8]
    assert list(rebuilt([8, 0])) == [8, 0]
    assert list(rebuilt([31, 63])) == [63, 31]
    assert list(stored_and_loaded([31, 63])) == [31, 63]


def capabilities(*cores: tuple[int, ...]) -> list[CapabilitiesCell]:
    cpus = tuple(CapabilitiesCpu(cpu, core) for core in cores for cpu in core)
    return [CapabilitiesCell(0, 8 * 1024**2, cpus, ((4, 2 * 1024**2),))]


@pytest.mark.parametrize(
    ("cores", "order"),
    [
        ([(cpu,) for cpu in range(8)], [6, 2, 5, 4, 1, 7, 0, 3]),
        ([(cpu,) for cpu in range(4)], [0, 1, 2, 3]),
        ([(cpu, cpu + 8) for cpu in range(8)], [2, 3, 4, 6, 7, 0, 5, 1]),
        ([(0, 1), (2, 3), (4, 5), (6, 7)], [0, 6, 4, 2]),
    ],
)
def test_cores_of_a_real_host_come_in_the_order_of_tuple_hashes(cores: list[tuple[int, ...]], order: list[int]) -> None:
    host = ComputeHost.from_capabilities(
        capabilities(*cores), NovaConf(cpu_dedicated_set=f"0-{len(cores) * len(cores[0]) - 1}")
    )
    assert [min(core) for core in host.cells[0].siblings] == order


def test_python_2_had_another_order() -> None:
    assert [core[0] for core in tuple_set_order([(cpu,) for cpu in range(4)])] == [2, 0, 3, 1]
    assert [core[0] for core in tuple_set_order([(cpu,) for cpu in range(8)])] == list(range(8))
    assert tuple_set_order([(0, 2), (1, 3)]) == [(1, 3), (0, 2)]
    assert set_order({0, 8, 3}) == [0, 8, 3]


@pytest.mark.parametrize(
    ("vcpus", "threads", "used", "reserved"),
    [
        # An even guest on whole cores: the next core's first thread.
        (2, "prefer", (), {2}),
        # An odd one: the sibling of the last vCPU, realtime or not.
        (3, "prefer", (), {3}),
        (3, "require", (), {3}),
        (2, "prefer", (2, 4, 6), {3}),
    ],
)
def test_the_emulator_s_own_cpu(vcpus: int, threads: str, used: tuple[int, ...], reserved: set[int]) -> None:
    flavor = dedicated(vcpus, cpu_thread_policy=threads, emulator_threads_policy="isolate")
    placement = placed([a_cell(PAIRS, used=used)], flavor)
    assert set(placement.emulator_cpus) == reserved


def test_no_cpu_is_left_for_the_emulator() -> None:
    with pytest.raises(NovaRefusal, match="ComputeResourcesUnavailable"):
        placed([a_cell(PAIRS)], dedicated(8, emulator_threads_policy="isolate"))


def test_the_emulator_next_to_a_realtime_vcpu_is_warned_of() -> None:
    flavor = dedicated(3, emulator_threads_policy="isolate", cpu_realtime="yes", cpu_realtime_mask="^0")
    placement = placed([a_cell(PAIRS)], flavor, explain=True)
    assert any("shares a core with CPU 2 of realtime vCPU 2" in text for text in placement.warnings)
    assert "guest cell 0 on host cell 0: fits" in placement.explanation


def test_an_odd_thread_under_require_is_warned_of() -> None:
    placement = placed([a_cell(PAIRS)], dedicated(3, cpu_thread_policy="require"))
    assert any("the thread policy is require" in text for text in placement.warnings)


def test_emulator_shares_the_shared_set() -> None:
    cell = a_cell([[0, 1], [2, 3], [4, 5]], shared=[0, 1], dedicated=[2, 3, 4, 5])
    conf = NovaConf(cpu_shared_set="0-1", cpu_dedicated_set="2-5")
    flavor = dedicated(2, emulator_threads_policy="share", cpu_realtime="yes")
    placement = placed([cell], flavor, conf=conf)
    assert (placement.emulator_cpus, placement.rt_vcpus) == ((0, 1), (0, 1))
    assert placement.iothreads == {1: (0, 1)}


def test_share_with_realtime_and_no_shared_set_fails_at_spawn() -> None:
    flavor = dedicated(2, emulator_threads_policy="share", cpu_realtime="yes", cpu_realtime_mask="^0")
    with pytest.raises(NovaRefusal, match="RealtimeMaskNotFoundOrInvalid") as refused:
        placed([a_cell(PAIRS)], flavor)
    assert refused.value.stage == "xml"


def test_share_without_a_shared_set_means_the_guest_s_own_cpus() -> None:
    placement = placed([a_cell(PAIRS)], dedicated(2, emulator_threads_policy="share"))
    assert placement.emulator_cpus == (0, 1)
    assert any("has no effect" in text for text in placement.warnings)


def test_mixed_guests_float_over_the_cell_s_shared_cpus() -> None:
    cell = a_cell([[0, 1], [2, 3]], shared=[0, 1], dedicated=[2, 3])
    placement = placed([cell], a_flavor(3, 256, cpu_policy="mixed", cpu_dedicated_mask="1-2"))
    assert placement.vcpu_pins == {0: (0, 1), 1: (2,), 2: (3,)}
    assert placement.pinned == {1, 2}


def test_guests_without_numa_topology_float_over_the_shared_set_or_the_host() -> None:
    cell = a_cell(PAIRS, shared=[0, 1], dedicated=[2, 3])
    floating = placed([cell], a_flavor(2), conf=NovaConf(cpu_shared_set="0-1", cpu_dedicated_set="2-3"))
    assert floating.vcpu_pins == {0: (0, 1), 1: (0, 1)}
    assert floating.to_xml()["vcpu"] == '<vcpu cpuset="0-1">2</vcpu>'
    assert floating.to_xml()["cputune"] is None
    everywhere = placed([cell], a_flavor(2))
    assert everywhere.vcpu_pins[0] == tuple(range(8))
    assert everywhere.to_xml()["vcpu"] == "<vcpu>2</vcpu>"
