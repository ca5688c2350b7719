"""What flavor and image may ask for: masks in every spelling, and which error wins."""

from __future__ import annotations

from typing import Any

import pytest
from nova_tables import a_cell, a_flavor, placed

from rtsim.nova import Flavor, Image, NovaRefusal
from rtsim.nova.constraints import guest_request
from rtsim.nova.flavor import image_properties
from rtsim.nova.rules import Release

RULES = Release.newest().rules


def rt_vcpus(mask: str | None, vcpus: int = 4, emulator: str | None = None) -> list[int]:
    specs = {"cpu_policy": "dedicated", "cpu_realtime": "yes"}
    if mask is not None:
        specs["cpu_realtime_mask"] = mask
    if emulator:
        specs["emulator_threads_policy"] = emulator
    return sorted(guest_request(a_flavor(vcpus, **specs), {}, RULES).rt_vcpus or ())


@pytest.mark.parametrize(
    ("mask", "realtime"),
    [
        ("^0", [1, 2, 3]),
        ("^0-1", [2, 3]),
        ("^0-2", [3]),
        (" ^0 ", [1, 2, 3]),
        ("^0,^1", [2, 3]),
        ("^0-1,2", [2, 3]),
        ("^9", None),  # excludes nobody, so that all are realtime
        ("2-3", [2, 3]),
        ("3", [3]),
        ("0-3,^0", [1, 2, 3]),
        ("^0,0-3", [1, 2, 3]),
        ("1, 3", [1, 3]),
        (",,2,", [2]),
        ("1 - 2", [1, 2]),
        ("0-3", None),
        ("0-3,^0-3", None),
        ("^0-3", None),
        ("3-4", None),
        ("4", None),
    ],
)
def test_realtime_masks(mask: str, realtime: list[int] | None) -> None:
    if realtime is None:
        with pytest.raises(NovaRefusal, match="RealtimeMaskNotFoundOrInvalid") as refused:
            rt_vcpus(mask)
        assert refused.value.stage == "api"
    else:
        assert rt_vcpus(mask) == realtime


@pytest.mark.parametrize("policy", ["share", "isolate"])
def test_all_vcpus_may_be_realtime_with_an_emulator_policy(policy: str) -> None:
    assert rt_vcpus("0-3", emulator=policy) == [0, 1, 2, 3]
    assert rt_vcpus(None, emulator=policy) == [0, 1, 2, 3]
    assert rt_vcpus("", emulator=policy) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ("3-1", "Invalid range expression '3-1'"),
        ("0-", "Invalid range expression '0-'"),
        ("-1", "Invalid range expression '-1'"),
        ("1-2-3", "Invalid range expression '1-2-3'"),
        ("a", "Invalid inclusion expression 'a'"),
        ("1,b", "Invalid inclusion expression 'b'"),
        ("^x", "Invalid exclusion expression '^x'"),
        ("^", "Invalid exclusion expression '^'"),
    ],
)
def test_masks_that_are_no_cpu_lists(mask: str, message: str) -> None:
    with pytest.raises(NovaRefusal) as refused:
        rt_vcpus(mask)
    assert (refused.value.exception, refused.value.message) == ("Invalid", message)


@pytest.mark.parametrize("value", ["yes", "true", "1", "on", "T", "y", " Yes "])
def test_words_that_switch_realtime_on(value: str) -> None:
    with pytest.raises(NovaRefusal, match="RealtimeConfigurationInvalid"):
        guest_request(a_flavor(cpu_realtime=value, cpu_realtime_mask="^0"), {}, RULES)


@pytest.mark.parametrize("value", ["no", "false", "0", "", "maybe", "2"])
def test_words_that_do_not(value: str) -> None:
    request = guest_request(a_flavor(cpu_realtime=value, cpu_realtime_mask="bad"), {}, RULES)
    assert not request.realtime
    assert request.rt_vcpus is None


