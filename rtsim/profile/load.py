"""Loads profiles: a file, or a built-in one by name, with overrides merged in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from rtsim.inputs.errors import InputError, shown
from rtsim.inputs.models import validate
from rtsim.inputs.yaml import Document, load_yaml
from rtsim.profile.entries import FOLDER
from rtsim.profile.model import Profile

__all__ = ["builtin_profiles", "load_profile", "profile_data"]


def builtin_profiles() -> list[str]:
    """Return the names of the built-in profiles."""
    folder = resources.files("rtsim.profile") / "builtin"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_profile(
    name_or_path: str | os.PathLike[str] = "tuned",
    overrides: Mapping[str, Any] | None = None,
    *,
    folder: str | os.PathLike[str] = ".",
) -> Profile:
    """Return a profile.

    Parameters
    ----------
    name_or_path
        A built-in name (`builtin_profiles`) or a YAML file.
    overrides
        Merged in before checking: mappings key by key, null removes a key; entries of a list (``noise``, ...) are
        addressed by name: ``{"noise": {"vmstat": {"duration": {...}}, "smi": None}}``.
    folder
        The folder a relative path starts from.

    Raises
    ------
    InputError
        There is no such profile, or it or an override is wrong.
    """
    path = _path(name_or_path, folder)
    document = load_yaml(path)
    data = document.data
    lines: Document | None = document
    if overrides:
        data = _merged(data, overrides, "profile_overrides")
        lines = None
    source = str(path) if lines else f"{path} with profile_overrides"
    return validate(Profile, data, source, lines, context={FOLDER: path.parent})


def profile_data(name_or_path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return a profile as its file has it, not checked; names of files in it hold from everywhere.

    Raises
    ------
    InputError
        There is no such profile, or it is no YAML.
    """
    path = _path(name_or_path, ".")
    data: dict[str, Any] = _with_whole_paths(load_yaml(path).data, path.parent.absolute())
    return data


def _with_whole_paths(data: Any, folder: Path) -> Any:
    if isinstance(data, list):
        return [_with_whole_paths(value, folder) for value in data]
    if not isinstance(data, dict):
        return data
    files = {key: str(folder / value) for key, value in data.items() if key in _FILE_KEYS and isinstance(value, str)}
    return {key: files.get(key) or _with_whole_paths(value, folder) for key, value in data.items()}


_FILE_KEYS = ("empirical", "file")


def _path(name_or_path: str | os.PathLike[str], folder: str | os.PathLike[str]) -> Path:
    name = os.fspath(name_or_path)
    builtin = builtin_profiles()
    if name in builtin:
        return Path(str(resources.files("rtsim.profile") / "builtin" / f"{name}.yaml"))
    path = Path(folder) / name
    if not path.is_file():
        raise InputError(name, "", f"expected a profile file or one of {', '.join(builtin)}")
    return path


def _merged(data: Any, patch: Any, place: str) -> Any:
    """Return `data` with `patch` merged in (RFC 7396), lists of named entries as if they were mappings by name."""
    if not isinstance(patch, Mapping):
        return patch
    if isinstance(data, list):
        by_name = {entry["name"]: entry for entry in data if isinstance(entry, dict) and "name" in entry}
        merged = _merged(by_name, patch, place)
        return [{"name": name, **entry} if isinstance(entry, dict) else entry for name, entry in merged.items()]
    result = dict(data) if isinstance(data, dict) else {}
    for key, value in patch.items():
        if not isinstance(key, str):
            raise InputError(place, "", f"expected text as key, found {shown(key)}")
        if value is None:
            if key not in result:
                raise InputError(place, key, "expected an existing key to remove, found none")
            del result[key]
        elif _is_form(value):
            result[key] = _with_form(result.get(key), value)
        else:
            result[key] = _merged(result.get(key), value, f"{place}.{key}")
    return result


_FORMS = frozenset(
    {
        "constant",
        "uniform",
        "lognormal",
        "gamma",
        "exponential",
        "empirical",
        "mixture",
        "periodic",
        "poisson",
        "bursts",
    }
)


def _is_form(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(_FORMS & set(value))


def _with_form(old: Any, new: Mapping[str, Any]) -> Any:
    """A distribution or arrival replaces the old one whole; only its source stays, where there was one."""
    keep = {"source": old["source"]} if isinstance(old, dict) and "source" in old else {}
    return {**keep, **new}
