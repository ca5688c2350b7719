"""Scenarios: read from a file or a mapping, varied by merge patches and by paths, checked whole each time."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rtsim.inputs.errors import InputError
from rtsim.inputs.models import validate
from rtsim.inputs.units import parse_duration
from rtsim.inputs.yaml import Document, load_yaml, parse_yaml
from rtsim.nova import Flavor
from rtsim.scenario.schema import ScenarioModel
from rtsim.workload import load_workload

__all__ = ["Scenario"]


@dataclass(frozen=True)
class Scenario:
    """Everything that fixes a run.

    Attributes
    ----------
    model
        The checked scenario.
    data
        What was written: plain data, as it appears in results.
    source
        File (or other origin) that errors name.
    folder
        What relative paths in it start from.
    """

    model: ScenarioModel
    data: Mapping[str, Any]
    source: str
    folder: Path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Scenario:
        """Read a scenario file.

        Raises
        ------
        InputError
            The file, a line of it, or a value is wrong.
        """
        document = load_yaml(path)
        return cls._checked(document.data, os.fspath(path), Path(path).parent, document)

    @classmethod
    def of(cls, data: Mapping[str, Any], *, folder: str | os.PathLike[str] = ".", source: str = "scenario") -> Scenario:
        """Return the scenario that plain data describes; raises as `load` does."""
        return cls._checked(data, source, Path(folder), None)

    @classmethod
    def _checked(cls, data: Any, source: str, folder: Path, lines: Document | None) -> Scenario:
        if not isinstance(data, Mapping):
            raise InputError(source, "", "expected a mapping with host, guests, duration, ...")
        model = validate(ScenarioModel, _with_workload_files(data, folder), source, lines)
        return cls(model, data, source, folder)

    def seeded(self, seed: int) -> Scenario:
        """Return the same scenario with another seed: a replication."""
        return self.patched({"seed": seed})

    def lasting(self, duration: str) -> Scenario:
        """Return the same scenario with another duration, such as ``10 s``."""
        try:
            parse_duration(duration)
        except ValueError as error:
            raise InputError("--duration", "", str(error)) from None
        return self.patched({"duration": duration})

    def patched(self, patch: Mapping[str, Any], name: str = "") -> Scenario:
        """Return the scenario with `patch` merged in (RFC 7396); lists of guests are addressed by name."""
        source = f"{self.source}: variant {name}" if name else self.source
        return self._checked(_merged(self._opened(patch), patch, source), source, self.folder, None)

    def variants(self) -> dict[str, Scenario]:
        """Return the scenario of each variant; raises as `load` does, naming the variant."""
        base = replace(self, data={key: value for key, value in self.data.items() if key != "variants"})
        return {name: base.patched(patch, name) for name, patch in self.model.variants.items()}

    def with_value(self, path: str, text: str) -> Scenario:
        """Return the scenario with the value at `path` set to `text` (read as YAML).

        `path` is written as in ``guests.realtime4.flavor.properties["hw:cpu_realtime_mask"]``; guests by name.
        """
        value = parse_yaml(text, f"--vary {path}").data if text.strip() else ""
        keys = _keys(path)
        patch: Any = {keys[-1]: value}
        for key in reversed(keys[:-1]):
            patch = {key: patch}
        return self._checked(
            _merged(self._opened(patch), patch, self.source), f"{self.source}: {path}", self.folder, None
        )

    def _opened(self, patch: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the data with the flavor files that a patch goes into read in place."""
        patched = patch.get("guests")
        if not isinstance(patched, Mapping):
            return self.data
        guests = []
        for guest in self.data.get("guests", []):
            own = patched.get(guest["name"])
            inside = isinstance(own, Mapping) and isinstance(own.get("flavor"), Mapping)
            if inside and isinstance(guest.get("flavor"), str):
                guest = {**guest, "flavor": _inline(Flavor.from_openstack(self.folder / guest["flavor"]))}
            guests.append(guest)
        return {**self.data, "guests": guests}


def _with_workload_files(data: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the data with what rt-app files hold in place of their names."""

    def opened(owner: Any) -> Any:
        if isinstance(owner, Mapping) and isinstance(owner.get("workload"), str):
            return {**owner, "workload": load_workload(folder / owner["workload"])}
        return owner

    found: dict[str, Any] = dict(opened(data))
    if isinstance(found.get("guests"), list | tuple):
        found["guests"] = [opened(guest) for guest in found["guests"]]
    return found


def _inline(flavor: Flavor) -> dict[str, Any]:
    return {
        "name": flavor.name, "ram": flavor.memory_mib, "vcpus": flavor.vcpus, "disk": flavor.disk_gib,
        "properties": dict(flavor.extra_specs),
    }  # fmt: skip


def _keys(path: str) -> list[str]:
    keys = [quoted or plain for quoted, plain in re.findall(r'\["([^"]+)"\]|([^.\[\]"]+)', path)]
    if not keys:
        raise InputError("--vary", path, "expected a path such as guests.NAME.kernel.release")
    return keys


def _merged(data: Any, patch: Any, source: str) -> Any:
    if not isinstance(patch, Mapping):
        return patch
    if isinstance(data, list):
        names = [entry.get("name") if isinstance(entry, Mapping) else None for entry in data]
        unknown = [key for key in patch if key not in names]
        if unknown:
            known = ", ".join(str(name) for name in names)
            raise InputError(source, str(unknown[0]), f"expected one of the names {known}")
        return [
            _merged(entry, patch[name], source) if name in patch else entry
            for name, entry in zip(names, data, strict=True)
            if not (name in patch and patch[name] is None)
        ]
    result = dict(data) if isinstance(data, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value, source)
    return result
