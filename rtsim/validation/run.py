"""Recordings simulated: every case with several seeds, in threads, since the compiled engine releases the GIL."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import nullcontext

from rtsim.scenario import Scenario, simulate
from rtsim.traces.recording import Case, Recording
from rtsim.validation.figures import Figure, Predictions, figures, predict
from rtsim.validation.scenarios import scenario_of

__all__ = ["SEEDS", "validate_cases", "validate_recording"]

SEEDS = 8
"""EEVDF on ticks has several stable cycles; the envelope of eight starts holds those that matter."""

Progress = Callable[[int, int], None]


def validate_recording(
    recording: Recording,
    *,
    seeds: int = SEEDS,
    ablate: Sequence[str] = (),
    progress: Progress | None = None,
) -> list[Figure]:
    """Return all figures of a recording; see `validate_cases`."""
    return validate_cases(recording, list(recording.cases.values()), seeds=seeds, ablate=ablate, progress=progress)


def validate_cases(
    recording: Recording,
    cases: Sequence[Case],
    *,
    seeds: int = SEEDS,
    ablate: Sequence[str] = (),
    profile: str | None = None,
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> list[Figure]:
    """Simulate some cases of a recording and return their figures, in the order of the cases.

    Parameters
    ----------
    seeds
        Runs of each case, with seeds 0, 1, ...; the envelopes grow with their number.
    ablate
        Rules left out of the kernel, by name.
    profile
        Another profile than the one that is known for the machine.
    progress
        Called with runs done and runs to do.
    executor
        Where runs go; by default a thread for each CPU.

    Raises
    ------
    InputError
        A scenario cannot be simulated.
    """
    with nullcontext(executor) if executor is not None else ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [[pool.submit(_run, recording, case, seed, ablate, profile) for seed in range(seeds)] for case in cases]
        try:
            found: list[Figure] = []
            for done, (case, runs) in enumerate(zip(cases, jobs, strict=True)):
                predictions = []
                for number, run in enumerate(runs, 1):
                    predictions.append(run.result())
                    if progress is not None:
                        progress(done * seeds + number, len(cases) * seeds)
                found.extend(figures(recording, case, predictions))
            return found
        finally:
            for run in (run for runs in jobs for run in runs):
                run.cancel()


def _run(recording: Recording, case: Case, seed: int, ablate: Sequence[str], profile: str | None) -> Predictions:
    scenario = scenario_of(recording, case, seed, ablate=ablate, profile=profile)
    source = f"{recording.name}/{case.name}"
    return predict(recording, case, scenario, simulate(Scenario.of(scenario, source=source)))
