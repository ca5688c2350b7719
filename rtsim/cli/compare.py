"""``rtsim compare``: the variants of a scenario in one ranked table, with differences, price and reason."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rtsim.cli.outputs import expect_outputs, write_outputs
from rtsim.cli.progress import engine_ready, progress_shown
from rtsim.cli.tables import console, interval, microseconds, table, wide

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from rtsim.measure.comparison import ComparisonRow
    from rtsim.planning import Comparison

__all__ = ["compare"]


def compare(
    scenario: Annotated[Path, typer.Argument(help="The scenario file (YAML).", show_default=False)],
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH=VALUE",
            help="Instead of the file's variants: a value for a place in it, such as "
            "'guests.NAME.flavor.properties[\"hw:cpu_realtime_mask\"]=^0'. The same PATH again is an alternative, "
            "different PATHs are combined.",
        ),
    ] = None,
    replications: Annotated[int | None, typer.Option(help="Runs of each variant, with one seed each.", min=1)] = None,
    duration: Annotated[str | None, typer.Option(help="Another duration than the file's: 10 s, 5 min, ...")] = None,
    output: Annotated[Path | None, typer.Option("--json", help="Write the comparison to this file.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report to this file.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the tails of all variants into this file (PNG, SVG).")] = None,
) -> None:
    """Simulate the variants of a scenario with the same noise and rank them."""
    from rtsim import planning
    from rtsim.scenario import Scenario

    expect_outputs(output, report, plot)
    chosen = Scenario.load(scenario)
    if duration is not None:
        chosen = chosen.lasting(duration)
    variants = planning.parse_vary(vary or ())
    engine_ready()
    with progress_shown("comparing") as progress:
        comparison = planning.compare(chosen, vary=variants, replications=replications, progress=progress)
    write_outputs(comparison.to_json, comparison.plot_ccdf, 5.5, output=output, report=report, plot=plot)
    _show(comparison)


def _show(comparison: Comparison) -> None:
    from rtsim.measure.comparison import shared_warnings

    out = console()
    out.print(_table(comparison, out))
    if any(row["tied_with"] for row in comparison.rows):
        out.print("= shares its rank with variants that nothing separates from it: these differences may be chance")
    for row in comparison.rows:
        if row["refused"]:
            out.print(f"{row['name']}: refused by Nova: {row['refused']}")
    for warning in shared_warnings({name: result.warnings for name, result in comparison.results.items()}):
        out.print(f"warning: {warning}")


def _table(comparison: Comparison, out: Console) -> Table:
    by = comparison.rank_by
    over = "the worst of its threads" if by.over == "worst" else "all its threads together"
    title = f"{by}, {over}; mean of {comparison.replications} replications (µs)"
    columns = ["rank", "variant", "latency", "to the best", "CPUs\nspent", "vCPUs\nleft", "why"]
    rows = [_cells(row, comparison.rows, wide(out)) for row in comparison.rows]
    return table(out, title, columns, rows, words=(1, 6))


def _cells(row: ComparisonRow, rows: Sequence[ComparisonRow], with_intervals: bool) -> list[object]:
    price = ["-" if amount is None else amount for amount in (row["cpus_spent"], row["workload_vcpus"])]
    if row["rank"] is None:
        return ["-", row["name"], "-", "-", *price, "refused"]
    tied = any(other["rank"] == row["rank"] for other in rows if other is not row)
    value, difference = microseconds(row["value_ns"]), microseconds(row["difference_ns"], sign=True)
    if row is rows[0]:
        difference = "best"
    elif with_intervals and row["difference_ci_ns"]:
        difference += f" ({interval(row['difference_ci_ns'], sign=True)})"
    return [f"{'=' if tied else ''}{row['rank']}", row["name"], value, difference, *price, _why(row)]


def _why(row: ComparisonRow) -> str:
    """Return the cause as words that a narrow column can take apart: names stay whole."""
    return row["why"].replace("thread:", "")
