"""``rtsim validate``: measured latencies beside those the scenario predicts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rtsim.cli.progress import engine_ready, progress_shown
from rtsim.cli.tables import console, interval, microseconds, table
from rtsim.inputs.errors import InputError

if TYPE_CHECKING:
    from rtsim.measure.distance import Comparison, QuantityError
    from rtsim.measure.distribution import AtLeast

__all__ = ["validate"]


def validate(
    measured: Annotated[
        Path,
        typer.Option(help="Output of cyclictest, timerlat or rt-app, or a recording's folder.", show_default=False),
    ],
    scenario: Annotated[Path, typer.Option(help="The scenario that describes the same machine.", show_default=False)],
    tolerance: Annotated[
        str | None, typer.Option(help="Allowed relative errors: p50=0.10,p99=0.15; or p50=0.10/2.5us, the larger.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="The predicted task, where there are several.")] = None,
    thread: Annotated[int | None, typer.Option(help="Only this measuring thread.", min=0)] = None,
    kind: Annotated[str | None, typer.Option(help="Of timerlat: user, thread or irq.")] = None,
    unit: Annotated[str | None, typer.Option(help="us or ns, where the file does not say.")] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed than the file's.", min=0)] = None,
    duration: Annotated[str | None, typer.Option(help="Another duration than the file's.")] = None,
) -> None:
    """Lay a measured latency distribution beside the predicted one; exit 1 if an error is above its tolerance."""
    from rtsim.cli.chosen import chosen_scenario
    from rtsim.measure.distance import parse_tolerances
    from rtsim.scenario import simulate
    from rtsim.traces.reader import read_measured
    from rtsim.traces.validation import measured_file, validate_measured

    if unit not in (None, "us", "ns"):
        raise InputError("--unit", "", f"expected us or ns, found {unit!r}")
    tolerances = parse_tolerances(tolerance) if tolerance is not None else None
    found = read_measured(measured_file(measured), unit="ns" if unit == "ns" else "us" if unit == "us" else None)
    chosen = chosen_scenario(scenario, seed, duration)
    engine_ready()
    with progress_shown("simulating") as progress:
        result = simulate(chosen, progress=progress)
    comparison = validate_measured(found, result.to_json(), task=task, thread=thread, kind=kind, tolerances=tolerances)
    for warning in found.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    _show(comparison)
    if not comparison.passed:
        raise typer.Exit(1)


def _show(comparison: Comparison) -> None:
    out = console()
    columns = ["", "measured", "95 % of it", "predicted", "error", "error %", "allowed", ""]
    title = f"Latency (µs): {comparison.measured_count:,} samples measured, {comparison.predicted_count:,} predicted"
    out.print(table(out, title, columns, [_cells(row) for row in comparison.rows], words=(0, 6, 7)))
    if comparison.censored:
        out.print(f"{comparison.censored:,} measured samples lie beyond the measured histogram")
    if comparison.ks is not None:
        apart = "" if comparison.wasserstein_ns is None else f", {microseconds(comparison.wasserstein_ns)} µs apart"
        out.print(f"Largest gap between the distribution functions {comparison.ks:.3f}{apart} on average")


def _cells(row: QuantityError) -> list[object]:
    low, high = row.measured_ci_ns
    spread = interval((low, high)) if low is not None and high is not None else ""
    relative = "" if row.relative_error is None else f"{100 * row.relative_error:+.1f}"
    return [
        row.quantity, _value(row.measured_ns), spread, _value(row.predicted_ns),
        "" if row.error_ns is None else microseconds(row.error_ns, sign=True), relative,
        "" if row.tolerance is None else str(row.tolerance), row.verdict,
    ]  # fmt: skip


def _value(value_ns: int | AtLeast | None) -> str:
    return microseconds(value_ns) if value_ns is None or isinstance(value_ns, int) else str(value_ns)
