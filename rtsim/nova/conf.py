"""The part of ``nova.conf`` on a compute node that decides placement."""

from __future__ import annotations

import configparser
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from rtsim.inputs.errors import InputError, shown
from rtsim.inputs.files import read_text
from rtsim.nova.cpuspec import parse_cpu_spec
from rtsim.nova.errors import refuse
from rtsim.nova.values import is_true, page_size

__all__ = ["NovaConf"]

SECTIONS = {
    "cpu_shared_set": "compute",
    "cpu_dedicated_set": "compute",
    "packing_host_numa_cells_allocation_strategy": "compute",
    "realtime_scheduler_priority": "libvirt",
    "file_backed_memory": "libvirt",
    "cpu_mode": "libvirt",
    "virt_type": "libvirt",
    "cpu_power_management": "libvirt",
}
CPU_MODES = ("host-model", "host-passthrough", "custom", "none")
VIRT_TYPES = ("kvm", "lxc", "qemu", "parallels")
WORDS = frozenset(["1", "t", "true", "on", "y", "yes", "0", "f", "false", "off", "n", "no"])


@dataclass(frozen=True, slots=True)
class NovaConf:
    """Options of a compute node; the defaults are Nova's."""

    cpu_shared_set: str | None = None
    cpu_dedicated_set: str | None = None
    vcpu_pin_set: str | None = None
    reserved_huge_pages: tuple[Mapping[str, str], ...] = ()
    packing_host_numa_cells_allocation_strategy: bool | None = None
    """None takes the release's default."""
    realtime_scheduler_priority: int = 1
    file_backed_memory: int = 0
    cpu_mode: str | None = None
    virt_type: str = "kvm"
    cpu_power_management: bool = False
    cpu_allocation_ratio: float = 4.0
    ram_allocation_ratio: float = 1.0
    reserved_host_memory_mb: int = 512
    """Counts in placement, not in the choice of cells and CPUs."""
    reserved_host_cpus: int = 0
    """As above."""

    @classmethod
    def from_mapping(cls, options: Mapping[str, Any], source: str = "nova.conf") -> NovaConf:
        """Return options given as a mapping; CPU sets as cpulists or lists of numbers.

        Raises
        ------
        InputError
            An option that is unknown here, or a value of the wrong kind.
        """
        known: dict[str, Any] = {}
        for key, value in options.items():
            if key == "release" or value is None:
                continue
            if key not in READERS:
                raise InputError(source, str(key), "expected an option of Nova that decides placement")
            try:
                known[key] = READERS[key](value)
            except (ValueError, TypeError, OverflowError) as error:
                raise InputError(source, key, str(error)) from None
        return cls(**known)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> NovaConf:
        """Read a ``nova.conf``; options that do not decide placement are passed over.

        Raises
        ------
        InputError
            No readable ini file, or a value of the wrong kind.
        """
        name = os.fspath(path)
        options: dict[str, Any] = {}
        for section, key, value in _ini_options(name, read_text(path)):
            if key in READERS and section == SECTIONS.get(key, "DEFAULT"):
                if key == "reserved_huge_pages":
                    options.setdefault(key, []).append(value)
                elif value != "":
                    options[key] = value
        return cls.from_mapping(options, name)

    def shared_cpus(self) -> set[int] | None:
        """Return ``[compute] cpu_shared_set``.

        Raises
        ------
        NovaRefusal
            ``Invalid``: no CPU list, or none left.
        """
        return _cpus(self.cpu_shared_set, "'[compute] cpu_shared_set'")

    def dedicated_cpus(self) -> set[int] | None:
        """Return ``[compute] cpu_dedicated_set``; raises as ``shared_cpus`` does."""
        return _cpus(self.cpu_dedicated_set, "'[compute] cpu_dedicated_set'")

    def legacy_cpus(self) -> set[int] | None:
        """Return ``vcpu_pin_set``; raises as ``shared_cpus`` does."""
        return _cpus(self.vcpu_pin_set, "'vcpu_pin_set'")

    def reserved_pages(self) -> dict[tuple[int, float], int]:
        """Return ``reserved_huge_pages`` as pages by (cell, size in KiB).

        Raises
        ------
        NovaRefusal
            ``InvalidReservedMemoryPagesOption``.
        """
        reserved: dict[tuple[int, float], int] = {}
        try:
            for option in self.reserved_huge_pages:
                size = option["size"]
                if str(size) in ("small", "large", "any"):
                    raise ValueError
                try:
                    kib: float = int(size)
                except ValueError:
                    kib = page_size(size)
                reserved[int(option["node"]), kib] = int(option["count"])
        except (ValueError, TypeError, KeyError):
            conf = [dict(option) for option in self.reserved_huge_pages]
            raise refuse("InvalidReservedMemoryPagesOption", conf=conf) from None
        return reserved


