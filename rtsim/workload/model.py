"""What runs on a host or in a guest: rt-app's words, and shorthands for the usual measuring programs."""

from __future__ import annotations

import os

from rtsim.inputs.json import load_json_document
from rtsim.inputs.models import validate
from rtsim.workload.cyclictest import CyclictestModel
from rtsim.workload.observers import OslatModel, TimerlatModel
from rtsim.workload.rtapp import RtAppModel

__all__ = ["WorkloadModel", "load_workload"]


class WorkloadModel(RtAppModel):
    """A workload. In its place there may be the name of an rt-app JSON file."""

    cyclictest: CyclictestModel | None = None
    """Sleeps to absolute times and takes its own lateness."""
    oslat: OslatModel | None = None
    """Reads the clock all the time; its samples are the gaps."""
    timerlat: TimerlatModel | None = None
    """Kernel threads that sleep to absolute times, as rtla's."""

    def observers(self) -> dict[str, CyclictestModel | OslatModel | TimerlatModel]:
        """Return the shorthands in use, by name."""
        found = {"cyclictest": self.cyclictest, "oslat": self.oslat, "timerlat": self.timerlat}
        return {name: test for name, test in found.items() if test is not None}


def load_workload(path: str | os.PathLike[str]) -> object:
    """Return the checked data of an rt-app JSON file.

    Raises
    ------
    InputError
        The file, a line of it, or a value is wrong, or asks for what is not modelled.
    """
    document = load_json_document(path)
    validate(WorkloadModel, document.data, os.fspath(path), document)
    return document.data
