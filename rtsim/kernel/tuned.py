"""Reads a profile of tuned, such as realtime-virtual-host, and what it includes: kernel arguments, tunables, masks.

Profiles and variables are the files that tuned installs under ``/usr/lib/tuned`` and ``/etc/tuned``, or copies of them.
Read are ``[main] include``, ``[variables]``, ``[bootloader] cmdline*``, ``[sysctl]``, the workqueue mask in
``[sysfs]``, ``[scheduler]`` and ``[systemd] cpu_affinity``; the scripts beside a profile are not.
"""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rtsim.inputs.cpulist import format_cpulist, parse_cpulist
from rtsim.inputs.errors import InputError, at, shown
from rtsim.inputs.files import read_text
from rtsim.kernel.isolation import Masks
from rtsim.kernel.sysctl import SYSCTL
from rtsim.kernel.tuned_variables import Variables, parse_cpumask
from rtsim.topology import Topology

__all__ = ["ThreadRule", "TunedProfile", "read_tuned"]

Sections = dict[str, dict[str, str]]

WORKQUEUE_MASK = "/sys/devices/virtual/workqueue/cpumask"
POLICIES = {"f": "fifo", "r": "rr", "o": "other", "b": "batch"}


@dataclass(frozen=True)
class ThreadRule:
    """A group of ``[scheduler]``: threads whose name matches get a policy."""

    pattern: str
    """Regular expression on the command line of the thread; kernel threads are ``[ksoftirqd/3]``."""
    policy: str
    """fifo, rr, other or batch."""
    priority: int

    def matches(self, thread: str) -> bool:
        """Tell whether the kernel thread of that name is meant."""
        return re.search(self.pattern, f"[{thread}]") is not None


@dataclass(frozen=True)
class TunedProfile:
    """What a profile makes of one machine."""

    name: str
    files: tuple[str, ...]
    """Files read, parents before those that include them."""
    cmdline: str
    """What it adds to the kernel command line."""
    sysctl: Mapping[str, str] = field(hash=False)
    """All its tunables as written."""
    masks: Masks
    """What it writes after boot."""
    threads: tuple[ThreadRule, ...]

    def kernel_sysctl(self) -> dict[str, int]:
        """Return those of its tunables that `Kernel` knows; raises InputError where one is no number."""
        found = {}
        for name, value in self.sysctl.items():
            key = name.removeprefix("kernel.")
            if name.startswith("kernel.") and key in SYSCTL:
                if not re.fullmatch(r"-?\d{1,18}", value.strip()):
                    raise InputError(self.files[-1], f"[sysctl] {name}", f"expected a number, found {shown(value)}")
                found[key] = int(value)
        return found


def read_tuned(
    path: str | os.PathLike[str], topology: Topology, variables: Mapping[str, str] | None = None
) -> TunedProfile:
    """Return the profile in `path`, a ``tuned.conf`` or its folder, for the machine `topology`.

    Parameters
    ----------
    path
        The folder's name is the profile's. Profiles it includes are looked for in the folders beside it.
    variables
        Such as ``{"isolated_cores": "2-7"}``; they count more than the files of variables that the profile includes.
        Such a file is looked for beside the profiles, in the nearest ``etc/tuned`` above them, and where its name
        says; one that is nowhere is passed over, as tuned does.

    Raises
    ------
    InputError
        A file is missing or wrong, one of the profile's assertions fails, or it isolates CPUs that do not exist.
    """
    given = Path(path)
    conf = given / "tuned.conf" if given.is_dir() else given
    files: list[Path] = []
    merged: Sections = {}
    for sections in _with_parents(conf, files, set()):
        for name, options in sections.items():
            replaces = options.pop("replace", "").lower() in ("1", "true", "yes")
            merged[name] = options if replaces else {**merged.get(name, {}), **options}
    known = _variables(merged.get("variables", {}), conf, topology, variables or {})
    return TunedProfile(
        name=conf.absolute().parent.name,
        files=tuple(map(str, files)),
        cmdline=_cmdline(merged.get("bootloader", {}), known),
        sysctl={name: known.expand(value, f"[sysctl] {name}") for name, value in merged.get("sysctl", {}).items()},
        masks=_masks(merged, known, topology, str(conf)),
        threads=tuple(_threads(merged.get("scheduler", {}), known, str(conf))),
    )


def _with_parents(conf: Path, files: list[Path], seen: set[Path]) -> Iterator[Sections]:
    """Yield the sections of the profiles that `conf` includes, then its own; each file once."""
    place = conf.absolute()
    if place in seen:
        return
    seen.add(place)
    sections = _sections(read_text(conf), conf)
    for name in re.split(r"[,;\s]+", sections.get("main", {}).get("include", "").strip()):
        if name:
            yield from _with_parents(place.parent.parent / name / "tuned.conf", files, seen)
    files.append(conf)
    yield sections


