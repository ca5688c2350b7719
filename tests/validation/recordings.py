"""The recordings in data/recorded, read once."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from rtsim.traces.recording import Recording, read_recording

RECORDED = Path("data/recorded")
ONE_CPU = ("kernel-6.1-cfs", "kernel-6.12-eevdf", "kernel-6.1-rt")
SEVERAL_CPUS = ("kernel-6.1-cfs-4cpu", "kernel-6.12-eevdf-4cpu", "kernel-6.1-isolated")
NATIVE = "native-6.18-eevdf"
ALL = (*ONE_CPU, *SEVERAL_CPUS, NATIVE)


@cache
def recording(name: str) -> Recording:
    return read_recording(RECORDED / name)
