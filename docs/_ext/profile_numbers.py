"""Every number of a built-in profile and where it is from, the defaults of what its file leaves out included."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from typing import Any

from cells import Rows, plain_text
from model_keys import meanings_of
from pydantic import BaseModel

from rtsim.inputs.units import format_ns
from rtsim.profile.load import load_profile, profile_data
from rtsim.profile.model import Factor, Profile


def profile_numbers(name: str) -> Rows:
    """Return the rows of the table of the built-in profile `name`, its head first."""
    data = profile_data(name)
    found: Rows = [("entry", "what", "source")]
    found += _costs(data["costs"], "costs")
    found += _left_out(load_profile(name).costs, "costs")
    found += _costs(data.get("workload", {}), "workload")
    for section in _sections():
        for entry in data.get(section, []):
            rest = {key: value for key, value in entry.items() if key not in ("name", "source")}
            found.append((f"`{section}.{entry['name']}`", _written(rest), plain_text(entry["source"])))
    return found


def _sections() -> list[str]:
    """Return the keys of a profile that hold lists of named entries."""
    return [key for key, field in Profile.model_fields.items() if typing.get_origin(field.annotation) is tuple]


def _costs(entry: Mapping[str, Any], place: str) -> Iterator[tuple[str, ...]]:
    if not isinstance(entry, Mapping):
        yield f"`{place}`", str(entry), ""
        return
    if "source" in entry:
        rest = {key: value for key, value in entry.items() if key != "source"}
        yield f"`{place}`", _written(rest), plain_text(entry["source"])
        return
    for key, value in entry.items():
        yield from _costs(value, f"{place}.{key}")


def _left_out(costs: BaseModel, place: str) -> Iterator[tuple[str, ...]]:
    """Yield what a profile does not say about `costs`, with the default that it has instead."""
    meanings = meanings_of(type(costs))
    for key, field in type(costs).model_fields.items():
        value, name = getattr(costs, key), f"{place}.{field.alias or key}"
        if key in costs.model_fields_set:
            if isinstance(value, BaseModel) and "source" not in type(value).model_fields:
                yield from _left_out(value, name)
        elif value is None:
            yield f"`{name}`", "left out", meanings[key]
        else:
            yield from ((entry, f"{what} (default)", source) for entry, what, source in _costs(_plain(value), name))


def _plain(value: BaseModel) -> dict[str, Any]:
    """Return a default as a file would have it."""
    if "source" not in type(value).model_fields:
        return {field.alias or key: _plain(getattr(value, key)) for key, field in type(value).model_fields.items()}
    number = {"value": value.value} if isinstance(value, Factor) else {"constant": format_ns(value.constant)}
    return {**number, "source": value.source}


def _written(value: Any) -> str:
    """Return plain data in one line, close to how the file has it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_inner(each)}" for key, each in value.items())
    return str(value)


def _inner(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"({_written(value)})"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
