"""One half of a recording calibrated, the other half predicted.

Traced cases are taken in turn by name: the first, third, ... are calibrated from, the others predicted, whatever they
are. Cases that cyclictest measured on the same machine are in neither half: they ran without the tracer, whose cost no
trace tells. A machine that was measured natively has no traces: it is calibrated from the histogram of an idle CPU in
its first repetition, and every other case that cyclictest measured is predicted.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

from rtsim.profile.calibration import calibrate
from rtsim.traces.recording import Case, Recording
from rtsim.validation.figures import ONE_CPU, Figure, rules_of
from rtsim.validation.placed import TURN_NS
from rtsim.validation.run import SEEDS, validate_cases
from rtsim.validation.scenarios import LAB_PROFILE, NATIVE_PROFILE

__all__ = ["halves", "misranked", "predicted_half", "quantity"]

IDLE_CASE = "cyc-fifo80-hog0"
SHARES = {"p50": 0.10, "p99": 0.20}
"""How far from the measured value a prediction may be, as a share of it."""
NATIVE_NS = 15_000
"""Of a machine under its host's noise; the spread of its repetitions is in `Figure.inside`."""


def halves(recording: Recording) -> tuple[list[Case], list[Case]]:
    """Return the cases that are calibrated from and those that are predicted."""
    cases = [case for _, case in sorted(recording.cases.items())]
    if recording.native:
        return [recording.cases[IDLE_CASE]], [case for case in cases if case.cyclictest and case.name != IDLE_CASE]
    traced = [case for case in cases if case.cyclictest is None]
    return traced[::2], traced[1::2]


def predicted_half(recording: Recording, folder: str | os.PathLike[str], *, seeds: int = SEEDS) -> list[Figure]:
    """Calibrate one half of a recording; return the latencies of the other, measured and predicted.

    Parameters
    ----------
    folder
        Where the calibrated profile is written.

    Raises
    ------
    InputError
        A trace cannot be read, or the profile cannot be written.
    """
    known, asked = halves(recording)
    base = NATIVE_PROFILE if recording.native else LAB_PROFILE
    stop_ns = TURN_NS if rules_of(recording) is not ONE_CPU else None
    calibration = calibrate(*(case.repetitions[0].folder for case in known), base=base, stop_ns=stop_ns)
    *_, profile = calibration.write(Path(folder).absolute() / f"{recording.name}.yaml")
    found = validate_cases(recording, asked, seeds=seeds, profile=str(profile))
    least_ns = NATIVE_NS if recording.native else 0
    shares = {f"{quantity(recording)} {quantile}": share for quantile, share in SHARES.items()}
    return [
        replace(figure, tolerance=max(shares[figure.name] * figure.measured[1], least_ns))
        for figure in found
        if figure.name in shares
    ]


def quantity(recording: Recording) -> str:
    """Return what is predicted: latencies, or, where an emulator falsified those, how long tasks waited to run."""
    return "latency" if recording.native or rules_of(recording) is ONE_CPU else "waking to run"


def misranked(figures: Iterable[Figure]) -> list[tuple[Figure, Figure]]:
    """Return the pairs that all seeds predict in the other order than they were measured, the lower measured one first.

    Pairs measured within their repetitions' spread or their tolerances have no order, nor have pairs whose envelopes
    overlap. Without a pair of the result, Kendall's tau of those that have one is 1.
    """
    return [
        (low, high)
        for low, high in (sorted(pair, key=_measured) for pair in combinations(figures, 2))
        if _measured(high) - _measured(low) > max(low.tolerance, high.tolerance)
        and low.measured[1] < high.measured[0]
        and low.predicted is not None
        and high.predicted is not None
        and low.predicted[0] >= high.predicted[1]
    ]


def _measured(figure: Figure) -> float:
    return sum(figure.measured) / 2
