"""``rtsim levers``: what each lever of a realtime guest buys, alone and beside the others, and what it costs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rtsim.cli.outputs import expect_outputs, write_outputs
from rtsim.cli.progress import engine_ready, progress_shown
from rtsim.cli.tables import console, interval, microseconds, table

if TYPE_CHECKING:
    from rtsim.planning import Levers
    from rtsim.planning.levers import LeverRow

__all__ = ["levers"]

ROOM_FOR_WHY, ROOM_FOR_LIMITS = 100, 120
"""Columns of a page from which there is room for these; JSON and report always have them."""


def levers(
    scenario: Annotated[Path, typer.Argument(help="The scenario file (YAML).", show_default=False)],
    guest: Annotated[str | None, typer.Option(help="Whose levers; by default the guest that is ranked by.")] = None,
    replications: Annotated[int | None, typer.Option(help="Runs of each row, with one seed each.", min=1)] = None,
    duration: Annotated[str | None, typer.Option(help="Another duration than the file's: 10 s, 5 min, ...")] = None,
    output: Annotated[Path | None, typer.Option("--json", help="Write all rows and results to this file.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report to this file.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw all rows into this file (PNG, SVG).")] = None,
) -> None:
    """Pull the levers of a realtime guest one by one, from none and from all: latency, bound and price of each."""
    from rtsim import planning
    from rtsim.scenario import Scenario

    expect_outputs(output, report, plot)
    chosen = Scenario.load(scenario)
    if duration is not None:
        chosen = chosen.lasting(duration)
    engine_ready()
    with progress_shown("pulling levers") as progress:
        found = planning.levers(chosen, guest=guest, replications=replications, progress=progress)
    write_outputs(found.to_json, found.plot, 7, output=output, report=report, plot=plot)
    _show(found)


def _show(found: Levers) -> None:
    out = console()
    title = f"Levers of {found.guest}: latency of {found.task}; mean of {found.replications} replications (µs)"
    rows = [_cells(row, out.width) for row in found.rows]
    columns = list(rows[0])
    words = [i for i, name in enumerate(columns) if name in ("levers", "why")]
    out.print(table(out, title, columns, [list(row.values()) for row in rows], words=words))
    out.print("change: of p99.99 (95 % interval); of one lever and of all from none, of all but some from all")
    out.print("why: the cause that changes most in the samples from p99.99 on, of each run the ten worst at most")


def _cells(row: LeverRow, width: int) -> dict[str, object]:
    """Return the row's cells by the names of their columns, those that a page of `width` columns has room for."""
    values = {name: microseconds(value) for name, value in row["values_ns"].items()}
    change = "-"
    if row["against"] is not None:
        change = microseconds(row["differences_ns"]["p99.99"], sign=True)
        ends = row["differences_ci_ns"]["p99.99"]
        change += f"\n({interval(ends, sign=True)})" if ends else ""
    lost = "-" if row["others_lost"] is None else f"{round(100 * row['others_lost'], 1) + 0.0:.1f} %"
    cells: dict[str, object] = {
        "levers": row["name"], "p50": values["p50"], "p99.99": values["p99.99"], "change": change,
    }  # fmt: skip
    if width >= ROOM_FOR_LIMITS:
        cells |= {"max": values["max"], "bound": microseconds(row["bound_ns"])}
    cells |= {"CPUs\nspent": row["cpus_spent"], "MiB\nlocked": row["locked_mib"], "others\nlose": lost}
    if width >= ROOM_FOR_WHY:
        cells["why"] = re.sub(" (?=[+-])", "\n", row["why"].replace("thread:", ""))
    return cells
