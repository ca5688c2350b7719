"""``rtsim calibrate``: from recordings of a machine to its profile."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rtsim.cli.outputs import expect_writable
from rtsim.cli.tables import console, table
from rtsim.cli.unit import UnitOption, chosen_unit
from rtsim.inputs.errors import InputError, at

if TYPE_CHECKING:
    from rtsim.profile.calibration import Calibration

__all__ = ["calibrate"]


def calibrate(
    recordings: Annotated[
        list[Path], typer.Argument(help="Traces, recordings' folders, or a histogram.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The profile to write (YAML).", show_default=False)],
    base: Annotated[str, typer.Option(help="Profile for what recordings do not tell: a name or a file.")] = "tuned",
    workload: Annotated[
        list[str] | None,
        typer.Option(help="Threads that are no noise, by name or pattern (may be repeated).", show_default=False),
    ] = None,
    stop: Annotated[
        str | None,
        typer.Option(
            help="Leave out steps with so long a gap (15 us): the host stopped the machine.", show_default=False
        ),
    ] = None,
    unit: UnitOption = None,
) -> None:
    """Find a machine's noise sources and costs in recordings of it, and write them as a profile."""
    from rtsim.profile.calibration import calibrate

    expect_writable(output)
    found = calibrate(
        *recordings, base=base, workload=workload or (), stop_ns=None if stop is None else _stop_ns(stop),
        unit=chosen_unit(unit), progress=lambda path: print(f"reading {path}", file=sys.stderr),
    )  # fmt: skip
    written = found.write(output)
    _show(found)
    for sentence in found.kept:
        sys.stderr.write(f"note: {sentence}\n")
    for warning in found.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    typer.echo(f"Written: {', '.join(map(str, reversed(written)))}")


def _stop_ns(stop: str) -> int:
    from rtsim.inputs.units import parse_duration

    with at("--stop"):
        ns = parse_duration(stop)
    if ns <= 0:
        raise InputError("--stop", "", f"expected a time above 0, found {stop!r}")
    return ns


def _show(found: Calibration) -> None:
    out = console()
    costs = [(name, fit.family, *_duration(fit.mean_ns, fit.error_ns), fit.count) for name, fit in found.costs.items()]
    out.print(table(out, "Costs (µs)", ("", "distribution", "mean", "+-", "seen"), costs, words=(0, 1)))
    if found.sources is None:
        return
    rows = [
        (
            each.kind, each.name, each.cpus, each.process.kind, f"{each.process.rate_hz:.4g}",
            f"{each.process.error_hz:.2g}", each.duration.family,
            *_duration(each.duration.mean_ns, each.duration.error_ns), each.duration.count,
        )
        for each in found.sources
    ]  # fmt: skip
    columns = ("class", "name", "CPUs", "arrivals", "1/s", "+-", "durations", "mean µs", "+-", "seen")
    out.print(table(out, "Noise", columns, rows, words=(0, 1, 2, 3, 6)))


def _duration(mean_ns: float, error_ns: float) -> tuple[str, str]:
    return f"{mean_ns / 1000:.4g}", f"{error_ns / 1000:.2g}"
