"""Cpusets of cgroup v2 and their partitions: which CPUs their tasks get, and what that leaves to everybody else.

A partition (``cpuset.cpus.partition``: ``root`` or ``isolated``) owns its CPUs; tasks of the root cgroup, and kernel
threads that may move, leave them. What the kernel would call an invalid partition is refused here with the reason it
writes into that file (``perr_strings`` of ``kernel/cgroup/cpuset.c``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rtsim.inputs.cpulist import format_cpulist
from rtsim.inputs.errors import InputError

__all__ = ["PARTITIONS", "Cpuset", "partitions_of"]

Cpus = frozenset[int]
NOBODY: Cpus = frozenset()

PARTITIONS = ("member", "root", "isolated")
HOUSEKEEPING_CHECK_SINCE = (6, 7)
"""Since then a partition must not mix with ``isolcpus`` unless it is an isolated one."""
EXCLUSIVE_FILE_SINCE = (6, 7)
"""Since then there is ``cpuset.cpus.exclusive``, which the kernel's words mention."""


@dataclass(frozen=True)
class Cpuset:
    """A cgroup with the cpuset controller."""

    path: str
    """Such as ``/machine.slice``."""
    cpus: Cpus
    """What its tasks may use (``cpuset.cpus.effective``); of a partition, less what its own partitions took."""
    partition: str = "member"
    """``member``, ``root`` or ``isolated`` (no balancing within it)."""
    owned: Cpus = NOBODY
    """Of a partition: all its CPUs, those of partitions below it included."""


@dataclass(frozen=True)
class _Group:
    """A cgroup while the tree is worked out."""

    written: Cpus | None
    partition: str
    effective: Cpus
    owned: Cpus


def partitions_of(
    written: Mapping[str, tuple[Cpus | None, str]],
    cpus: Cpus,
    *,
    isolcpus: Cpus = NOBODY,
    series: tuple[int, int] = (6, 1),
    source: str = "cpusets",
) -> tuple[Cpuset, ...]:
    """Return the cpusets, parents before their children, with what their tasks may use.

    Parameters
    ----------
    written
        Path -> (``cpuset.cpus``, None where it is empty; ``cpuset.cpus.partition``). Parents that are not named exist
        and are members. Partitions are made in the order of the paths' depth, then in the order written.
    cpus
        All CPUs.
    isolcpus
        CPUs of ``isolcpus=domain``, from boot.
    series
        Kernel series, which decides some reasons.

    Raises
    ------
    InputError
        CPUs that do not exist, a set left without CPUs, or a partition that the kernel would call invalid.
    """
    groups = {"": _Group(None, "root", cpus, cpus)}
    paths = {path: "/" + path.strip("/") for path in written}
    for path in sorted(written, key=lambda each: paths[each].count("/")):
        own, partition = written[path]
        if not path.strip("/"):
            raise InputError(source, path, "expected a cgroup below the root: the root's cpuset cannot be written")
        _add(groups, paths[path], own, partition, _Rules(cpus, isolcpus, series, source))
    return tuple(
        Cpuset(path, group.effective, group.partition, group.owned)
        for path, group in groups.items()
        if path and (group.written is not None or group.partition != "member")
    )


@dataclass(frozen=True)
class _Rules:
    cpus: Cpus
    isolcpus: Cpus
    series: tuple[int, int]
    source: str


def _add(groups: dict[str, _Group], path: str, own: Cpus | None, partition: str, rules: _Rules) -> None:
    parent_path = path.rpartition("/")[0]
    if parent_path not in groups:
        _add(groups, parent_path, None, "member", rules)
    parent = groups[parent_path]
    if partition not in PARTITIONS:
        expected = f"expected one of {', '.join(PARTITIONS)}, found {partition!r}"
        raise InputError(rules.source, f"{path}: cpuset.cpus.partition", expected)
    unknown = (own or NOBODY) - rules.cpus
    if unknown:
        expected = f"expected CPUs of {format_cpulist(rules.cpus)}, found {format_cpulist(unknown)}"
        raise InputError(rules.source, f"{path}: cpuset.cpus", f"{expected}; the kernel says: Invalid argument")
    if partition == "member":
        groups[path] = _Group(own, partition, _effective(own, parent, path, rules), NOBODY)
        return
    reason = _invalid(own, partition, groups, path, parent, rules)
    if reason:
        expected = f"expected a valid partition, the kernel says: {partition} invalid ({reason})"
        raise InputError(rules.source, f"{path}: cpuset.cpus.partition", expected)
    assert own is not None
    groups[path] = _Group(own, partition, own, own)
    _take(groups, parent_path, path, own, rules)


def _effective(own: Cpus | None, parent: _Group, path: str, rules: _Rules) -> Cpus:
    if own is None:
        return parent.effective
    effective = own & parent.effective
    if not effective:
        left = format_cpulist(parent.effective)
        expected = f"expected CPUs of {left}, which its parent has left, found {format_cpulist(own)}"
        raise InputError(rules.source, f"{path}: cpuset.cpus", f"{expected}: it would be empty, and use its parent's")
    return effective


def _invalid(
    own: Cpus | None, partition: str, groups: Mapping[str, _Group], path: str, parent: _Group, rules: _Rules
) -> str | None:
    """Return why the kernel calls a partition invalid, in its words."""
    if not own:
        both = rules.series >= EXCLUSIVE_FILE_SINCE
        return "cpuset.cpus and cpuset.cpus.exclusive are empty" if both else "cpuset.cpus is empty"
    if parent.partition == "member":
        return "Parent is not a partition root"
    siblings = [
        group
        for other, group in groups.items()
        if other and other.rpartition("/")[0] == path.rpartition("/")[0] and group.written is not None
    ]
    if any(own & (sibling.written or NOBODY) for sibling in siblings if sibling.partition != "member"):
        return "Cpu list in cpuset.cpus not exclusive"
    mixed = partition != "isolated" and own & rules.isolcpus
    if mixed and rules.series >= HOUSEKEEPING_CHECK_SINCE:
        return "partition config conflicts with housekeeping setup"
    if not own <= parent.effective:
        return "Invalid cpu list in cpuset.cpus"
    if (
        own == parent.effective and path.count("/") == 1
    ):  # nothing for the tasks of the root; others have none of their own
        return "Parent unable to distribute cpu downstream"
    return None


def _take(groups: dict[str, _Group], parent_path: str, path: str, own: Cpus, rules: _Rules) -> None:
    """Take a new partition's CPUs from its parent and from the members there."""
    parent = groups[parent_path]
    groups[parent_path] = _Group(parent.written, parent.partition, parent.effective - own, parent.owned)
    below = f"{parent_path}/"
    for other, group in list(groups.items()):
        if other.startswith(below) and not (other == path or other.startswith(f"{path}/")) and group.effective & own:
            if group.written is not None and group.written <= own:
                expected = f"expected CPUs that no partition owns, found {format_cpulist(group.written)} of {path}"
                raise InputError(rules.source, f"{other}: cpuset.cpus", f"{expected}: it would be empty")
            groups[other] = _Group(group.written, group.partition, group.effective - own, group.owned)
