"""Flavors and images as OpenStack prints them, and image properties as Nova types them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rtsim.inputs.errors import InputError, shown
from rtsim.inputs.json import load_json
from rtsim.nova.cpuspec import parse_cpu_spec, rebuilt
from rtsim.nova.errors import at_stage
from rtsim.nova.rules import Rules
from rtsim.nova.values import is_true

__all__ = ["Flavor", "Image", "image_properties"]

MOST_VCPUS = 4096
FLAVOR_KEYS = frozenset(
    {"access_project_ids", "description", "disabled", "disk", "ephemeral", "extra_specs", "id", "is_public"}
    | {"location", "name", "original_name", "properties", "ram", "rxtx_factor", "swap", "vcpus"}
    | {"os-flavor-access:is_public", "OS-FLV-DISABLED:disabled", "OS-FLV-EXT-DATA:ephemeral"}
)
PROPERTY = re.compile(r"\s*([^\s=,][^=,]*)='(.*?)'\s*(?:,|$)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Flavor:
    """What a guest asks for."""

    name: str
    vcpus: int
    memory_mib: int
    disk_gib: int = 0
    extra_specs: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_openstack(cls, source: Mapping[str, Any] | str | os.PathLike[str]) -> Flavor:
        """Read what ``openstack flavor show -f json`` prints, from a file or as a mapping.

        Parameters
        ----------
        source
            A path, or ``{ram, vcpus, disk, properties}``; properties as an object or as ``k='v', k2='v2'``.

        Raises
        ------
        InputError
            Anything missing, unknown or of the wrong kind; named by its key.
        """
        name, data = _mapping(source, "flavor")
        for key in data:
            if key not in FLAVOR_KEYS:
                raise InputError(name, str(key), "expected a key that `openstack flavor show` prints")
        if "properties" in data and "extra_specs" in data:
            raise InputError(name, "extra_specs", "expected either properties or extra_specs, found both")
        place = "extra_specs" if "extra_specs" in data else "properties"
        return cls(
            name=str(data.get("name", "flavor")),
            vcpus=_whole(name, data, "vcpus", 1, MOST_VCPUS),
            memory_mib=_whole(name, data, "ram", 1, 1 << 40),
            disk_gib=_whole(name, data, "disk", 0, 1 << 40) if data.get("disk") is not None else 0,
            extra_specs=_properties(name, place, data.get(place)),
        )


@dataclass(frozen=True, slots=True)
class Image:
    """The properties of a guest's image."""

    properties: Mapping[str, Any] = field(default_factory=dict)
    name: str = "image"

    @classmethod
    def from_openstack(cls, source: Mapping[str, Any] | str | os.PathLike[str]) -> Image:
        """Read what ``openstack image show -f json`` prints, from a file or as a mapping.

        Raises
        ------
        InputError
            No JSON object, or properties that are none.
        """
        name, data = _mapping(source, "image")
        properties = data.get("properties")
        if isinstance(properties, Mapping):
            return cls({str(key): value for key, value in properties.items()}, str(data.get("name", "image")))
        return cls(_properties(name, "properties", properties), str(data.get("name", "image")))


def _mapping(source: Mapping[str, Any] | str | os.PathLike[str], kind: str) -> tuple[str, Mapping[str, Any]]:
    if isinstance(source, Mapping):
        return kind, source
    name = os.fspath(source)
    data = load_json(source)
    if not isinstance(data, dict):
        raise InputError(name, "", f"expected a JSON object as `openstack {kind} show -f json` prints")
    return name, data