def _sections(text: str, path: Path) -> Sections:
    parser = configparser.RawConfigParser(
        delimiters=("=",), inline_comment_prefixes=("#",), strict=False, allow_no_value=True
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    try:
        parser.read_string(text)
    except configparser.Error as error:
        line = getattr(error, "lineno", None)
        place = f"line {line}" if line else ""
        raise InputError(str(path), place, "expected [sections] with lines NAME=VALUE, as tuned reads them") from None
    return {name: {key: value or "" for key, value in parser.items(name)} for name in parser.sections()}


def _variables(section: Mapping[str, str], conf: Path, topology: Topology, given: Mapping[str, str]) -> Variables:
    known = Variables(topology, str(conf))
    for name, value in section.items():
        if name == "include":
            file = _variables_file(value, conf)
            items = _sections(f"[variables]\n{read_text(file)}", file)["variables"] if file else {}
            for own, text in {**items, **given}.items():
                known.define(own, text)
        elif name not in given:
            known.define(name, value)
    for name, value in given.items():
        known.define(name, value)
    return known


def _variables_file(name: str, conf: Path) -> Path | None:
    written = Path(name)
    above = conf.absolute().parents
    folders = (*above[:2], *(folder / "etc/tuned" for folder in above))
    places = (*(folder / written.name for folder in folders), written)
    return next((place for place in places if place.is_file()), None)


def _cmdline(options: Mapping[str, str], known: Variables) -> str:
    """Return the arguments of all ``cmdline*`` options: ``+`` adds, ``-`` takes away what came before."""
    words: list[str] = []
    for name, written in options.items():
        if not name.startswith("cmdline"):
            continue
        value = known.expand(written, f"[bootloader] {name}").strip()
        if value.startswith("-"):
            words = [word for word in words if word not in value[1:].split()]
        else:
            words += value.removeprefix("\\").removeprefix("+").split()
    return " ".join(words)


def _masks(merged: Sections, known: Variables, topology: Topology, source: str) -> Masks:
    everyone = frozenset(topology.cpu_ids)

    def cpus(section: str, option: str) -> frozenset[int] | None:
        text = known.expand(merged.get(section, {}).get(option, ""), f"[{section}] {option}").strip()
        if not text:
            return None
        with at(source, f"[{section}] {option}"):
            found = frozenset(parse_cpulist(text))
        unknown = format_cpulist(found - everyone)
        if unknown:
            expected = f"expected CPUs of {format_cpulist(everyone)}, found {unknown}"
            raise InputError(source, f"[{section}] {option}", expected)
        return found

    workqueue = None
    mask = merged.get("sysfs", {}).get(WORKQUEUE_MASK)
    if mask:
        with at(source, f"[sysfs] {WORKQUEUE_MASK}"):
            workqueue = parse_cpumask(known.expand(mask, f"[sysfs] {WORKQUEUE_MASK}"))
    isolated = cpus("scheduler", "isolated_cores")
    tasks = everyone - isolated if isolated else cpus("systemd", "cpu_affinity")
    how = merged.get("scheduler", {}).get("default_irq_smp_affinity", "calc")
    irq = everyone - isolated if isolated and how == "calc" else None
    if how not in ("calc", "ignore"):
        irq = cpus("scheduler", "default_irq_smp_affinity")
    return Masks(workqueue=workqueue, irq=irq, tasks=tasks)


def _threads(options: Mapping[str, str], known: Variables, source: str) -> Iterator[ThreadRule]:
    """Yield the rules of ``group.NAME=RULE_PRIORITY:POLICY:PRIORITY:AFFINITY:REGEX``, the first to apply first."""
    groups = []
    for name, written in options.items():
        if not name.startswith("group."):
            continue
        parts = known.expand(written, f"[scheduler] {name}").split(":", 4)
        if len(parts) != 5 or not parts[0].strip().isdigit():
            expected = f"expected RULE_PRIORITY:POLICY:PRIORITY:AFFINITY:REGEX, found {shown(written)}"
            raise InputError(source, f"[scheduler] {name}", expected)
        groups.append((int(parts[0]), name, parts))
    for _, name, (_, policy, priority, _, pattern) in sorted(groups):
        if policy == "*":
            continue
        if policy not in POLICIES or not re.fullmatch(r"\d{1,2}", priority):
            expected = f"expected a policy of {', '.join(POLICIES)} and a priority, found {policy}:{priority}"
            raise InputError(source, f"[scheduler] {name}", expected)
        try:
            re.compile(pattern)
        except re.error:
            raise InputError(
                source, f"[scheduler] {name}", f"expected a regular expression, found {shown(pattern)}"
            ) from None
        yield ThreadRule(pattern, POLICIES[policy], int(priority))
