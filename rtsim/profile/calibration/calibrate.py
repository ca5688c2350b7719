"""From recordings of a machine to its profile."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from rtsim.inputs.errors import InputError
from rtsim.inputs.files import write_whole
from rtsim.inputs.models import validate
from rtsim.profile.calibration.anchor import REST, find_anchor, rest_costs
from rtsim.profile.calibration.durations import Fit, Measurements
from rtsim.profile.calibration.lateness import idle_exit
from rtsim.profile.calibration.occurrences import read_occurrences
from rtsim.profile.calibration.parts import Part, recording_parts
from rtsim.profile.calibration.sources import FoundSource, find_sources
from rtsim.profile.calibration.steps import MEASURED, StepReader
from rtsim.profile.calibration.timeline import Timeline
from rtsim.profile.calibration.totals import STEPS, UNKNOWN, fit_total
from rtsim.profile.calibration.wake_ups import WakeUps
from rtsim.profile.distributions import Empirical
from rtsim.profile.load import load_profile, profile_data
from rtsim.profile.model import Profile
from rtsim.traces.events import EventChunk
from rtsim.traces.jumps import find_jumps, jump_warnings, parted, without_jumps
from rtsim.traces.measured import Unit

__all__ = ["Calibration", "calibrate"]

UNSEEN = ("hardware",)
"""Classes of noise that a trace of the kernel does not show: the base's are kept."""
BASE_STEPS = ("wake", "schedule", "timer_irq", "preempt_fair", "put_fair", "cgroup_level")
"""Costs that are in measured steps too, and are taken off there."""
ALWAYS_KEPT = "what concerns guests shows in no trace: the base's is kept"
REST_KEPT = "context_switch and syscall_exit show in latencies beside a trace only, found none: the base's are kept"
SWITCH = ("schedule", "context_switch")
"""What a thread's stay on a CPU costs beside its work."""

LONGEST_NS = 365 * 86_400 * 10**9

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Calibration:
    """What recordings tell of a machine, on top of a base profile.

    Parameters
    ----------
    recordings
        Their names.
    base
        Name or file of the base profile.
    costs
        Steps that were measured, by the profile's names.
    how
        From what each of them.
    sources
        Noise that was seen; None where nothing tells, and the base's stays.
    kept
        What the recordings do not tell, a sentence each.
    warnings
        What makes the recordings incomplete or doubtful.
    """

    recordings: tuple[str, ...]
    base: str
    costs: Mapping[str, Fit]
    how: Mapping[str, str]
    sources: tuple[FoundSource, ...] | None
    kept: tuple[str, ...]
    warnings: tuple[str, ...]
    _base_data: Mapping[str, Any] = field(repr=False)

    def profile(self) -> Profile:
        """Return the profile."""
        data = _replaced(self._data(), _distribution)
        return validate(Profile, data, f"calibrated from {', '.join(self.recordings)}", None)

    def write(self, path: str | os.PathLike[str]) -> list[Path]:
        """Write the profile and, into a folder ``NAME.d`` beside it, what no family of distributions fits.

        Returns
        -------
        The files written, the profile last.

        Raises
        ------
        InputError
            A file cannot be written.
        """
        target = Path(path)
        folder = target.with_suffix(".d")
        files: list[Path] = []

        def stored(measured: Measurements) -> str:
            if not files:
                _make_folder(folder)
            files.append(folder / f"{len(files) + 1}.txt")
            write_whole(files[-1], _value_lines(measured))
            return f"{folder.name}/{files[-1].name}"

        data = _replaced(self._data(), stored)
        text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
        write_whole(target, self._head() + text)
        return [*files, target]

    def table(self) -> pd.DataFrame:
        """Return a frame, one row a cost or source.

        Columns: what (``cost`` or the class), name, cpus, arrival (kind of the process), per_s and per_s_error,
        family (of the durations), count, mean_us and mean_us_error (standard errors).
        """
        rows: list[tuple[object, ...]] = [
            ("cost", name, "", "", None, None, *_told(fit)) for name, fit in self.costs.items()
        ]
        rows += [
            (
                each.kind, each.name, each.cpus, each.process.kind, each.process.rate_hz, each.process.error_hz,
                *_told(each.duration),
            )
            for each in self.sources or ()
        ]  # fmt: skip
        columns = (
            "what", "name", "cpus", "arrival", "per_s", "per_s_error", "family", "count", "mean_us", "mean_us_error",
        )  # fmt: skip
        return pd.DataFrame(rows, columns=list(columns))

    def _data(self) -> dict[str, Any]:
        data = dict(self._base_data)
        label = ", ".join(self.recordings)
        data["description"] = f"Calibrated from {label}; the rest is {self.base}"
        found_costs = {name: self._cost(name, fit, label) for name, fit in self.costs.items()}
        exits = {name: found_costs.pop(idle_exit(name)) for name in _states(self.costs)}
        exits = {**data["costs"]["idle_exit"], **exits}
        data["costs"] = {**data["costs"], **found_costs, "idle_exit": exits}
        if self.sources is not None:
            found = [each.entry(label) for each in self.sources]
            classes = {each.kind for each in self.sources}
            unseen = [
                entry for entry in data.get("noise", ()) if entry["class"] in UNSEEN and entry["class"] not in classes
            ]
            data["noise"] = [*unseen, *found]
        return data

    def _cost(self, name: str, fit: Fit, label: str) -> dict[str, Any]:
        return {**fit.entry, "source": f"{label}: {self.how[name]}; {fit}"}

    def _head(self) -> str:
        lines = [f"Written by rtsim calibrate from {', '.join(self.recordings)}; base: {self.base}."]
        lines += [f"{sentence}." for sentence in (*self.kept, *self.warnings)]
        return "".join(f"# {' '.join(line.split())}\n" for line in lines)


