"""What a scenario changes about a guest after Nova has placed it: pins, policy and memory, one by one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from rtsim.nova import Placement
from rtsim.scenario.schema import OverridesModel

__all__ = ["overridden"]

PAGES_KIB = {"2 MiB": 2048, "1 GiB": 1048576}


def overridden(placement: Placement, changes: OverridesModel, host_cpus: Iterable[int]) -> Placement:
    """Return `placement` with `changes`.

    A realtime vCPU that gets SCHED_OTHER (``vcpusched: other``) stays the realtime workload's: its policy alone is
    another, and `Guest.schedule` tells it.
    """
    everywhere = tuple(sorted(host_cpus))
    fields: dict[str, Any] = {}
    pins = placement.vcpu_pins
    if changes.vcpupin is not None:
        cpus = everywhere if changes.vcpupin == "all" else tuple(sorted(changes.vcpupin))
        pins = dict.fromkeys(range(placement.vcpus), cpus)
        unbound = tuple(replace(cell, host_id=None) for cell in placement.cells)
        fields |= {"vcpu_pins": pins, "pinned": frozenset(), "cells": unbound, "memory_nodes": ()}
    if changes.emulatorpin == "vcpus":
        fields["emulator_cpus"] = tuple(sorted({cpu for cpus in pins.values() for cpu in cpus})) or everywhere
    elif changes.emulatorpin is not None:
        fields["emulator_cpus"] = everywhere if changes.emulatorpin == "all" else tuple(sorted(changes.emulatorpin))
    if changes.vcpusched == "fifo" and not placement.rt_vcpus:
        fields |= {"rt_vcpus": tuple(range(1, placement.vcpus)) or (0,), "rt_priority": 1}
    if changes.hugepages is not None:
        size = PAGES_KIB.get(changes.hugepages)
        cells = range(max(len(placement.cells), 1))
        fields["huge_pages"] = () if size is None else tuple((cell, size) for cell in cells)
    for name in ("locked", "nosharepages", "pvspinlock", "hint_dedicated"):
        if getattr(changes, name) is not None:
            fields[name] = getattr(changes, name)
    return replace(placement, **fields)
