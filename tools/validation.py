"""Simulates every recording and writes docs/validation.md: `make validation`.

Options: names of recordings (default: all), ``--seeds N``, ``--ablate RULE`` (prints the scores without that rule and
writes nothing).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import matplotlib as mpl

from rtsim.cli.progress import engine_ready, progress_shown
from rtsim.inputs.errors import RtsimError
from rtsim.kernel.ablation import ABLATIONS
from rtsim.traces.recording import read_recording
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
        with progress_shown(recording.name) as progress:
            figures = validate_recording(recording, seeds=options.seeds, ablate=options.ablate, progress=progress)
        print(f"{recording.name}: {score(figures)} inside", flush=True)
        found.append((recording, figures))
    if not options.ablate and not options.recordings:
        write_page(found, explanations(), ROOT / "docs" / "validation.md", options.seeds)


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
