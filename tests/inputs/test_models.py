"""The first validation error becomes one line with file, line and place."""

from typing import Literal

import pytest
from pydantic import Field, field_validator

from rtsim.inputs.errors import InputError
from rtsim.inputs.models import StrictModel, validate
from rtsim.inputs.units import Duration, Rate
from rtsim.inputs.yaml import parse_yaml


class Flavor(StrictModel):
    vcpus: int = Field(ge=1, le=512)
    policy: Literal["shared", "dedicated"] = "shared"
    slack: Duration = 0
    rate: Rate | None = None
    kind: str = Field(default="", alias="class")

    @field_validator("kind")
    @classmethod
    def _no_x(cls, value):
        if value == "x":
            raise ValueError("expected anything but x, found 'x'")
        return value


class Guest(StrictModel):
    name: str
    flavor: Flavor


class Scenario(StrictModel):
    guests: tuple[Guest, ...] = ()
    extra: dict[str, Flavor] = Field(default_factory=dict)


def refused(text):
    document = parse_yaml(text, "scenario.yaml")
    with pytest.raises(InputError) as error:
        validate(Scenario, document.data, "scenario.yaml", document)
    return str(error.value)


def test_what_fits_is_returned_and_frozen():
    document = parse_yaml("guests: [{name: a, flavor: {vcpus: 4, slack: 50 us, rate: 10 Hz, class: y}}]", "s.yaml")
    flavor = validate(Scenario, document.data, "s.yaml").guests[0].flavor
    assert (flavor.vcpus, flavor.slack, flavor.rate, flavor.kind) == (4, 50_000, 10, "y")
    with pytest.raises(ValueError, match="frozen"):
        flavor.vcpus = 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "guests:\n- name: a\n  flavor:\n    vcpus: x",
            "scenario.yaml: line 4: guests[0].flavor.vcpus: expected an integer >= 1 and <= 512, found 'x'",
        ),
        (
            "guests: [{name: a, flavor: {vcpus: 0}}]",
            "scenario.yaml: line 1: guests[0].flavor.vcpus: expected a number >= 1 and <= 512, found 0",
        ),
        (
            "guests: [{name: a, flavor: {vcpu: 1}}]",
            "scenario.yaml: line 1: guests[0].flavor.vcpus: expected this key, found none",
        ),
        (
            "guests: [{name: a,\n flavor: {vcpus: 1, polcy: x}}]",
            "scenario.yaml: line 2: guests[0].flavor.polcy: expected a known key, "
            "found 'polcy': did you mean 'policy'?",
        ),
        ("guest: []", "scenario.yaml: line 1: guest: expected a known key, found 'guest': did you mean 'guests'?"),
        ("zzz: 1", "scenario.yaml: line 1: zzz: expected one of guests, extra, found 'zzz'"),
        (
            "extra: {a: {vcpus: 1, policy: mixd}}",
            "scenario.yaml: line 1: extra.a.policy: expected 'shared' or 'dedicated', found 'mixd'",
        ),
        (
            "extra: {a: {vcpus: 1, slack: 50}}",
            "scenario.yaml: line 1: extra.a.slack: expected a duration such as 50 us or 1.5 ms, found 50",
        ),
        (
            "extra: {a: {vcpus: 1, class: x}}",
            "scenario.yaml: line 1: extra.a.class: expected anything but x, found 'x'",
        ),
        ("guests: 3", "scenario.yaml: line 1: guests: expected a list, found 3"),
        ("[1]", "scenario.yaml: line 1: expected a mapping, found [1]"),
    ],
)
def test_errors(text, message):
    assert refused(text) == message


def test_long_values_are_cut():
    assert len(refused("guests: " + "x" * 10_000)) < 150
