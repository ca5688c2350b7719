"""The noise of a recording as it was: when each source struck, and for how long."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt

from rtsim.inputs.errors import InputError
from rtsim.inputs.files import read_text
from rtsim.kernel.kthreads import thread_named
from rtsim.profile.calibration.occurrences import read_occurrences
from rtsim.profile.calibration.parts import Part, recording_parts
from rtsim.profile.calibration.timeline import Occurrences, Source, Timeline
from rtsim.profile.model import Vector
from rtsim.traces.jumps import find_jumps, jump_warnings, parted, without_jumps

__all__ = ["RecordedNoise", "RecordedSource", "read_recorded"]

COMMAND_LINE = Path("host/proc/cmdline")
"""Where ``rtsim record`` keeps the kernel's command line."""
VECTORS = get_args(Vector)


@dataclass(frozen=True, eq=False)
class RecordedSource:
    """What one source did on one CPU, or one thread wherever it ran.

    Parameters
    ----------
    kind, name, policy, priority
        As in a profile.
    cpus
        CPUs it was seen on.
    bound
        Whether it is a thread of one CPU, by its name.
    arrivals
        Shape (arrivals, 2), int64, ascending: time since the recording's first event, and duration, both in ns.
    pieces
        Shape (arrivals,): stays of a thread on a CPU that each took.
    """

    kind: str
    name: str
    policy: str | None
    priority: int | None
    cpus: tuple[int, ...]
    bound: bool
    arrivals: npt.NDArray[np.int64]
    pieces: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RecordedNoise:
    """The noise of one recording.

    Parameters
    ----------
    source
        The file, as errors name it.
    sources
        Ordered by class, name and CPU.
    length_ns
        From the first event to the last, without what the clock jumped in between.
    command_line
        Of the kernel that was recorded; None where the recording does not hold it.
    warnings
        What makes the recording incomplete or doubtful.
    """

    source: str
    sources: tuple[RecordedSource, ...]
    length_ns: int
    command_line: str | None
    warnings: tuple[str, ...]


def read_recorded(path: str | os.PathLike[str], workload: Sequence[str] = ()) -> RecordedNoise:
    """Return the noise that a recording holds; a file that has not changed is read once.

    Parameters
    ----------
    path
        A trace, or a folder with one (`rtsim.profile.calibration.parts.recording_parts`).
    workload
        Names or patterns of threads that are no noise, beside tools that measure and vCPUs.

    Raises
    ------
    InputError
        There is not one trace, it cannot be read, or it shows no noise.
    """
    parts = [part for part in recording_parts(path) if part.measured is None]
    if len(parts) != 1:
        found = f"found {len(parts)}" if parts else "found a histogram, which does not tell when"
        raise InputError(os.fspath(path), "", f"expected one trace of the scheduler and of interrupts, {found}")
    stat = parts[0].path.stat()
    return _read(parts[0], tuple(workload), _command_line(Path(path)), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4)
def _read(part: Part, workload: tuple[str, ...], command_line: str | None, *_version: int) -> RecordedNoise:
    """Read a trace; `_version` makes the same path with other contents another one."""
    trace, name = part.trace, str(part.path)
    jumps = find_jumps(trace)
    steady = (without_jumps(*piece) for piece in parted(trace, jumps))
    timeline = read_occurrences(steady, (*part.workload, *workload), whole=True)
    found = [_recorded(source, seen, timeline) for source, seen in timeline.sources.items()]
    sources = sorted((each for each in found if _known(each)), key=lambda each: (each.kind, each.name, each.cpus))
    if not sources:
        raise InputError(name, "", "expected interrupts, softirqs or threads beside the workload, found none")
    warnings = [f"{name}: {warning}" for warning in (*jump_warnings(jumps), *trace.notes.warnings())]
    skipped = sorted({each.name for each in found if not _known(each)})
    if skipped:
        warnings.append(f"{name}: softirqs without a known vector are left out: {', '.join(skipped)}")
    return RecordedNoise(name, tuple(sources), timeline.length_ns, command_line, tuple(warnings))


def _recorded(source: Source, seen: Occurrences, timeline: Timeline) -> RecordedSource:
    start = min(timeline.first_ns.values())
    order = np.argsort(np.array(seen.begin_ns, np.int64), kind="stable")
    begin = np.array(seen.begin_ns, np.int64)[order] - start
    arrivals = np.stack([begin, np.array(seen.duration_ns, np.int64)[order]], axis=1)
    cpus = tuple(sorted(set(seen.cpus)))
    thread = thread_named(source.name)
    bound = cpus == (source.cpu,) and (thread is None or thread.place == "cpu")
    return RecordedSource(
        source.kind, source.name, source.policy, source.priority, cpus, bound,
        np.maximum(arrivals, 0), np.array(seen.pieces, np.int64)[order],
    )  # fmt: skip


def _known(found: RecordedSource) -> bool:
    return found.kind != "softirq" or found.name in VECTORS


def _command_line(path: Path) -> str | None:
    file = path / COMMAND_LINE
    return read_text(file).strip() if file.is_file() else None