# (extra specs, image properties) -> Nova's exception; the first check that fails wins.
PRECEDENCE: list[tuple[dict[str, str], dict[str, Any], str]] = [
    ({"hw:cpu_realtime": "yes", "hw:cpu_policy": "bogus"}, {}, "RealtimeMaskNotFoundOrInvalid"),
    ({"hw:cpu_threads": "x", "hw:cpu_policy": "bogus"}, {}, "InvalidRequest"),
    ({"hw:cpu_policy": "bogus", "hw:cpu_thread_policy": "bogus"}, {}, "InvalidCPUAllocationPolicy"),
    ({"hw:cpu_thread_policy": "bogus", "hw:cpu_dedicated_mask": "x"}, {}, "InvalidCPUThreadAllocationPolicy"),
    ({"hw:cpu_dedicated_mask": "0-3", "hw:emulator_threads_policy": "x"}, {}, "InvalidMixedInstanceDedicatedMask"),
    ({"hw:emulator_threads_policy": "x", "hw:numa_nodes": "0"}, {}, "InvalidEmulatorThreadsPolicy"),
    ({"hw:cpu_policy": "dedicated", "resources:PCPU": "4"}, {}, "InvalidRequest"),
    ({"resources:VCPU": "4", "resources:PCPU": "4"}, {}, "InvalidRequest"),
    ({"resources:PCPU": "5"}, {}, "InvalidRequest"),
    ({"trait:HW_CPU_HYPERTHREADING": "required", "hw:cpu_thread_policy": "prefer"}, {}, "InvalidRequest"),
    ({"hw:cpu_thread_policy": "prefer"}, {}, "CPUThreadPolicyConfigurationInvalid"),
    ({"trait:HW_CPU_HYPERTHREADING": "forbidden"}, {}, "CPUThreadPolicyConfigurationInvalid"),
    ({"hw:emulator_threads_policy": "isolate"}, {}, "BadRequirementEmulatorThreadsPolicy"),
    ({"hw:cpu_dedicated_mask": "0-1"}, {}, "RequiredMixedInstancePolicy"),
    ({"hw:cpu_dedicated_mask": "0-1", "hw:cpu_policy": "dedicated"}, {}, "RequiredMixedInstancePolicy"),
    ({"hw:cpu_policy": "mixed"}, {}, "RequiredMixedOrRealtimeCPUMask"),
    (
        {
            "hw:cpu_policy": "mixed",
            "hw:cpu_dedicated_mask": "0-1",
            "hw:cpu_realtime": "yes",
            "hw:cpu_realtime_mask": "^0",
        },
        {},
        "RequiredMixedOrRealtimeCPUMask",
    ),
    ({"hw:numa_nodes": "0", "hw:mem_page_size": "bogus"}, {}, "InvalidNUMANodesNumber"),
    ({"hw:numa_nodes": "x"}, {}, "InvalidNUMANodesNumber"),
    ({"hw:numa_nodes": "2"}, {"hw_numa_nodes": 2}, "ImageNUMATopologyForbidden"),
    ({"hw:mem_page_size": "2M"}, {}, "MemoryPageSizeInvalid"),
    ({}, {"hw_mem_page_size": "2MB"}, "MemoryPageSizeForbidden"),
    ({"hw:mem_page_size": "2MB"}, {"hw_mem_page_size": "2MB"}, "MemoryPageSizeForbidden"),
    ({"hw:locked_memory": "yes"}, {}, "LockMemoryForbidden"),
    (
        {"hw:locked_memory": "yes", "hw:mem_page_size": "4"},
        {"hw_locked_memory": False},
        "FlavorImageLockedMemoryConflict",
    ),
    ({"hw:numa_nodes": "3"}, {}, "ImageNUMATopologyAsymmetric"),
    ({"hw:numa_nodes": "2", "hw:numa_cpus.0": "0-1"}, {}, "ImageNUMATopologyIncomplete"),
    ({"hw:numa_nodes": "1", "hw:numa_cpus.0": "0-4", "hw:numa_mem.0": "1024"}, {}, "ImageNUMATopologyCPUOutOfRange"),
    ({"hw:numa_nodes": "1", "hw:numa_cpus.0": "0-2", "hw:numa_mem.0": "1"}, {}, "ImageNUMATopologyCPUsUnassigned"),
    ({"hw:numa_nodes": "1", "hw:numa_cpus.0": "0-3", "hw:numa_mem.0": "1"}, {}, "ImageNUMATopologyMemoryOutOfRange"),
    ({"hw:numa_nodes": "1", "hw:numa_cpus.0": "0-3", "hw:numa_mem.0": "x"}, {}, "ValueError"),
    ({"hw:cpu_policy": "mixed"}, {"hw_cpu_policy": "dedicated"}, "ImageCPUPinningForbidden"),
    ({"hw:cpu_policy": "shared"}, {"hw_cpu_policy": "dedicated"}, "ImageCPUPinningForbidden"),
    (
        {"hw:cpu_policy": "dedicated", "hw:cpu_thread_policy": "isolate"},
        {"hw_cpu_thread_policy": "prefer"},
        "ImageCPUThreadPolicyForbidden",
    ),
    ({"hw:cpu_max_cores": "2"}, {"hw_cpu_max_cores": 4}, "ImageVCPULimitsRangeExceeded"),
    ({"hw:cpu_max_cores": "2"}, {"hw_cpu_cores": 4}, "ImageVCPUTopologyRangeExceeded"),
]


