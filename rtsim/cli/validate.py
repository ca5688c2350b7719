"""``rtsim validate``: measured latencies beside those that scenarios predict."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rtsim.cli.agreement import show_comparison, show_rankings
from rtsim.cli.outputs import expect_outputs, write_picture
from rtsim.cli.progress import engine_ready, progress_shown
from rtsim.cli.unit import UnitOption, chosen_unit
from rtsim.inputs.errors import InputError

if TYPE_CHECKING:
    from rtsim.measure.distance import Comparison
    from rtsim.scenario import Scenario
    from rtsim.traces.measured import Measured

__all__ = ["validate"]

RANKED_BY = (0.5, 0.99)


def validate(
    measured: Annotated[
        list[Path],
        typer.Option(
            help="Output of cyclictest, timerlat or rt-app, or a recording's folder; several: configurations.",
            show_default=False,
        ),
    ],
    scenario: Annotated[
        list[Path],
        typer.Option(help="The scenario that describes the same machine; one for each that was measured, in order.",
                     show_default=False),
    ],
    tolerance: Annotated[
        str | None, typer.Option(help="Allowed relative errors: p50=0.10,p99=0.15; or p50=0.10/2.5us, the larger.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="The predicted task, where there are several.")] = None,
    thread: Annotated[int | None, typer.Option(help="Only this measuring thread.", min=0)] = None,
    kind: Annotated[str | None, typer.Option(help="Of timerlat: user, thread or irq.")] = None,
    unit: UnitOption = None,
    seed: Annotated[int | None, typer.Option(help="Another seed than the file's.", min=0)] = None,
    duration: Annotated[str | None, typer.Option(help="Another duration than the file's.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write an HTML page with pictures to this file.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw tails, Q-Q plot and PIT: .png, .svg or .pdf.")] = None,
) -> None:  # fmt: skip
    """Lay measured latencies beside the predicted ones; exit 1 if an error is above its tolerance.

    With several configurations it also tells whether they are ranked as measured (Kendall's tau).
    """
    from rtsim.cli.chosen import chosen_scenario
    from rtsim.measure.distance import parse_tolerances
    from rtsim.traces.reader import read_measured
    from rtsim.traces.validation import measured_file

    printed_in = chosen_unit(unit)
    if len(measured) != len(scenario):
        counts = f"{len(scenario)} for {len(measured)} that were measured"
        raise InputError("--scenario", "", f"expected one for each --measured, found {counts}")
    expect_outputs(None, report, plot)
    tolerances = parse_tolerances(tolerance) if tolerance is not None else None
    read = [read_measured(measured_file(path), unit=printed_in) for path in measured]
    chosen = [chosen_scenario(path, seed, duration) for path in scenario]
    engine_ready()
    options = {"task": task, "thread": thread, "kind": kind, "tolerances": tolerances}
    found = {
        name: _compared(each, scene, options) for name, each, scene in zip(_names(measured), read, chosen, strict=True)
    }
    for name, comparison in found.items():
        show_comparison(comparison, name if len(found) > 1 else None)
    if len(found) > 1:
        show_rankings(found, RANKED_BY)
    _write(found, report, plot)
    if not all(comparison.passed for comparison in found.values()):
        raise typer.Exit(1)


def _compared(found: Measured, scenario: Scenario, options: Mapping[str, Any]) -> Comparison:
    from rtsim.scenario import simulate
    from rtsim.traces.validation import validate_measured

    with progress_shown("simulating") as progress:
        result = simulate(scenario, progress=progress)
    comparison = validate_measured(found, result.to_json(), **options)
    for warning in (*found.warnings, *result.warnings):
        sys.stderr.write(f"warning: {warning}\n")
    return comparison


def _names(paths: Sequence[Path]) -> list[str]:
    """Return what the measured ones are called: the last part of their paths that tells them apart."""
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    raise InputError("--measured", "", "expected each file once")


def _write(found: Mapping[str, Comparison], report: Path | None, plot: Path | None) -> None:
    if report is None and plot is None:
        return
    from rtsim.report.agreement import draw_agreement, write_agreement

    if report is not None:
        write_agreement(found, report)
    if plot is not None:
        write_picture(plot, lambda figure: draw_agreement(found, figure), 13, 3.8 * len(found))
