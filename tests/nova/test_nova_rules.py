"""The table of rule changes: each rule holds from its release on, and shows in a placement."""

from __future__ import annotations

from dataclasses import fields

import pytest
from nova_tables import a_cell, a_flavor, pins, placed

from rtsim.inputs.errors import InputError
from rtsim.nova import CHANGES, CapabilitiesCell, ComputeHost, NovaConf, NovaRefusal, Release, Rules
from rtsim.nova.constraints import guest_request

RELEASES = (15, *range(22, 35))
DEDICATED = a_flavor(2, 256, cpu_policy="dedicated")


@pytest.mark.parametrize(
    ("text", "major"),
    [
        *[("ocata", 15), ("Ocata", 15), ("OCATA", 15), ("2026.2", 34), ("34", 34), ("34.0.0", 34), ("zed", 26)],
        *[("2023.1", 27), ("antelope", 27), ("29.2.0", 29), (" Yoga ", 25), (34, 34), (2026.2, 34), (None, 34)],
    ],
)
def test_releases_by_name_series_and_version(text: str | None, major: int) -> None:
    assert Release.parse(text).major == major


@pytest.mark.parametrize("text", ["", "grizzly", "35", "2030.1", "16", "train", "34.x", "3"])
def test_unknown_releases(text: str) -> None:
    with pytest.raises(InputError, match="expected ocata"):
        Release.parse(text)


def test_every_rule_has_a_row_and_every_row_a_rule() -> None:
    assert {change.rule for change in CHANGES} == {field.name for field in fields(Rules)}
    assert [change.release for change in CHANGES] == sorted(change.release for change in CHANGES)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: f"{change.release}-{change.rule}")
def test_a_rule_changes_at_its_release(change) -> None:  # type: ignore[no-untyped-def]
    before = max(major for major in RELEASES if major < change.release)
    after = min(major for major in RELEASES if major >= change.release)
    assert getattr(Release(before).rules, change.rule) == change.before
    assert getattr(Release(after).rules, change.rule) != change.before


def refusal(release: str, vcpus: int = 4, **specs: str) -> str | None:
    try:
        guest_request(a_flavor(vcpus, **specs), {}, Release.parse(release).rules)
    except NovaRefusal as refused:
        return refused.exception
    return None


def test_22_masks() -> None:
    specs = {"cpu_policy": "dedicated", "cpu_realtime": "yes", "cpu_realtime_mask": "2-3"}
    assert guest_request(a_flavor(4, **specs), {}, Release(34).rules).rt_vcpus == {2, 3}
    assert guest_request(a_flavor(4, **specs), {}, Release(15).rules).rt_vcpus == {0, 1, 2, 3}
    assert refusal("ocata", cpu_policy="dedicated", cpu_realtime="yes") == "RealtimeMaskNotFoundOrInvalid"
    assert refusal("victoria", cpu_policy="dedicated", cpu_realtime="yes", emulator_threads_policy="isolate") is None


def test_22_mixed() -> None:
    assert refusal("ocata", cpu_policy="mixed", cpu_dedicated_mask="0") == "InvalidCPUAllocationPolicy"
    assert refusal("victoria", cpu_policy="mixed", cpu_dedicated_mask="0") is None


def test_22_isolate_on_threads() -> None:
    flavor = a_flavor(2, 256, cpu_policy="dedicated", cpu_thread_policy="isolate")
    cells = [a_cell([[0, 1], [2, 3]])]
    assert pins(placed(cells, flavor, "ocata")) == [0, 2]
    with pytest.raises(NovaRefusal):
        placed(cells, flavor, "victoria")


def test_16_emulator_policies_are_unknown_to_ocata() -> None:
    assert refusal("ocata", cpu_policy="dedicated", emulator_threads_policy="bogus") is None
    assert (
        refusal("victoria", cpu_policy="dedicated", emulator_threads_policy="bogus") == "InvalidEmulatorThreadsPolicy"
    )


def test_20_cpu_sets(four_cpus: list[CapabilitiesCell]) -> None:
    conf = NovaConf(cpu_dedicated_set="2-3", cpu_shared_set="0-1")
    assert ComputeHost.from_capabilities(four_cpus, conf, "34").cells[0].dedicated == {2, 3}
    assert ComputeHost.from_capabilities(four_cpus, conf, "ocata").cells[0].dedicated == {0, 1, 2, 3}
    pin_set = NovaConf(vcpu_pin_set="1-3,^2")
    assert ComputeHost.from_capabilities(four_cpus, pin_set, "ocata").cells[0].dedicated == {1, 3}


def test_24_guest_threads_from_packing() -> None:
    cells = [a_cell([[0, 1], [2, 3]])]
    flavor = a_flavor(4, 256, cpu_policy="dedicated")
    assert placed(cells, flavor, "wallaby").cpu_topology == (2, 1, 2)
    assert placed(cells, flavor, "xena").cpu_topology == (4, 1, 1)


def test_25_host_cells_sorted() -> None:
    cells = [a_cell([[0, 1], [2, 3]], number=0, used=(0,)), a_cell([[4, 5], [6, 7]], number=1)]
    assert pins(placed(cells, DEDICATED, "xena")) == [2, 3]
    # Yoga packed by default, the releases after it spread.
    assert pins(placed(cells, DEDICATED, "yoga")) == [2, 3]
    assert pins(placed(cells, DEDICATED, "zed")) == [4, 5]


def test_26_shares_and_locked_memory() -> None:
    cells = [a_cell([[0, 1]])]
    assert placed(cells, DEDICATED, "yoga").cpu_shares == 2048
    assert placed(cells, DEDICATED, "zed").cpu_shares is None
    locked = a_flavor(2, 256, cpu_policy="dedicated", mem_page_size="4", locked_memory="yes")
    assert not placed(cells, locked, "yoga").locked
    assert placed(cells, locked, "zed").locked


def test_28_mixed_cells_without_pins() -> None:
    cells = [
        a_cell([[0], [1], [2]], shared=[0, 1], dedicated=[2]),
        a_cell([[3], [4]], number=1, shared=[3], dedicated=[4]),
    ]
    flavor = a_flavor(2, 512, cpu_policy="mixed", cpu_dedicated_mask="0", numa_nodes="2")
    with pytest.raises(NovaRefusal):
        placed(cells, flavor, "2023.1")
    assert placed(cells, flavor, "2023.2").pinned == {0}


def test_30_memory_of_pinned_guests() -> None:
    cell = a_cell([[0, 1]], memory_mib=1024, memory_used_mib=1000)
    with pytest.raises(NovaRefusal):
        placed([cell], DEDICATED, "2024.1")
    assert pins(placed([cell], DEDICATED, "2024.2")) == [0, 1]


def test_33_iothreads() -> None:
    assert placed([a_cell([[0, 1]])], DEDICATED, "2025.2").iothreads == {}
    assert placed([a_cell([[0, 1]])], DEDICATED, "2026.1").iothreads == {1: (0, 1)}
