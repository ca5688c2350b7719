"""Reads a host alone: from a scenario file, or from a file that holds only a scenario's host part."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from rtsim.inputs.errors import InputError
from rtsim.inputs.models import StrictModel, validate
from rtsim.inputs.yaml import load_yaml
from rtsim.scenario.cpu_sources import HostTask
from rtsim.scenario.host import Host
from rtsim.scenario.host_tasks import host_tasks
from rtsim.scenario.scenario import Scenario
from rtsim.scenario.schema import HostModel

__all__ = ["read_host"]


class _HostFile(StrictModel):
    """A scenario file that stops after its host part."""

    host: HostModel


def read_host(path: str | os.PathLike[str]) -> tuple[Host, tuple[HostTask, ...]]:
    """Return the host of a file, and the threads that the scenario in it puts there.

    The file is a scenario, or ``host:`` with what a scenario has there, or that alone.

    Raises
    ------
    InputError
        The file is neither, or wrong.
    NovaRefusal
        Nova refuses a guest of the scenario.
    """
    source, folder = os.fspath(path), Path(path).parent
    document = load_yaml(path)
    if not isinstance(document.data, Mapping):
        raise InputError(source, "", "expected a scenario or its host part: a mapping with topology, kernel, ...")
    if "host" not in document.data:
        return Host.of(validate(HostModel, document.data, source, document), folder, source), ()
    if set(document.data) == {"host"}:
        return Host.of(validate(_HostFile, document.data, source, document).host, folder, source), ()
    scenario = Scenario.load(path)
    host = Host.of(scenario.model.host, folder, source)
    return host, host_tasks(scenario, host)
