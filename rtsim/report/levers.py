"""The levers of a realtime guest as a table, a picture and a page, made from the rows of ``rtsim levers --json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from rtsim.report.markup import Html, document, escape, microseconds, picture, share, table
from rtsim.report.parts import causes_figure, mean_causes, provenance, scenario_section
from rtsim.report.theme import palette

__all__ = ["levers_page", "levers_table", "plot_levers"]

Row = Mapping[str, Any]

MEASURES = ("p50", "max", "p99.99")
"""In the order in which they are drawn: a largest sample does not hide the quantile that it is."""
MARKERS = {"p50": {"marker": "|", "markersize": 9}, "max": {"marker": "D", "markersize": 7, "fillstyle": "none"},
           "p99.99": {"marker": "o", "markersize": 5}}  # fmt: skip
CHANCE = {"marker": "o", "markersize": 5, "fillstyle": "none"}
"""Of a p99.99 whose change the interval does not tell from zero."""
SPACE = 0.6
"""Between the groups of rows."""


def plot_levers(rows: Sequence[Row], task: str, *, ax: Axes | None = None, legend: bool = True) -> Axes:
    """Draw median, 99.99th percentile, maximum and bound of each combination of levers on a logarithmic axis.

    Lines at the p99.99 of no lever and of all levers run through the rows that are compared with them. Of rows whose
    p99.99 may differ from it by chance only, that is hollow.

    Parameters
    ----------
    rows
        Of `rtsim.planning.Levers`, or of its JSON.
    task
        Whose latency it is, for the title.
    ax
        Where to draw; the current axes by default.
    legend
        Whether to add one.
    """
    ax = plt.gca() if ax is None else ax
    places = _places(rows)
    colours = dict(zip(("p50", "p99.99", "max", "bound"), palette(4), strict=True))
    for row, y in zip(rows, places, strict=True):
        values = [row["values_ns"][name] for name in MEASURES]
        known = [value / 1000 for value in values if value is not None]
        if known:
            ax.plot([min(known), max(known)], [y, y], color=colours["p50"], linewidth=1, alpha=0.5, zorder=1)
    rows_at = list(zip(rows, places, strict=True))
    for name in MEASURES:
        clear = [(row["values_ns"][name], y) for row, y in rows_at if name != "p99.99" or not _may_be_chance(row)]
        _mark(ax, clear, name, colours[name], MARKERS[name])
    unclear = [(row["values_ns"]["p99.99"], y) for row, y in rows_at if _may_be_chance(row)]
    _mark(ax, unclear, "p99.99: change may be chance", colours["p99.99"], CHANCE)
    _mark(ax, [(row["bound_ns"], y) for row, y in rows_at], "bound", colours["bound"], {"marker": 4, "markersize": 8})
    _references(ax, rows, places, colours["p99.99"])
    ax.set_yticks(places, [row["name"] for row in rows])
    ax.set(xscale="log", ylim=(places[-1] + 0.6, -0.6), xlabel="latency (µs)", title=f"{task} by levers pulled")
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=30))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}".replace(",", "\u2009")))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.tick_params(axis="x", labelrotation=45, labelsize="small")
    ax.tick_params(axis="y", length=0)
    ax.grid(True, axis="x")
    ax.set_axisbelow(True)
    if legend:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3, fontsize="small")
    return ax


def _mark(
    ax: Axes, values: Sequence[tuple[float | None, float]], label: str, colour: str, style: Mapping[str, Any]
) -> None:
    """Draw markers at latencies (ns) in rows; those that are None are left out, and all of it where none is left."""
    known = [(value / 1000, y) for value, y in values if value is not None]
    if known:
        x, y = zip(*known, strict=True)
        ax.plot(x, y, linestyle="none", color=colour, label=label, **style)


def _may_be_chance(row: Row) -> bool:
    ends = row["differences_ci_ns"].get("p99.99")
    return ends is not None and ends[0] <= 0 <= ends[1]


def _places(rows: Sequence[Row]) -> list[float]:
    """Return the heights of the rows: none and the levers alone, then all but each lever and all."""
    first = next((i for i, row in enumerate(rows) if row["against"] == "all"), len(rows))
    return [i + (SPACE if i >= first else 0.0) for i in range(len(rows))]


def _references(ax: Axes, rows: Sequence[Row], places: Sequence[float], colour: str) -> None:
    first = next((i for i, row in enumerate(rows) if row["against"] == "all"), len(rows))
    for name, own in (("none", range(first)), ("all", range(first, len(rows)))):
        value = next((row["values_ns"]["p99.99"] for row in rows if row["name"] == name), None)
        if value is not None and len(own):
            ends = [places[own[0]] - 0.4, places[own[-1]] + 0.4]
            label = "p99.99 of none, of all" if name == "none" else None
            ax.plot([value / 1000] * 2, ends, color=colour, linewidth=1, linestyle=":", zorder=1, label=label)


def levers_table(rows: Sequence[Row]) -> Html:
    """Return the table alone, as notebooks show it."""
    head = ["levers", "p50 (µs)", "p99.99 (µs)", "change of p99.99 (µs)", "max (µs)", "change of max (µs)",
            "bound (µs)", "host CPUs spent", "memory locked (MiB)", "others lose", "largest change"]  # fmt: skip
    body = [
        [row["name"], microseconds(row["values_ns"]["p50"]), microseconds(row["values_ns"]["p99.99"]),
         _change(row, "p99.99"), microseconds(row["values_ns"]["max"]), _change(row, "max"),
         microseconds(row["bound_ns"]), row["cpus_spent"], row["locked_mib"], _lost(row),
         row["why"]]
        for row in rows
    ]  # fmt: skip
    return table(head, body, kind="cards", text=(0, 10))


def _lost(row: Row) -> str:
    """Return what others lose, to a tenth of a percent: less is chance."""
    lost = row["others_lost"]
    return share(None if lost is None else round(lost, 3) + 0.0)


def _change(row: Row, measure: str) -> Html:
    if row["against"] is None:
        return Html("–")
    value = escape(microseconds(row["differences_ns"][measure], sign=True))
    ends = row["differences_ci_ns"][measure]
    note = f' <span class="note">{" to ".join(microseconds(end, sign=True) for end in ends)}</span>' if ends else ""
    return Html(f"{value}{note}")


def levers_page(data: Row) -> str:
    """Return the page of the levers of one guest: table, picture, causes, scenario."""
    rows, task = data["levers"], data["task"]
    title = f"What each lever of {data['guest']} buys"
    results = data["results"]
    scenario = results["all"]["scenario"]
    causes = {name: mean_causes(result["tasks"][task]) for name, result in results.items() if task in result["tasks"]}

    def draw(figure: Figure, narrow: bool) -> None:
        plot_levers(rows, task, ax=figure.subplots())

    parts = [
        Html(f"<header><h1>{escape(title)}</h1>{provenance(data['rtsim'], scenario, {'levers': len(rows)})}</header>"),
        levers_table(rows),
        Html(
            '<p class="quiet">A lever alone is compared with none pulled, all but one or two with all; differences are '
            f"paired over {data['replications']} replications with the same noise, their intervals at 95\u00a0%. Where "
            "that of p99.99 holds 0, the change may be chance. The largest change is that of a cause in the samples "
            "from p99.99 on, of each run the ten worst at most. Others lose work, not CPU time: a busy thread of the "
            "same core slows them down.</p>"
        ),
        Html("<h2>Picture</h2>"),
        picture(
            draw,
            f"{task}: what a hollow p99.99 differs from its dotted line may be chance.",
            height=6.6,
            narrow_height=7.6,
        ),
        Html("<h2>What the tail waits for</h2>"),
        causes_figure(_tails(rows, "none"), f"{task}: mean latency by cause of the samples from p99.99 on; one lever."),
        causes_figure(_tails(rows, "all"), f"{task}: the same; all levers but some."),
        Html("<h2>Where the time goes</h2>"),
        causes_figure(causes, f"{task}: mean latency by cause of all samples."),
        Html("<h2>Scenario, all levers pulled</h2>"),
        scenario_section(scenario),
    ]
    return document(title, Html("".join(parts)))


def _tails(rows: Sequence[Row], base: str) -> dict[str, Mapping[str, float]]:
    """Return what the tails of `base` and of the rows compared with it wait for; that of all levers is with its own."""
    return {
        row["name"]: row["causes_ns"]
        for row in rows
        if row["name"] == base or (row["against"] == base and row["name"] != "all")
    }