@pytest.mark.parametrize(("specs", "properties", "exception"), PRECEDENCE)
def test_the_first_wrong_thing_is_reported(specs: dict[str, str], properties: dict[str, Any], exception: str) -> None:
    with pytest.raises(NovaRefusal) as refused:
        guest_request(Flavor("f", 4, 1024, 1, specs), image_properties(properties, RULES), RULES)
    assert refused.value.exception == exception
    assert refused.value.stage == "api"


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"hw_cpu_policy": "bogus"}, "Field value bogus is invalid"),
        ({"hw_cpu_policy": None}, "Field `hw_cpu_policy' cannot be None"),
        ({"hw_cpu_cores": "x"}, "invalid literal for int() with base 10: 'x'"),
        ({"hw_cpu_realtime_mask": ["^0"]}, "A string is required in field hw_cpu_realtime_mask, not a list"),
    ],
)
def test_image_properties_are_typed_first(properties: dict[str, Any], message: str) -> None:
    with pytest.raises(NovaRefusal) as refused:
        image_properties(properties, RULES)
    assert (refused.value.exception, refused.value.message, refused.value.stage) == ("ValueError", message, "image")


def test_an_image_s_isolate_is_ignored_where_the_flavor_says_prefer() -> None:
    flavor = a_flavor(2, cpu_policy="dedicated", cpu_thread_policy="prefer")
    request = guest_request(flavor, {"hw_cpu_thread_policy": "isolate"}, RULES)
    assert request.numa is not None
    assert request.numa.cells[0].thread_policy == "prefer"


def test_the_image_s_mask_goes_before_the_flavor_s() -> None:
    flavor = a_flavor(cpu_policy="dedicated", cpu_realtime="yes", cpu_realtime_mask="^0")
    assert guest_request(flavor, {"hw_cpu_realtime_mask": "^0-2"}, RULES).rt_vcpus == {3}


def test_mixed_with_realtime_pins_the_realtime_vcpus() -> None:
    flavor = a_flavor(cpu_policy="mixed", cpu_realtime="yes", cpu_realtime_mask="2-3")
    request = guest_request(flavor, {}, RULES)
    assert request.numa is not None
    assert (request.numa.cells[0].pinned, request.numa.cells[0].shared) == ({2, 3}, {0, 1})


@pytest.mark.parametrize(
    ("specs", "topology"),
    [
        ({}, (8, 1, 1)),
        ({"cpu_threads": "2"}, (4, 1, 2)),
        ({"cpu_cores": "4"}, (2, 4, 1)),
        ({"cpu_sockets": "2"}, (2, 4, 1)),
        ({"cpu_sockets": "1", "cpu_threads": "2"}, (1, 4, 2)),
        ({"cpu_max_sockets": "2"}, (2, 4, 1)),
        ({"cpu_max_sockets": "1", "cpu_sockets": "2"}, (1, 8, 1)),
        ({"cpu_threads": "3"}, (8, 1, 1)),
    ],
)
def test_guest_cpu_topology(specs: dict[str, str], topology: tuple[int, int, int]) -> None:
    assert placed([a_cell([[cpu] for cpu in range(8)])], a_flavor(8, **specs)).cpu_topology == topology


def test_an_impossible_topology_is_refused_after_fitting() -> None:
    with pytest.raises(NovaRefusal, match="ImageVCPULimitsRangeImpossible") as refused:
        placed([a_cell([[0], [1]])], a_flavor(2, cpu_max_sockets="1", cpu_max_cores="1", cpu_max_threads="1"))
    assert refused.value.stage == "cpu_topology"


def test_image_given_as_openstack_prints_it() -> None:
    image = Image.from_openstack({"name": "rt", "id": "x", "properties": {"hw_cpu_realtime_mask": "^0-2"}})
    flavor = a_flavor(cpu_policy="dedicated", cpu_realtime="yes", cpu_realtime_mask="^0")
    assert placed([a_cell([[0, 1], [2, 3]])], flavor, image=image).rt_vcpus == (3,)
