"""How many levels of cgroups above the threads of a recording have the cpu controller: each costs a wake-up time."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from rtsim.inputs.errors import InputError
from rtsim.traces.recording import group_name
from rtsim.traces.rtwl import RtwlTask

__all__ = ["UNKNOWN", "levels_of_host", "levels_of_tasks"]

UNKNOWN = -1

TASKS = "tasks.csv"
MOUNTS = ("sys/fs/cgroup", "sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct")
CONTROLLED = ("cpu.weight", "cpu.shares")
"""Files of a cgroup with the cpu controller, version 2 and 1."""
_HIERARCHY = re.compile(r"\d+:([^:]*):(/\S*)")


def levels_of_tasks(tasks: tuple[RtwlTask, ...]) -> dict[str, int]:
    """Return the levels of a recorded case's tasks, by name."""
    return {task.name: len(_groups(group_name(task.cgroup))) for task in tasks if task.cgroup}


def levels_of_host(folder: Path) -> dict[str, int]:
    """Return the levels that a recording's folder ``host`` tells, by thread name; `UNKNOWN` for a name with several.

    Raises
    ------
    InputError
        Its table of tasks cannot be read.
    """
    table = folder / TASKS
    if not table.is_file():
        return {}
    found: dict[str, set[int]] = {}
    mounts = [folder / mount for mount in MOUNTS]
    try:
        for name, cgroup in _rows(table):
            found.setdefault(name, set()).add(_controlled(cgroup, mounts))
    except (OSError, UnicodeDecodeError, csv.Error, KeyError):
        raise InputError(str(table), "", "expected a table with columns comm and cgroup") from None
    return {name: levels.pop() if len(levels) == 1 else UNKNOWN for name, levels in found.items()}


def _rows(table: Path) -> Iterator[tuple[str, str]]:
    with open(table, encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            yield row["comm"], row["cgroup"] or ""


def _controlled(hierarchies: str, mounts: list[Path]) -> int:
    """Return how many groups of ``/proc/PID/cgroup`` have the cpu controller."""
    by_controllers = {tuple(names.split(",")): path for names, path in _HIERARCHY.findall(hierarchies)}
    with_cpu = [path for names, path in by_controllers.items() if "cpu" in names] or [by_controllers.get(("",), "/")]
    parts = _groups(with_cpu[0])
    groups = [Path(*parts[: depth + 1]) for depth in range(len(parts))]
    return sum(any((mount / group / name).is_file() for mount in mounts for name in CONTROLLED) for group in groups)


def _groups(path: str) -> tuple[str, ...]:
    return tuple(part for part in PurePosixPath(path).parts if part != "/")
