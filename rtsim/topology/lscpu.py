"""Reads ``lscpu -e -J`` (one entry a CPU: exact) and ``lscpu -J`` (a summary: the numbering is inferred)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import Any

from rtsim.inputs.cpulist import MAX_CPUS, parse_cpulist
from rtsim.inputs.errors import InputError, at, shown
from rtsim.inputs.json import load_json
from rtsim.topology.check import checked
from rtsim.topology.topology import Cpu, NumaNode, Topology

__all__ = ["read_lscpu"]


def read_lscpu(path: str | os.PathLike[str], *, memory_mib: int = 0) -> Topology:
    """Return the topology of an ``lscpu -e -J`` or ``lscpu -J`` file.

    A summary does not say which CPUs are siblings: they are taken to be c and c + N where the CPU lists of the NUMA
    nodes allow it, as Linux numbers them on servers, and neighbours otherwise. Prefer ``lscpu -e -J``.

    Parameters
    ----------
    memory_mib
        Memory of the machine, which lscpu does not tell; split evenly over NUMA nodes.

    Raises
    ------
    InputError
        The file is neither, or contradicts itself.
    """
    source = os.fspath(path)
    data = load_json(path)
    if isinstance(data, dict) and isinstance(data.get("cpus"), list):
        return checked(_from_table(data["cpus"], source, memory_mib), source)
    if isinstance(data, dict) and isinstance(data.get("lscpu"), list):
        return checked(_from_summary(dict(_fields(data["lscpu"], source)), source, memory_mib), source)
    raise InputError(source, "", "expected what `lscpu -e -J` or `lscpu -J` prints: an object with cpus or lscpu")


def _from_table(rows: list[Any], source: str, memory_mib: int) -> Topology:
    keys: list[tuple[int, int, int, int]] = []
    caches: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        place = f"cpus[{index}]"
        if not isinstance(row, dict):
            raise InputError(source, place, f"expected an object, found {shown(row)}")
        if row.get("online") in (False, "no"):
            continue
        cpu = _number(row, "cpu", source, place)
        node = _number(row, "node", source, place, absent=0)
        socket = _number(row, "socket", source, place, absent=0)
        keys.append((cpu, node, socket, _number(row, "core", source, place, absent=cpu)))
        cache = _last_level(row)
        if cache is not None:
            caches.setdefault(cache, []).append(cpu)
    cores: dict[tuple[int, int], list[int]] = {}
    for cpu, _, socket, core in keys:
        cores.setdefault((socket, core), []).append(cpu)
    found = [Cpu(cpu, node, s, 0, core, tuple(sorted(cores[s, core]))) for cpu, node, s, core in keys]
    whole = sum(map(len, caches.values())) == len(keys)
    return Topology(_nodes(found, memory_mib), tuple(tuple(sorted(c)) for c in caches.values()) if whole else ())


def _last_level(row: dict[str, Any]) -> str | None:
    """Return the number of the row's level-3 cache: the last part of ``"l1d:l1i:l2:l3": "0:0:0:0"``."""
    for name, value in row.items():
        if name.lower().endswith("l3") and isinstance(value, str):
            last = value.split(":")[-1]
            return last if last.isdigit() else None
    return None


def _fields(entries: list[Any], source: str) -> Iterator[tuple[str, str]]:
    """Yield (field, data) of a summary; newer lscpu nests them under ``children``."""
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("field"), str):
            raise InputError(source, "lscpu", f"expected objects with field and data, found {shown(entry)}")
        if isinstance(entry.get("data"), str):
            yield entry["field"].rstrip(":"), entry["data"]
        if isinstance(entry.get("children"), list):
            yield from _fields(entry["children"], source)


def _from_summary(fields: dict[str, str], source: str, memory_mib: int) -> Topology:
    def cpulist(name: str) -> tuple[int, ...]:
        with at(source, name):
            return parse_cpulist(fields.get(name, ""))

    def count(name: str) -> int:
        text = fields.get(name, "")
        if not (text.isdigit() and 1 <= int(text[:9]) <= MAX_CPUS):
            raise InputError(source, name, f"expected a count of 1 to {MAX_CPUS}, found {shown(text)}")
        return int(text)

    online = cpulist("On-line CPU(s) list") or tuple(range(count("CPU(s)")))
    threads = count("Thread(s) per core")
    sockets = count("Socket(s)")
    names = [name for name in fields if re.fullmatch(r"NUMA node\d{1,4} CPU\(s\)", name)]
    nodes = {int(re.findall(r"\d+", name)[0]): cpulist(name) for name in names} or {0: online}
    nodes = {node: cpus for node, cpus in nodes.items() if cpus}
    if sorted(cpu for cpus in nodes.values() for cpu in cpus) != list(online):
        raise InputError(source, "NUMA node CPU(s)", "expected the NUMA nodes to hold the on-line CPUs, each once")
    if any(len(cpus) % threads for cpus in nodes.values()):
        raise InputError(source, "Thread(s) per core", f"expected a divisor of each NUMA node's CPUs, found {threads}")
    cores = [core for cpus in nodes.values() for core in _cores(cpus, threads, len(online))]
    socket_of, number_of = _places(len(cores), sockets)
    node_of = {cpu: node for node, cpus in nodes.items() for cpu in cpus}
    found = [
        Cpu(cpu, node_of[cpu], socket_of(index), 0, number_of(index), core)
        for index, core in enumerate(cores)
        for cpu in core
    ]
    return Topology(_nodes(found, memory_mib))


def _cores(cpus: tuple[int, ...], threads: int, n_cpus: int) -> list[tuple[int, ...]]:
    """Group a node's CPUs into cores: siblings are c and c + (CPUs / threads) if the node has them, else neighbours."""
    n = len(cpus) // threads
    step = n_cpus // threads
    spread = [tuple(first + step * thread for thread in range(threads)) for first in cpus[:n]]
    if sorted(cpu for core in spread for cpu in core) == list(cpus):
        return spread
    return [cpus[start : start + threads] for start in range(0, len(cpus), threads)]


def _places(n_cores: int, sockets: int) -> tuple[Callable[[int], int], Callable[[int], int]]:
    per_socket = max(1, -(-n_cores // sockets))
    return lambda index: index // per_socket, lambda index: index % per_socket


def _nodes(cpus: list[Cpu], memory_mib: int) -> tuple[NumaNode, ...]:
    ids = sorted({cpu.numa_node for cpu in cpus})
    share = memory_mib * 1024 // len(ids) if ids else 0
    return tuple(
        NumaNode(
            node,
            share,
            {4: share // 4},
            tuple(sorted((cpu for cpu in cpus if cpu.numa_node == node), key=lambda cpu: cpu.id)),
            {other: 10 if other == node else 20 for other in ids},
        )
        for node in ids
    )


def _number(row: dict[str, Any], name: str, source: str, place: str, absent: int | None = None) -> int:
    value = row.get(name)
    if value in (None, "-", "") and absent is not None:
        return absent
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InputError(source, f"{place}.{name}", f"expected a number, found {shown(value)}")
    return int(text)
