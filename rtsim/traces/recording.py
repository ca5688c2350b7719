"""Recordings of real kernels: what ran, on which kernel, and what was measured of it.

A recording is a folder of cases (the layouts are described in ``data/recorded/README.md``): one repetition of each case
on a kernel under an instruction clock, or ``CASE/r1``, ``CASE/r2``, ... of a machine that was measured natively.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rtsim.inputs.errors import InputError, shown
from rtsim.inputs.files import read_text
from rtsim.inputs.json import load_json
from rtsim.traces.compressed import read_compressed
from rtsim.traces.rtwl import CyclictestRun, RtwlTask, parse_command

__all__ = ["Case", "Recording", "Repetition", "group_name", "read_recording"]

MOUNTS = ("/sys/fs/cgroup/cpu", "/cg")
"""Where the recorded machines mount the cgroups; not part of a cgroup's name."""
LAB_GROUPS = {"/A": {"cpu.shares": "4096"}, "/B": {"cpu.shares": "1024"}}
"""Of cases that have no file ``cgroups``: lines ``PATH KEY VALUE``."""


@dataclass(frozen=True)
class Repetition:
    """One measurement of a case: its folder and what ``summary.json`` says of it."""

    folder: Path
    tasks: Mapping[str, Mapping[str, Any]]
    """By task, as rtwl counted: ``cpu_share``, ``wall_ns``, ``nivcsw``, ``wake_latency_ns``, ..."""
    trace: Mapping[str, Mapping[str, Any]]
    """By task, from the trace: ``run_len_us``, ``waking_to_run_us``, ``migrations``, ...; empty without one."""
    cyclictest_us: Mapping[str, Any] | None

    @property
    def start_ns(self) -> int:
        """The instant all tasks count from: periodic ones are released at it, hogs started 10 ms before."""
        return next((self._start(task) for task in self.tasks), 0)

    def _start(self, task: str) -> int:
        start: int = _object(self.folder / f"{task}.json", t0_ns=int)["t0_ns"]
        return start

    def late_ns(self, task: str) -> int:
        """How long after `start_ns` a task was first in its own code: realtime hogs may have kept it from the CPU."""
        return self.began_ns(task) - self._start(task)

    def began_ns(self, task: str) -> int:
        """When a task was first in its own code."""
        began: int = _object(self.folder / f"{task}.json", start_ns=int)["start_ns"]
        return began

    def rows(self, file: str) -> list[tuple[int, ...]]:
        """Return the lines of ``TASK.lat`` (target, latency, response) or ``TASK.gap`` (time, gap), in ns.

        Raises
        ------
        InputError
            There is no such file, or a line of it is not numbers.
        """
        path = self.folder / f"{file}.zst"
        rows = []
        for number, line in enumerate(read_compressed(path).splitlines(), 1):
            try:
                rows.append(tuple(int(word) for word in line.split()))
            except ValueError:
                raise InputError(str(path), f"line {number}", f"expected numbers, found {shown(line)}") from None
        return rows

    def trace_text(self) -> str:
        """Return the ftrace text; raises InputError where there is none."""
        return read_compressed(self.folder / "trace.txt.zst")


@dataclass(frozen=True)
class Case:
    """One scenario as it was recorded."""

    name: str
    tasks: tuple[RtwlTask, ...]
    cyclictest: CyclictestRun | None
    cgroups: Mapping[str, Mapping[str, str]]
    """Settings by cgroup, in cgroup v1's keys; cgroups without settings of their own may be missing."""
    duration_ns: int
    repetitions: tuple[Repetition, ...]

    def task(self, name: str) -> RtwlTask:
        """Return one of the tasks; raises KeyError."""
        return next(task for task in self.tasks if task.name == name)


@dataclass(frozen=True)
class Recording:
    """A kernel, its machine, and the cases recorded on it."""

    name: str
    folder: Path
    release: str
    preempt: str
    hz: int
    cmdline: str
    native: bool
    """Measured on a machine's own clock, with the noise of what else it ran."""
    rt_group_sched: bool
    topology: Mapping[str, Any]
    """In a scenario's words."""
    cases: Mapping[str, Case]


def read_recording(folder: str | os.PathLike[str]) -> Recording:
    """Read a recording's folder.

    Raises
    ------
    InputError
        The folder holds no recording, or a file of it is not as expected.
    """
    path = Path(folder)
    if (path / "summary.json").is_file():
        return _lab_recording(path)
    repetitions = sorted(path.glob("*/r[0-9]*/summary.json"))
    if not repetitions:
        raise InputError(str(path), "", "expected a recording: summary.json, or CASE/r1/summary.json")
    return _native_recording(path, [found.parent for found in repetitions])


