"""Simulates every recording, puts every recorded decision to the scheduler, leaves rules out: `make validation`.

Writes docs/validation.md. Options: ``--seeds N``; folders of recordings, ``--ablate RULE`` (either prints the scores of
simulations and writes nothing).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl

from rtsim.cli.progress import engine_ready, progress_shown
from rtsim.inputs.errors import RtsimError
from rtsim.kernel.ablation import ABLATIONS
from rtsim.traces.recording import Recording, read_recording
from rtsim.validation.ablations import Loss, loss, rules_studied
from rtsim.validation.decide import Agreement, agreement
from rtsim.validation.figures import Figure
from rtsim.validation.page import write_page
from rtsim.validation.run import SEEDS, validate_recording
from rtsim.validation.targets import explanations, score

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Read the options, simulate, print the scores, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recordings", nargs="*", type=Path)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--ablate", action="append", default=[], choices=list(ABLATIONS))
    options = parser.parse_args()
    mpl.use("agg")
    engine_ready()
    found = []
    for folder in options.recordings or recordings():
        recording = read_recording(folder)
        figures = simulated(recording, options.seeds, options.ablate)
        print(f"{recording.name}: {score(figures)} inside", flush=True)
        found.append((recording, figures))
    if not options.ablate and not options.recordings:
        decided = {recording.name: decisions_of(recording) for recording, _ in found if rules_studied(recording)}
        losses = [each for recording, figures in found for each in losses_of(recording, figures, options.seeds)]
        page = ROOT / "docs" / "validation.md"
        write_page(found, explanations(), page, options.seeds, decided=decided, losses=losses)


def simulated(recording: Recording, seeds: int, ablate: Sequence[str]) -> list[Figure]:
    """Return the figures of a recording, showing progress."""
    with progress_shown(" without ".join([recording.name, *ablate])) as progress:
        return validate_recording(recording, seeds=seeds, ablate=ablate, progress=progress)


def decisions_of(recording: Recording) -> Mapping[str, Agreement]:
    """Put the decisions of every traced case to the scheduler."""
    return {case.name: agreement(recording, case) for case in recording.cases.values() if case.cyclictest is None}


def losses_of(recording: Recording, whole: Sequence[Figure], seeds: int) -> list[Loss]:
    """Simulate a recording without each rule that is worth it."""
    return [loss(rule, recording.name, whole, simulated(recording, seeds, [rule])) for rule in rules_studied(recording)]


def recordings() -> list[Path]:
    """Return the folders of data/recorded that hold a scheduler's recording."""
    return sorted(
        path for path in (ROOT / "data" / "recorded").glob("*-*") if path.name.startswith(("kernel", "native"))
    )


if __name__ == "__main__":
    try:
        main()
    except RtsimError as error:
        sys.exit(f"validation: {error}")
