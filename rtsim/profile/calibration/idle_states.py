"""What the idle states of a recorded host are called, and from which idle time on each is worth entering."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rtsim.inputs.errors import InputError, shown
from rtsim.inputs.files import read_text

__all__ = ["WITHOUT_DRIVER", "IdleState", "idle_states"]

CPUIDLE = "sys/devices/system/cpu/cpu*/cpuidle/state*"
_NAME = re.compile(r"POLL|C[1-9][A-Z]{0,2}(?![A-Za-z0-9])")


@dataclass(frozen=True)
class IdleState:
    """A state as a profile names it; the residency (ns) where the recording tells."""

    name: str
    residency_ns: int | None = None


WITHOUT_DRIVER: Mapping[int, IdleState] = {0: IdleState("poll"), 1: IdleState("C1")}
"""By their number in power:cpu_idle: what the idle loop enters by itself (cpu_idle_poll, default_idle_call)."""


def idle_states(host: Path) -> Mapping[int, IdleState]:
    """Return the states of a recording's folder ``host`` by their number; other names are left out.

    Raises
    ------
    InputError
        A file cannot be read.
    """
    states = {}
    for folder in sorted(host.glob(CPUIDLE)):
        name = _NAME.match(read_text(folder / "name").strip())
        if name is not None:
            told = "poll" if name[0] == "POLL" else name[0]
            states[_number(folder.name.removeprefix("state"), folder)] = IdleState(told, _residency_ns(folder))
    return states or WITHOUT_DRIVER


def _residency_ns(folder: Path) -> int | None:
    file = folder / "residency"
    return _number(read_text(file), file) * 1000 if file.is_file() else None


def _number(text: str, place: Path) -> int:
    if not text.strip().isdecimal():
        raise InputError(str(place), "", f"expected a number, found {shown(text)}")
    return int(text)