# --- kernels under an instruction clock -------------------------------------------------------------------------------


def _lab_recording(path: Path) -> Recording:
    metadata = _object(path / "metadata.json", kernel=str, cmdline=str, topology=list, sched=list)
    summaries = _object(path / "summary.json")
    source = str(path / "metadata.json")
    kernel = metadata["kernel"]
    return Recording(
        name=path.name,
        folder=path,
        release=_release(kernel, source),
        preempt=_preempt(kernel, _texts(metadata, "sched", source)),
        hz=_with({"hz": 250, **metadata}, source, "", hz=int)["hz"],
        cmdline=metadata["cmdline"],
        native=False,
        rt_group_sched=False,
        topology=_topology(_texts(metadata, "topology", source), source),
        cases={name: _lab_case(path / name, summary) for name, summary in summaries.items()},
    )


def _lab_case(folder: Path, told: object) -> Case:
    source = str(folder.parent / "summary.json")
    summary = _with({"trace": {}, **_with(told, source, folder.name)}, source, folder.name, cmd=str, trace=dict)
    tasks, cyclictest = parse_command(summary["cmd"], str(folder / "cmd"))
    if cyclictest is not None:  # the case's command leaves out what all cyclictests here have in common
        whole = _object(folder / "cyclictest.json", **{"cmdline:": str})["cmdline:"]
        _, cyclictest = parse_command(whole, str(folder / "cyclictest.json"))
    tasks = tuple(_in_group(task) for task in tasks)
    trace = {name: found for name, found in summary["trace"].items() if isinstance(found, dict)}
    repetition = Repetition(folder, _tasks(summary, "tasks", source), trace, summary.get("cyclictest_us"))
    return Case(
        name=folder.name,
        tasks=tasks,
        cyclictest=cyclictest,
        cgroups=_lab_groups(folder / "cgroups", tasks),
        duration_ns=_duration_ns([repetition], cyclictest is not None),
        repetitions=(repetition,),
    )


def _lab_groups(path: Path, tasks: Sequence[RtwlTask]) -> dict[str, dict[str, str]]:
    if path.is_file():
        return _group_file(path)
    used = [f"{task.cgroup}/" for task in tasks]
    return {group: settings for group, settings in LAB_GROUPS.items() if any(u.startswith(f"{group}/") for u in used)}


def _group_file(path: Path) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        words = line.split()
        if len(words) != 3:
            raise InputError(str(path), f"line {number}", f"expected PATH KEY VALUE, found {shown(line)}")
        found.setdefault(group_name(words[0]), {})[words[1]] = words[2]
    return found


def _release(kernel: str, source: str) -> str:
    """Return the version that decides: Debian's package version, where the name holds an ABI number instead."""
    match = re.search(r"Debian (\d+\.\d+\.\d+)-", kernel) or re.search(r"(\d+\.\d+\.\d+)", kernel)
    if match is None:
        raise InputError(source, "kernel", f"expected a kernel release, found {shown(kernel)}")
    return match[1]


def _preempt(kernel: str, sched: Sequence[str]) -> str:
    """Return the model in force: PREEMPT_RT by the build, else the one in parentheses in debugfs."""
    if "PREEMPT_RT" in kernel:
        return "rt"
    chosen = (re.search(r"preempt: .*\((\w+)\)", line) for line in sched)
    return next((match[1] for match in chosen if match), "voluntary")


