"""CPU lists read as Nova and the kernel read them, and are written back the same."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtsim.inputs.cpulist import MAX_CPUS, format_cpulist, parse_cpulist, parse_cpulist_ordered


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("0-3", (0, 1, 2, 3)),
        ("0-3,^2", (0, 1, 3)),
        ("^2,0-3", (0, 1, 3)),
        ("0-7,^2-5", (0, 1, 6, 7)),
        (" 3 , 1 ,, 2 - 3", (1, 2, 3)),
        ("", ()),
        ("^1", ()),
    ],
)
def test_text(text, cpus):
    assert parse_cpulist(text) == cpus


def test_numbers_are_sorted_and_kept_once():
    assert parse_cpulist([3, 1, 3]) == (1, 3)


def test_written_order_is_kept_on_request():
    assert parse_cpulist_ordered("2,0") == (2, 0)
    assert parse_cpulist_ordered("4-5,1") == (4, 5, 1)


@pytest.mark.parametrize("text", ["3-1", "a", "^x", "0-", "-1", "1;2", "0x3", f"0-{MAX_CPUS}", "0-99999999999", "²"])
def test_refused(text):
    with pytest.raises(ValueError, match=r"^expected .*found"):
        parse_cpulist(text)


@pytest.mark.parametrize("cpus", [[-1], [True], ["1"], [MAX_CPUS]])
def test_refused_numbers(cpus):
    with pytest.raises(ValueError, match=r"^expected"):
        parse_cpulist(cpus)


@pytest.mark.parametrize("text", ["1,1", "0-3,^2", "0-3,2"])
def test_ordered_refuses_repeats_and_exclusions(text):
    with pytest.raises(ValueError, match=r"^expected"):
        parse_cpulist_ordered(text)


@given(st.sets(st.integers(0, MAX_CPUS - 1), max_size=80))
def test_format_and_parse_are_inverse(cpus):
    assert parse_cpulist(format_cpulist(cpus)) == tuple(sorted(cpus))


@given(st.text(max_size=30))
def test_any_text_parses_or_is_refused(text):
    with suppress(ValueError):
        parse_cpulist(text)