def _whole(name: str, data: Mapping[str, Any], key: str, low: int, high: int) -> int:
    value = data.get(key)
    if isinstance(value, str) and re.fullmatch(r"\d{1,15}", value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InputError(name, key, f"expected a whole number from {low} to {high}, found {shown(value)}")
    return value


def _properties(name: str, place: str, value: object) -> dict[str, str]:
    """Return properties given as an object, or as openstack's ``k='v', k2='v2'``."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(item, str | int | float):
                raise InputError(name, f"{place}.{key}", f"expected text, found {shown(item)}")
        return {str(key): str(item) for key, item in value.items()}
    if not isinstance(value, str):
        raise InputError(name, place, f"expected an object or \"key='value', ...\", found {shown(value)}")
    found: dict[str, str] = {}
    at = 0
    while at < len(value.rstrip()):
        match = PROPERTY.match(value, at)
        if not match:
            raise InputError(name, place, f"expected \"key='value', ...\", found {value[at : at + 40]!r}")
        found[match[1].strip()] = match[2]
        at = match.end()
    return found


# ---------------------------------------------------------------------------------------------------------------------
# Image properties: Nova converts them, in this order, when it first reads the image.

POLICIES = ("dedicated", "shared", "mixed")
THREAD_POLICIES = ("prefer", "isolate", "require")
NUMA_NODES_MAX = 128
FIELDS: tuple[tuple[str, object], ...] = (
    ("hw_cpu_cores", "int"),
    ("hw_cpu_sockets", "int"),
    ("hw_cpu_max_cores", "int"),
    ("hw_cpu_max_sockets", "int"),
    ("hw_cpu_max_threads", "int"),
    ("hw_cpu_policy", POLICIES),
    ("hw_cpu_thread_policy", THREAD_POLICIES),
    ("hw_cpu_realtime_mask", "str"),
    ("hw_cpu_threads", "int"),
    ("hw_firmware_type", ("uefi", "bios")),
    ("hw_firmware_stateless", "bool"),
    ("hw_locked_memory", "bool"),
    ("hw_machine_type", "str"),
    ("hw_mem_encryption", "bool"),
    ("hw_mem_encryption_model", ("amd-sev", "amd-sev-es", "amd-sev-snp", "intel-tdx")),
    ("hw_mem_page_size", "str"),
    ("hw_numa_nodes", "int"),
    ("hw_numa_cpus", "cells"),
    ("hw_numa_mem", "cells"),
    ("hw_pci_numa_affinity_policy", ("required", "legacy", "preferred", "socket")),
    ("hw_maxphysaddr_mode", ("passthrough", "emulate")),
    ("hw_maxphysaddr_bits", "int"),
)
NO_PROPERTIES: dict[str, Any] = {}


def image_properties(properties: Mapping[str, Any], rules: Rules) -> dict[str, Any]:
    """Return the properties that matter for placement, typed as Nova types them.

    Raises
    ------
    NovaRefusal
        Stage ``image``: a value that Nova cannot convert, in the order in which it tries.
    """
    if not properties:
        return NO_PROPERTIES
    typed: dict[str, Any] = {}
    with at_stage("image"):
        for key, kind in FIELDS:
            if kind == "cells":
                cells = _per_cell(properties, key)
                if cells:
                    typed[key] = cells
            elif key in properties and not (key == "hw_locked_memory" and not rules.locked_memory):
                typed[key] = _typed(key, kind, properties[key], rules)
        traits = [key[6:] for key, value in properties.items() if key.startswith("trait:") and str(value) == "required"]
        if traits:
            typed["traits_required"] = traits
    return typed


def _typed(key: str, kind: object, value: Any, rules: Rules) -> Any:
    if value is None:
        raise ValueError(f"Field `{key}' cannot be None")
    if kind == "int":
        return int(value)
    if kind == "bool":
        return is_true(value)
    if kind == "str":
        if not isinstance(value, int | float | str):
            raise ValueError(f"A string is required in field {key}, not a {type(value).__name__}")
        return str(value)
    assert isinstance(kind, tuple)
    allowed = kind[:2] if kind is POLICIES and not rules.mixed_policy else kind
    if value not in allowed:
        raise ValueError(f"Field value {value} is invalid")
    return str(value)


def _per_cell(properties: Mapping[str, Any], key: str) -> list[Any]:
    """Return ``KEY.0``, ``KEY.1``, ... up to the first gap."""
    cells: list[Any] = []
    for cell in range(NUMA_NODES_MAX):
        value = properties.get(f"{key}.{cell}", cells)
        if value is cells:
            break
        cells.append(rebuilt(parse_cpu_spec(value)) if key == "hw_numa_cpus" else int(value))
    return cells
