"""What a recording holds: traces, histograms, and who in them is the workload."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rtsim.inputs.errors import InputError
from rtsim.inputs.files import read_text
from rtsim.profile.calibration.beside import Releases, first_measured, releases
from rtsim.profile.calibration.idle_states import WITHOUT_DRIVER, IdleState, idle_states
from rtsim.profile.calibration.levels import levels_of_host, levels_of_tasks
from rtsim.traces.measured import Measured, Unit
from rtsim.traces.reader import read_measured
from rtsim.traces.rtwl import RtwlTask, parse_command
from rtsim.traces.trace import Trace
from rtsim.traces.validation import LATENCY_FILES

__all__ = ["Part", "recording_parts"]

TRACES = ("trace.txt", "trace.txt.zst", "trace.dat", "perf.data")


@dataclass(frozen=True)
class Part:
    """A trace, or the latencies that a tool measured.

    `tasks` were measured, `levels` tells how many levels of cgroups threads are in, `idle` what the idle states are;
    `folder` may hold latencies beside the trace.
    """

    path: Path
    measured: Measured | None = None
    folder: Path | None = None
    tasks: tuple[RtwlTask, ...] = ()
    levels: Mapping[str, int] = field(default_factory=dict, hash=False)
    idle: Mapping[int, IdleState] = field(default_factory=lambda: WITHOUT_DRIVER, hash=False)

    @property
    def workload(self) -> tuple[str, ...]:
        """Names of the threads that were measured."""
        return tuple(task.name for task in self.tasks)

    def releases(self) -> Mapping[str, Releases]:
        """Return the releases of its realtime tasks, where they wrote them down."""
        return {} if self.folder is None else releases(self.folder, self.tasks)

    @property
    def trace(self) -> Trace:
        """The trace, to be read anew."""
        return Trace(self.path)


def recording_parts(path: str | os.PathLike[str], unit: Unit | None = None) -> list[Part]:
    """Return the traces of a recording; where it has none, its first histogram.

    Parameters
    ----------
    path
        A trace or a tool's output; a folder as ``rtsim record`` writes it; a case of ``data/recorded``, or all of them.
    unit
        Of a cyclictest text, which does not say.

    Raises
    ------
    InputError
        There is neither a trace nor a histogram.
    """
    where = Path(path)
    if not where.is_dir():
        return [_file(where, unit)]
    traces = list(_traces(where))
    if traces:
        return traces
    measured = first_measured(where, unit)
    if measured is not None:
        return [Part(Path(measured.source), measured)]
    raise InputError(str(where), "", f"expected one of {', '.join((*TRACES, *LATENCY_FILES))} in this folder")


def _file(path: Path, unit: Unit | None) -> Part:
    """Return a file as the trace that it is, or else as a tool's output."""
    try:
        next(iter(Trace(path)), None)
        return Part(path)
    except InputError as no_trace:
        try:
            return Part(path, read_measured(path, unit=unit))
        except InputError:
            raise no_trace from None


def _traces(folder: Path) -> Iterator[Part]:
    for place in (folder, *sorted(each for each in folder.iterdir() if each.is_dir())):
        for name in TRACES:
            if (place / name).is_file():
                tasks = _tasks(place / "cmd")
                levels = levels_of_host(place / "host") | levels_of_tasks(tasks)
                yield Part(place / name, None, place, tasks, levels, idle_states(place / "host"))
                break


def _tasks(command: Path) -> tuple[RtwlTask, ...]:
    """Return the tasks of a recorded case."""
    return parse_command(read_text(command), str(command))[0] if command.is_file() else ()
