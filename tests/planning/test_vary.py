"""Values for places in a scenario, and every combination of them."""

import pytest

from rtsim.inputs.errors import InputError
from rtsim.planning import parse_vary, varied
from rtsim.scenario import Scenario

MASK = 'guests.realtime4.flavor.properties["hw:cpu_realtime_mask"]'


@pytest.fixture
def smt4():
    return Scenario.load("data/scenarios/smt4.yaml")


@pytest.mark.parametrize(
    ("option", "path", "value"),
    [
        ("host.kernel.hz=1000", "host.kernel.hz", "1000"),
        ("host.kernel.cmdline=isolcpus=2,3 nohz_full=2,3", "host.kernel.cmdline", "isolcpus=2,3 nohz_full=2,3"),
        (f"{MASK}=^0-2", MASK, "^0-2"),
        ('a["b=c"].d=e', 'a["b=c"].d', "e"),
        ("host.kernel.cmdline=", "host.kernel.cmdline", ""),
        (" host.profile = untuned ", "host.profile", "untuned"),
    ],
)
def test_the_first_equals_sign_outside_of_quotes_ends_the_path(option, path, value):
    assert parse_vary([option]) == {path: [value]}


def test_the_same_path_again_is_an_alternative():
    assert parse_vary(["a=1", "b=x", "a=2"]) == {"a": ["1", "2"], "b": ["x"]}


@pytest.mark.parametrize("option", ["", "=3", "host.kernel.hz", '["hw:x=^0', 'a"b=1', "a]["])
def test_what_is_no_assignment_is_refused(option):
    with pytest.raises(InputError, match=r"--vary: .*expected PATH=VALUE"):
        parse_vary([option])


def test_a_value_twice_is_refused():
    with pytest.raises(InputError, match=r"--vary: a: expected each value once, found '1' twice"):
        parse_vary(["a=1", "a=1"])


def test_different_paths_are_combined(smt4):
    variants = varied(smt4, {MASK: ["^0", "^0-2"], "guests.realtime4.kernel.preempt": ["rt", "none"]})
    assert list(variants) == [
        "hw:cpu_realtime_mask=^0, preempt=rt", "hw:cpu_realtime_mask=^0, preempt=none",
        "hw:cpu_realtime_mask=^0-2, preempt=rt", "hw:cpu_realtime_mask=^0-2, preempt=none",
    ]  # fmt: skip
    guest = variants["hw:cpu_realtime_mask=^0-2, preempt=none"].model.guests[0]
    assert guest.flavor["properties"]["hw:cpu_realtime_mask"] == "^0-2"
    assert guest.kernel.preempt == "none"


def test_paths_with_the_same_last_key_are_named_in_full(smt4):
    variants = varied(smt4, {"host.kernel.hz": ["100"], "guests.realtime4.kernel.hz": ["1000"]})
    assert list(variants) == ["host.kernel.hz=100, guests.realtime4.kernel.hz=1000"]


def test_null_takes_a_key_away(smt4):
    [variant] = varied(smt4, {MASK: ["null"]}).values()
    assert "hw:cpu_realtime_mask" not in variant.model.guests[0].flavor["properties"]


def test_the_scenario_itself_stays_as_it_was(smt4):
    before = smt4.model
    varied(smt4, {"host.kernel.hz": ["100"]})
    assert smt4.model == before
    assert smt4.model.host.kernel.hz == 250


@pytest.mark.parametrize(
    ("path", "value", "place", "said"),
    [
        ("host.kernel.hzz", "100", "host.kernel.hzz", "did you mean 'hz'?"),
        ("guests.nobody.kernel.hz", "100", "nobody", "expected one of the names realtime4"),
        ("host.kernel.hz", "often", "host.kernel.hz", "expected an integer"),
        ("host.kernel", "[1", "--vary host.kernel", "expected YAML"),
    ],
)
def test_impossible_places_and_values_are_named(smt4, path, value, place, said):
    with pytest.raises(InputError) as caught:
        varied(smt4, {path: [value]})
    assert place in str(caught.value)
    assert said in str(caught.value)


def test_a_product_that_would_never_end_is_refused(smt4):
    with pytest.raises(InputError, match="expected at most 200 variants, these are 400"):
        varied(smt4, {"seed": [str(i) for i in range(20)], "host.kernel.hz": [str(i) for i in range(100, 120)]})