def calibrate(
    *recordings: str | os.PathLike[str],
    base: str | os.PathLike[str] = "tuned",
    workload: Iterable[str] = (),
    stop_ns: int | None = None,
    unit: Unit | None = None,
    progress: Progress | None = None,
) -> Calibration:
    """Return what recordings of one machine tell of its noise and costs.

    Parameters
    ----------
    recordings
        Traces, folders with them, or histograms (`rtsim.profile.calibration.parts.recording_parts`). Histograms are
        used only if there is no trace, and then the first of them.
    base
        The profile for what the recordings do not tell: a built-in name or a file.
    workload
        Names or patterns of threads that are measured or wanted, and so no noise; tools and vCPUs are known.
    stop_ns
        Of a machine that its host or emulator stops now and then: how long (ns) no code of its own takes from one event
        to the next. Steps of wake-ups with such a gap are left out.
    unit
        Of cyclictest's texts, which do not say.
    progress
        Called with each file before it is read.

    Raises
    ------
    InputError
        A recording or the base cannot be used.
    """
    if not recordings:
        raise InputError("calibrate", "", "expected a recording")
    parts = [part for recording in recordings for part in recording_parts(recording, unit)]
    names = tuple(Path(recording).name for recording in recordings)
    profile, data = load_profile(base), profile_data(base)
    traces = [part for part in parts if part.measured is None]
    histograms = [(part.path, part.measured) for part in parts if part.measured is not None]
    if traces:
        found = _from_traces(traces, names, os.fspath(base), profile, data, tuple(workload), stop_ns, progress)
        return replace(found, kept=(*found.kept, *_unused(path for path, _ in histograms)))
    _, measured = histograms[0]
    kept = (*UNKNOWN, *_unused(path for path, _ in histograms[1:]))
    costs = fit_total(measured, profile)
    how = dict.fromkeys(costs, "share of the median latency")
    return Calibration(names, os.fspath(base), costs, how, None, kept, measured.warnings, data)


def _unused(paths: Iterable[Path]) -> list[str]:
    return [f"the histogram {path} was not used" for path in paths]


