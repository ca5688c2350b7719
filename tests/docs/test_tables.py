"""The tables of the manual have every number: what a profile's file says, and what it leaves to defaults."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rtsim.profile import load_profile
from rtsim.profile.load import builtin_profiles, profile_data
from rtsim.profile.model import Costs
from tests.docs.pages import ROOT


@pytest.fixture(autouse=True)
def extensions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "docs" / "_ext")


def numbers(name: str) -> dict[str, tuple[str, str]]:
    from profile_numbers import profile_numbers

    _, *rows = profile_numbers(name)
    assert len({entry for entry, _, _ in rows}) == len(rows)
    return {entry.strip("`"): (what, source) for entry, what, source in rows}


def places(value: Any, place: str) -> Iterator[str]:
    """Yield the places of all numbers with a source in plain data."""
    if isinstance(value, dict):
        if "source" in value:
            yield place
        else:
            for key, each in value.items():
                yield from places(each, f"{place}.{key}")
    elif isinstance(value, list):
        yield from (f"{place}.{entry['name']}" for entry in value)


@pytest.mark.parametrize("name", builtin_profiles())
def test_every_entry_of_a_profile_is_listed_with_its_source(name: str) -> None:
    listed, data = numbers(name), profile_data(name)
    sections = {key: value for key, value in data.items() if isinstance(value, dict | list)}
    wanted = [place for section, value in sections.items() for place in places(value, section)]
    assert [place for place in wanted if place not in listed] == []
    assert all(listed[place][1] for place in wanted)


@pytest.mark.parametrize("name", builtin_profiles())
def test_every_cost_is_listed_given_or_not(name: str) -> None:
    listed = numbers(name)
    for key in Costs.model_fields:
        assert any(place == f"costs.{key}" or place.startswith(f"costs.{key}.") for place in listed), key


def test_a_cost_that_a_file_leaves_out_is_listed_with_its_default() -> None:
    listed, costs = numbers("kernel-lab"), load_profile("kernel-lab").costs
    assert "memory_share" not in costs.model_fields_set
    assert listed["costs.memory_share"][0] == f"value: {costs.memory_share.value} (default)"
    assert listed["costs.dirty_log.send"][0] == "constant: 2 us (default)"
    assert listed["costs.put_fair"][0] == "left out"


def test_the_requests_of_vhost_and_iothreads_are_listed() -> None:
    assert "thread: vhost" in numbers("tuned")["requests.net"][0]


def test_defaults_of_costs_are_shown_with_the_keys() -> None:
    from model_keys import model_keys

    defaults = {key.strip("`"): default for key, _, default, _ in model_keys("rtsim.profile.model:Costs")[1:]}
    optional = {key: field for key, field in Costs.model_fields.items() if not field.is_required()}
    given = [key for key, field in optional.items() if field.get_default(call_default_factory=True) is not None]
    assert all(any(digit.isdigit() for digit in defaults[key]) for key in given)
    assert {key for key, default in defaults.items() if default == "required"} == set(defaults) - set(optional)


@pytest.mark.parametrize("name", builtin_profiles())
def test_the_page_has_a_table_for_every_profile(name: str) -> None:
    page = Path(ROOT / "docs" / "reference" / "profiles.md").read_text(encoding="utf-8")
    assert f"```{{profile-numbers}} {name}\n" in page