def _cpus(spec: str | None, option: str) -> set[int] | None:
    if not spec:
        return None
    cpus = parse_cpu_spec(spec)
    if not cpus:
        raise refuse("Invalid", f"No CPUs available after parsing {option} config, {spec!r}")
    return cpus


def _cpu_list(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return str(value)
    if isinstance(value, list | tuple | set | frozenset):
        numbers = list(value)
        if all(isinstance(cpu, int) and not isinstance(cpu, bool) and cpu >= 0 for cpu in numbers):
            return ",".join(map(str, numbers))
    raise ValueError(f"expected a CPU list such as 2-7,^3 or a list of CPU numbers, found {shown(value)}")


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in WORDS:
        return is_true(value)
    raise ValueError(f"expected true or false, found {shown(value)}")


def _number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"expected a whole number, found {shown(value)}")
    try:
        return int(value)
    except ValueError:
        raise ValueError(f"expected a whole number, found {shown(value)}") from None


def _positive(value: object) -> int:
    number = _number(value)
    if number < 0:
        raise ValueError(f"expected 0 or more, found {number}")
    return number


def _ratio(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"expected a number, found {shown(value)}")
    try:
        number = float(value)
    except ValueError:
        raise ValueError(f"expected a number, found {shown(value)}") from None
    if not 0 <= number < 1e9:
        raise ValueError(f"expected a number from 0 to 1e9, found {shown(value)}")
    return number


def _one_of(allowed: Iterable[str]) -> Any:
    known = tuple(allowed)

    def read(value: object) -> str:
        if value not in known:
            raise ValueError(f"expected one of {', '.join(known)}, found {shown(value)}")
        return str(value)

    return read


def _reserved(value: object) -> tuple[Mapping[str, str], ...]:
    """Return ``node:0,size:2048,count:64`` options, each also as an object."""
    options = value if isinstance(value, list | tuple) else [value]
    read: list[Mapping[str, str]] = []
    for option in options:
        if isinstance(option, Mapping):
            read.append({str(key): str(item) for key, item in option.items()})
        elif isinstance(option, str):
            pairs = [part.partition(":") for part in option.split(",")]
            if not all(colon for _, colon, _ in pairs):
                raise ValueError(f"expected node:N,size:S,count:C, found {shown(option)}")
            read.append({key.strip(): item.strip() for key, _, item in pairs})
        else:
            raise ValueError(f"expected node:N,size:S,count:C, found {shown(option)}")
    return tuple(read)


READERS: dict[str, Any] = {
    "cpu_shared_set": _cpu_list,
    "cpu_dedicated_set": _cpu_list,
    "vcpu_pin_set": _cpu_list,
    "reserved_huge_pages": _reserved,
    "packing_host_numa_cells_allocation_strategy": _boolean,
    "realtime_scheduler_priority": _number,
    "file_backed_memory": _positive,
    "cpu_mode": _one_of(CPU_MODES),
    "virt_type": _one_of(VIRT_TYPES),
    "cpu_power_management": _boolean,
    "cpu_allocation_ratio": _ratio,
    "ram_allocation_ratio": _ratio,
    "reserved_host_memory_mb": _positive,
    "reserved_host_cpus": _positive,
}
assert set(READERS) == {field.name for field in fields(NovaConf)}


def _ini_options(name: str, text: str) -> list[tuple[str, str, str]]:
    """Return (section, option, value) of every line, repeated options included."""
    try:
        # Checks the form; repeats, which Nova allows, it would drop.
        configparser.RawConfigParser(strict=False, allow_no_value=True, default_section="\0").read_string(text, name)
    except configparser.Error as error:
        line = getattr(error, "lineno", None)
        raise InputError(name, f"line {line}" if line else "", "expected an ini file such as nova.conf") from None
    options: list[tuple[str, str, str]] = []
    section = "DEFAULT"
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("[") and stripped.endswith("]"):
            section = stripped[1:-1]
        elif stripped and stripped[0] not in "#;" and not line[0].isspace():
            key, _, value = stripped.partition("=") if "=" in stripped else stripped.partition(":")
            value = value.strip()
            if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
                value = value[1:-1]
            options.append((section, key.strip(), value))
    return options
