"""Scenarios: what may be written, what is refused and how, and how variants come about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rtsim.inputs.errors import InputError
from rtsim.scenario import Scenario

DEMO = Path("data/scenarios/realtime4.yaml")

MINIMAL: dict[str, Any] = {
    "host": {"topology": {"sockets": 1, "cores": 4, "threads": 1}},
    "guests": [
        {"name": "g", "flavor": {"ram": 512, "vcpus": 2, "disk": 1, "properties": {"hw:cpu_policy": "dedicated"}}}
    ],
    "duration": "100 ms",
    "warmup": "10 ms",
}


def test_the_demo_is_read_with_its_units() -> None:
    model = Scenario.load(DEMO).model
    assert model.warmup == 10**9
    assert model.guests[0].workload.cyclictest is not None
    assert model.guests[0].workload.cyclictest.interval == 10**6


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("host: {topology: {sockets: 1}}\nduration: 1 s\nguest: []\n", "line 3: guest: "),
        ("host: {topology: {sockets: 1}}\nduration: 1\n", "line 2: duration: "),
        ("host: {topology: {sockets: 0}}\nduration: 1 s\n", "host.topology.sockets: expected a number >= 1"),
        ("host: {topology: {sockets: 1, lscpu: x}}\nduration: 1 s\n", "expected exactly one of sockets"),
        ("host: {topology: {sockets: 1}}\nduration: 1 s\nguests: [{name: a}]\n", "expected either flavor or domain"),
        ("host: {topology: {sockets: 1}\nduration: 1 s\n", "line 2"),
        ("just text\n", "expected a mapping"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        Scenario.load(path)
    assert expected in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ({"policy": "fifo", "priority": 100}, "priority"),
        ({"policy": "fifo", "priority": 0}, "expected a priority of 1 to 99 with fifo, found 0"),
        ({"policy": "other", "priority": 95}, "expected a nice value of -20 to 19 with other, found 95"),
        ({"cpus": ""}, "cpus"),
    ],
)
def test_impossible_cyclictests_are_refused(test: dict[str, Any], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        Scenario.of({**MINIMAL, "workload": {"cyclictest": {"cpus": "0", **test}}})


def test_variants_are_merge_patches_with_guests_by_name() -> None:
    variants = Scenario.load(DEMO).variants()
    flavor = variants["dedicated only"].model.guests[0].flavor
    assert isinstance(flavor, dict)
    assert flavor["properties"] == {"hw:cpu_policy": "dedicated"}
    assert variants["mask ^0-1"].model.guests[0].flavor == "../flavors/realtime4.json"
    assert not variants["mask ^0"].model.variants


def test_a_patch_for_an_unknown_guest_names_those_there_are() -> None:
    with pytest.raises(InputError, match="variant v: nobody: expected one of the names g"):
        Scenario.of(MINIMAL).patched({"guests": {"nobody": {"image": {}}}}, "v")


def test_a_value_is_set_by_its_path() -> None:
    scenario = Scenario.of(MINIMAL).with_value('guests.g.flavor.properties["hw:cpu_policy"]', "shared")
    flavor = scenario.model.guests[0].flavor
    assert isinstance(flavor, dict)
    assert flavor["properties"]["hw:cpu_policy"] == "shared"
    assert Scenario.of(MINIMAL).with_value("duration", "2 s").model.duration == 2 * 10**9


def test_a_release_without_quotes_is_refused_because_6_10_would_read_as_6_1() -> None:
    from rtsim.scenario.assemble import assemble

    patch = {"host": {"kernel": {"release": 6.1}}}
    with pytest.raises(InputError, match="quote"):
        assemble(Scenario.of(MINIMAL).patched(patch))