def _from_traces(
    traces: Sequence[Part],
    names: tuple[str, ...],
    base: str,
    profile: Profile,
    data: Mapping[str, Any],
    workload: tuple[str, ...],
    stop_ns: int | None,
    progress: Progress | None,
) -> Calibration:
    steps = StepReader(stop_ns)
    timelines: list[Timeline] = []
    recorded: list[tuple[Path | None, WakeUps]] = []
    warnings: list[str] = []
    for part in traces:
        if progress is not None:
            progress(str(part.path))
        trace = part.trace
        jumps = find_jumps(trace)
        steps.begin(part.levels, part.idle, part.releases())
        timelines.append(read_occurrences(_both(parted(trace, jumps), steps), (*part.workload, *workload)))
        recorded.append((part.folder, steps.wake_ups))
        if timelines[-1].length_ns > LONGEST_NS:
            raise InputError(str(part.path), "", "expected a trace of at most a year; are its times damaged?")
        warnings += [f"{part.path.name}: {warning}" for warning in (*jump_warnings(jumps), *trace.notes.warnings())]
    resolution = max(timeline.resolution_ns for timeline in timelines)
    costs, how, doubts = _costs(steps, recorded, resolution, base, profile)
    piece_ns = sum(costs[name].mean_ns if name in costs else _mean_ns(profile, name) for name in SWITCH)
    sources = tuple(find_sources(timelines, piece_ns))
    missing = [name for name in MEASURED if name not in {cost.partition(".")[0] for cost in costs}]
    kept = [ALWAYS_KEPT]
    if not set(REST) & set(costs):
        kept.append(REST_KEPT)
    if missing:
        kept.append(f"not met often enough in the events, and kept: {', '.join(missing)}")
    if not any(each.kind in UNSEEN for each in sources):
        kept.append("stalls of the hardware show only in traces of osnoise: the base's are kept")
    return Calibration(names, base, costs, how, sources, tuple(kept), tuple(dict.fromkeys(warnings + doubts)), data)


def _costs(
    steps: StepReader,
    recorded: Sequence[tuple[Path | None, WakeUps]],
    resolution_ns: int,
    base: str,
    profile: Profile,
) -> tuple[dict[str, Fit], dict[str, str], list[str]]:
    """Return the steps that were measured, from what each of them, and what is doubtful about them."""
    base_ns = {name: _mean_ns(profile, name) for name in (*BASE_STEPS, *STEPS)}
    idle_states = dict(profile.costs.idle_states())
    base_ns["idle_exit"] = next(iter(idle_states.values())).distribution().mean_ns
    lateness = steps.late.fits(idle_states, base_ns["irq_entry"], steps.residencies_ns)
    costs = steps.fits(resolution_ns, base_ns) | lateness
    how = {name: MEASURED[name.partition(".")[0]] for name in costs}
    means_ns = base_ns | {name: fit.mean_ns for name, fit in costs.items()}
    anchor, doubts = find_anchor(recorded, steps.to_user(resolution_ns), means_ns)
    if anchor is None:
        return costs, how, doubts
    if anchor.share != 1:
        shortened = steps.fits(resolution_ns, base_ns, anchor.share)
        costs |= shortened
        how |= {name: f"{how[name]}; times {anchor.share:.3g}, without tracing" for name in shortened}
    doubts += anchor.warnings(sum(base_ns[step] for step in REST), base)
    return costs | rest_costs(anchor, base_ns), how | dict.fromkeys(REST, anchor.how), doubts


def _both(pieces: Iterable[tuple[EventChunk, int]], steps: StepReader) -> Iterable[EventChunk]:
    """Yield the events without jumps of the clock, and let the steps be read on the way, which need its own times."""
    for chunk, ahead_ns in pieces:
        steps.read(chunk)
        yield without_jumps(chunk, ahead_ns)


def _states(costs: Iterable[str]) -> list[str]:
    """Return the idle states whose exits are among some costs."""
    return [name.removeprefix(idle_exit("")) for name in costs if name.startswith(idle_exit(""))]


def _mean_ns(profile: Profile, cost: str) -> float:
    entry = getattr(profile.costs, cost)
    if entry is None:  # put_fair alone may be left out
        entry = profile.costs.preempt_fair
    mean: float = entry.distribution().mean_ns
    return mean


def _told(fit: Fit) -> tuple[object, ...]:
    return fit.family, fit.count, fit.mean_ns / 1000, fit.error_ns / 1000


def _replaced(data: Any, by: Callable[[Measurements], Any]) -> Any:
    """Return plain data with `Measurements` replaced."""
    if isinstance(data, Measurements):
        return by(data)
    if isinstance(data, Mapping):
        return {key: _replaced(value, by) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_replaced(value, by) for value in data]
    return data


def _distribution(measured: Measurements) -> Empirical:
    values, counts = np.unique(measured.values, return_counts=True)
    ends = tuple(values.astype(float).tolist())
    return Empirical(ends, ends, tuple(counts.astype(float).tolist()))


def _value_lines(measured: Measurements) -> str:
    values, counts = np.unique(measured.values, return_counts=True)
    rows = "".join(f"{value} {count}\n" for value, count in zip(values.tolist(), counts.tolist(), strict=True))
    return f"# unit: ns\n# value and count\n{rows}"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(str(folder), "", f"expected a folder to write to: {error.strerror}") from None