def _topology(lines: Sequence[str], source: str) -> dict[str, Any]:
    """Return the regular topology that ``cpu0 pkg=0 core=0 sib=0-1 node=node0`` lines describe."""
    places = [dict(word.split("=", 1) for word in line.split()[1:] if "=" in word) for line in lines]
    if not all({"pkg", "core"} <= place.keys() for place in places):
        raise InputError(source, "topology", "expected pkg= and core= of each CPU")
    packages = {place["pkg"] for place in places}
    cores = {(place["pkg"], place["core"]) for place in places}
    if not cores or len(places) % len(cores) or len(cores) % len(packages):
        raise InputError(source, "topology", "expected as many threads in each core as in the others")
    threads = len(places) // len(cores)
    regular = {"sockets": len(packages), "cores": len(cores) // len(packages), "threads": threads}
    nodes = {place.get("node") for place in places}
    if len(nodes) > 1:
        regular["numa_nodes"] = len(nodes)
    return {**regular, "numbering": "adjacent"} if threads > 1 else regular


# --- machines measured natively ---------------------------------------------------------------------------------------


def _native_recording(path: Path, folders: Sequence[Path]) -> Recording:
    metadata = _object(folders[0] / "metadata.json", kernel=str, topology=str, hz=int, preempt=str)
    source = str(folders[0] / "metadata.json")
    cpus = re.match(r"(\d+) CPUs, 1 thread a core", metadata["topology"])
    if cpus is None:
        raise InputError(source, "topology", f"expected 'N CPUs, 1 thread a core', found {shown(metadata['topology'])}")
    by_case: dict[str, list[Path]] = {}
    for folder in folders:
        by_case.setdefault(folder.parent.name, []).append(folder)
    return Recording(
        name=path.name,
        folder=path,
        release=_release(metadata["kernel"], source),
        preempt=metadata["preempt"],
        hz=metadata["hz"],
        cmdline="",
        native=True,
        rt_group_sched="RT_GROUP_SCHED=y" in metadata["kernel"],
        topology={"sockets": 1, "cores": int(cpus[1]), "threads": 1},
        cases={name: _native_case(name, found) for name, found in by_case.items()},
    )


def _native_case(name: str, folders: Sequence[Path]) -> Case:
    source = str(folders[0] / "metadata.json")
    commands = _texts(_object(folders[0] / "metadata.json", commands=list), "commands", source)
    tasks: list[RtwlTask] = []
    cyclictest: CyclictestRun | None = None
    for command in commands:
        if command.startswith(("rtwl ", "cyclictest ")):
            more, found = parse_command(command, source)
            tasks.extend(more)
            cyclictest = found or cyclictest
    repetitions = tuple(_native_repetition(folder) for folder in folders)
    return Case(
        name=name,
        tasks=tuple(_in_group(task) for task in tasks),
        cyclictest=cyclictest,
        cgroups=_group_commands(commands),
        duration_ns=_duration_ns(repetitions, cyclictest is not None),
        repetitions=repetitions,
    )


def _native_repetition(folder: Path) -> Repetition:
    summary = _object(folder / "summary.json")
    tasks = _tasks(summary, "tasks_rtwl", str(folder / "summary.json"))
    return Repetition(folder, tasks, {}, summary.get("cyclictest_us"))


def _group_commands(commands: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return what ``echo VALUE > CGROUP/KEY`` set."""
    found: dict[str, dict[str, str]] = {}
    for command in commands:
        for value, group, key in re.findall(r"echo (\S+) > (/\S+)/([a-z_.]+)", command):
            found.setdefault(group_name(group), {})[key] = value
    return found


# --- both -------------------------------------------------------------------------------------------------------------


def _duration_ns(repetitions: Sequence[Repetition], cyclictest: bool) -> int:
    """Return the length of the measurement in whole seconds; hogs beside a cyclictest outlast it by one."""
    walls = [task["wall_ns"] for repetition in repetitions for task in repetition.tasks.values()]
    longest = round(max(walls, default=11_000_000_000) / 1e9)
    return (longest - 1 if cyclictest else longest) * 1_000_000_000


def _in_group(task: RtwlTask) -> RtwlTask:
    return replace(task, cgroup=group_name(task.cgroup)) if task.cgroup else task


def group_name(path: str) -> str:
    """Return a cgroup's name, without the folder it is mounted in."""
    return next((path[len(mount) :] for mount in MOUNTS if path.startswith(f"{mount}/")), path)


def _tasks(summary: Mapping[str, Any], key: str, source: str) -> dict[str, Any]:
    """Return what a summary tells of tasks: at least how long each ran."""
    tasks: dict[str, Any] = _with(summary, source, "", **{key: dict})[key]
    return {name: _with(told, source, f"{key}.{name}", wall_ns=int) for name, told in tasks.items()}


def _texts(data: Mapping[str, Any], key: str, source: str) -> list[str]:
    texts: list[str] = data[key]
    if not all(isinstance(text, str) for text in texts):
        raise InputError(source, key, "expected a list of texts")
    return texts


def _object(path: Path, **kinds: type) -> dict[str, Any]:
    return _with(load_json(path), str(path), "", **kinds)


def _with(data: object, source: str, place: str, **kinds: type) -> dict[str, Any]:
    """Return an object of a JSON file if it has these keys, with values of these kinds."""
    if not isinstance(data, dict):
        raise InputError(source, place, f"expected an object, found {shown(data)}")
    for key, kind in kinds.items():
        at = f"{place}.{key}" if place else key
        if key not in data:
            raise InputError(source, at, "expected this key, found none")
        if not isinstance(data[key], kind):
            raise InputError(source, at, f"expected {_KINDS[kind]}, found {shown(data[key])}")
    return data


_KINDS = {str: "a text", int: "a whole number", list: "a list", dict: "an object"}
