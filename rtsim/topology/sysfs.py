"""Reads the machine rtsim runs on (or a copy of its ``/sys``)."""

from __future__ import annotations

import os
import re
from pathlib import Path

from rtsim.inputs.cpulist import parse_cpulist, parse_cpulist_ordered
from rtsim.inputs.errors import InputError, at, shown
from rtsim.topology.check import checked
from rtsim.topology.topology import Cpu, NumaNode, Topology

__all__ = ["read_sysfs"]


def read_sysfs(root: str | os.PathLike[str] = "/sys") -> Topology:
    """Return the topology of the on-line CPUs under `root`, a mounted or copied sysfs.

    Without NUMA nodes (kernels and containers that hide them) all CPUs are in node 0, with no memory known.

    Raises
    ------
    InputError
        `root` has no ``devices/system/cpu``, or its files hold what the kernel does not write.
    """
    base = Path(root) / "devices/system"
    online = _cpulist(base / "cpu/online") or _numbered(base / "cpu", "cpu")
    if not online:
        raise InputError(os.fspath(root), "devices/system/cpu", "expected a sysfs with at least one CPU")
    nodes = [node for node in _numbered(base / "node", "node") if _cpulist(base / f"node/node{node}/cpulist")]
    members = {node: _cpulist(base / f"node/node{node}/cpulist") for node in nodes} or {0: online}
    numa_nodes = tuple(
        NumaNode(
            node,
            _memory_kib(base / f"node/node{node}"),
            _pages(base / f"node/node{node}"),
            tuple(_cpu(base, cpu, node) for cpu in cpus if cpu in online),
            _distances(base / f"node/node{node}", _numbered(base / "node", "node")),
        )
        for node, cpus in members.items()
    )
    caches = {_llc(base, cpu) for cpu in online}
    return checked(Topology(numa_nodes, tuple(sorted(cache for cache in caches if cache))), os.fspath(root))


def _cpu(base: Path, cpu: int, node: int) -> Cpu:
    folder = base / f"cpu/cpu{cpu}/topology"
    path = folder / "thread_siblings_list"
    with at(str(path)):
        siblings = parse_cpulist_ordered(_text(path)) or (cpu,)
    return Cpu(
        id=cpu,
        numa_node=node,
        socket=_integer(folder / "physical_package_id", 0),
        die=_integer(folder / "die_id", 0),
        core=_integer(folder / "core_id", cpu),
        siblings=siblings,
    )


def _llc(base: Path, cpu: int) -> tuple[int, ...]:
    """Return the CPUs that share the highest-level cache of `cpu`; empty where sysfs has no caches."""
    folder = base / f"cpu/cpu{cpu}/cache"
    indexes = [folder / f"index{number}" for number in _numbered(folder, "index")]
    if not indexes:
        return ()
    return _cpulist(max(indexes, key=lambda index: _integer(index / "level", 0)) / "shared_cpu_list")


def _memory_kib(folder: Path) -> int:
    match = re.search(r"MemTotal:\s+(\d{1,18}) kB", _text(folder / "meminfo"))
    return int(match[1]) if match else 0


def _pages(folder: Path) -> dict[int, int]:
    """Return pages by size in KiB; as libvirt counts them, small pages are what huge pages leave."""
    huge = {}
    for size in _numbered(folder / "hugepages", "hugepages-", "kB"):
        huge[size] = _integer(folder / f"hugepages/hugepages-{size}kB/nr_hugepages", 0)
    small = _memory_kib(folder) - sum(size * count for size, count in huge.items())
    return {4: max(0, small) // 4, **huge}


def _distances(folder: Path, nodes: tuple[int, ...]) -> dict[int, int]:
    words = _text(folder / "distance").split()
    return {node: int(word) for node, word in zip(nodes, words, strict=False) if word.isdigit()}


def _numbered(folder: Path, prefix: str, suffix: str = "") -> tuple[int, ...]:
    """Return the numbers N for which `folder` has an entry prefixNsuffix, sorted."""
    pattern = re.compile(re.escape(prefix) + r"(\d{1,9})" + re.escape(suffix))
    try:
        names = os.listdir(folder)
    except OSError:
        return ()
    return tuple(sorted(int(match[1]) for name in names if (match := pattern.fullmatch(name))))


def _cpulist(path: Path) -> tuple[int, ...]:
    with at(str(path)):
        return parse_cpulist(_text(path))


def _integer(path: Path, absent: int) -> int:
    text = _text(path)
    if text in ("", "-1"):  # the kernel writes -1 for what the machine does not tell
        return absent
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InputError(str(path), "", f"expected a number, found {shown(text)}")
    return int(text)


def _text(path: Path) -> str:
    """Return the file's text, stripped; empty where there is none (many of sysfs' files are optional)."""
    try:
        return path.read_bytes()[:65536].decode("ascii", "replace").strip()
    except OSError:
        return ""
