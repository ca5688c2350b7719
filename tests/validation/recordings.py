"""The recordings in data/recorded, read once."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from rtsim.traces.recording import Recording, read_recording
from rtsim.validation.targets import target_of

RECORDED = Path("data/recorded")
ONE_CPU = ("kernel-6.1-cfs", "kernel-6.12-eevdf", "kernel-6.1-rt")
"""The first three, whose cases are the same."""
NATIVE = "native-6.18-eevdf"


@cache
def recording(name: str) -> Recording:
    return read_recording(RECORDED / name)


ALL = (*sorted(path.parent.name for path in RECORDED.glob("kernel-*/summary.json")), NATIVE)
HELD = tuple(name for name in ALL if target_of(recording(name)) is not None)
"""Those whose figures are held to a share."""
