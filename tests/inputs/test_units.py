"""Durations and rates: exact, and never guessed."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtsim.inputs.units import format_ns, parse_duration, parse_rate


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("50 us", 50_000),
        ("50us", 50_000),
        ("50 µs", 50_000),
        ("1.5 ms", 1_500_000),
        ("0.1 ms", 100_000),
        ("2.048 s", 2_048_000_000),
        ("3 min", 180_000_000_000),
        ("1 h", 3_600_000_000_000),
        ("1e3 ns", 1000),
        ("0", 0),
        (0, 0),
    ],
)
def test_durations(text, ns):
    assert parse_duration(text) == ns


@pytest.mark.parametrize(
    "value",
    [
        50,
        1.5,
        "50",
        "50 m",
        "1.5 ns",
        "-1 s",
        "1 S",
        "",
        None,
        True,
        "inf s",
        "nan s",
        [1],
        "9e99 h",
        pytest.param(10**5000, id="huge"),
    ],
)
def test_refused_durations(value):
    with pytest.raises(ValueError, match=r"^expected .*found"):
        parse_duration(value)


def test_a_bare_number_takes_the_unit_stated():
    assert parse_duration(1000, bare="us") == 1_000_000
    assert parse_duration("2.5", bare="us") == 2500


@given(st.integers(0, 2**62 - 1))
def test_nanoseconds_are_exact_in_any_unit(ns):
    seconds = f"{ns // 10**9}.{ns % 10**9:09d} s"
    assert parse_duration(seconds) == ns == parse_duration(f"{ns} ns")


@pytest.mark.parametrize(
    ("value", "rate"),
    [
        ("10 / s", 10),
        ("10/s", 10),
        ("10 Hz", 10),
        ("2 kHz", 2000),
        (10, 10),
        (0.1, Fraction(1, 10)),
        ("3 / min", Fraction(1, 20)),
        ("1 / ms", 1000),
    ],
)
def test_rates(value, rate):
    assert parse_rate(value) == rate


@pytest.mark.parametrize(
    "value", [0, "0 / s", -1, "x", "1 / y", "1e99", None, True, float("nan"), float("inf"), "2 / ns"]
)
def test_refused_rates(value):
    with pytest.raises(ValueError, match=r"^expected .*found"):
        parse_rate(value)


@pytest.mark.parametrize(("ns", "text"), [(950, "950 ns"), (1600, "1.6 us"), (2_000_000, "2 ms"), (60 * 10**9, "60 s")])
def test_times_are_shown_in_their_unit(ns, text):
    assert format_ns(ns) == text
