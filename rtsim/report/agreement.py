"""A measured distribution beside a predicted one: their tails, Q-Q plot and PIT histogram, as a picture and a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rtsim.inputs.files import write_whole
from rtsim.measure.agreement import exceedances, pit, qq
from rtsim.measure.distance import Comparison
from rtsim.measure.distribution import AtLeast, Distribution
from rtsim.measure.quantiles import quantile_name
from rtsim.report.markup import Html, document, escape, microseconds, picture, table
from rtsim.report.plots import plot_ccdf, us_ticks
from rtsim.report.theme import palette

__all__ = ["draw_agreement", "plot_pit", "plot_qq", "write_agreement"]

MARKED = (0.5, 0.9, 0.99, 0.999, 0.9999)
"""Quantiles with a name in the Q-Q plot."""
CLOSE = 0.08
"""Part of the axes within which two names would cover each other."""


def plot_qq(measured: Distribution, predicted: Distribution, *, ax: Axes | None = None) -> Axes:
    """Draw predicted quantiles over measured ones on log-log axes: on the line the prediction is right.

    Where samples are censored, the dotted line is the limit beyond which no measured quantile is known.
    """
    ax = plt.gca() if ax is None else ax
    share, one, other = (values / scale for values, scale in zip(qq(measured, predicted), (1, 1000, 1000), strict=True))
    colours = palette(2)
    ax.set(xscale="log", yscale="log", xlabel="measured (µs)", ylabel="predicted (µs)")
    if len(share):
        x, y = np.maximum(other, 1e-3), np.maximum(one, 1e-3)
        ax.plot(x, y, marker="o", markersize=3, linewidth=1, color=colours[0])
        ends = (min(x.min(), y.min()) * 0.9, max(x.max(), y.max()) * 1.1)
        ax.plot(ends, ends, color="0.5", linewidth=1)
        ax.set(xlim=ends, ylim=ends)
        marked = [(q, int(np.searchsorted(share, q))) for q in MARKED if q <= share[-1]]
        _name_points(ax, [(quantile_name(q), x[at], y[at]) for q, at in marked], ends[1] / ends[0], colours[1])
    if measured.limit_ns is not None:
        ax.axvline(measured.limit_ns / 1000, color="0.5", linewidth=1, linestyle=":")
    for axis in (ax.xaxis, ax.yaxis):
        us_ticks(axis)
    ax.grid(True, which="major")
    ax.set_axisbelow(True)
    return ax


def _name_points(ax: Axes, points: Sequence[tuple[str, float, float]], span: float, colour: str) -> None:
    """Mark points on log-log axes of `span` with their names; those that lie close together share a line."""
    names: list[list[str]] = []
    last = (0.0, 0.0)
    for name, x, y in points:
        ax.plot(x, y, marker="o", markersize=6, color=colour)
        if names and max(x / last[0], y / last[1]) < span**CLOSE:
            names[-1].append(name)
            continue
        names.append([name])
        last = (x, y)
        place: dict[str, Any] = {"xytext": (6, -9), "textcoords": "offset points", "fontsize": "small"}
        ax.annotate("", last, **place)
    for group, text in zip(names, ax.texts, strict=True):
        text.set_text(", ".join(group))


def plot_pit(measured: Distribution, predicted: Distribution, *, ax: Axes | None = None) -> Axes:
    """Draw how many measured samples lie in each twentieth of the predicted ones: 1 everywhere if it is right.

    Hatched: censored samples, which lie anywhere in what is predicted beyond the limit.
    """
    ax = plt.gca() if ax is None else ax
    below, beyond = pit(measured, predicted)
    left = np.linspace(0, 1, len(below) + 1)[:-1]
    style = {"width": 1 / len(below), "align": "edge"}
    ax.bar(left, below, color=palette(1)[0], **style)  # type: ignore[arg-type]
    edge = {"edgecolor": palette(2)[1], "hatch": "///"}
    some = beyond > 0
    ax.bar(left[some], beyond[some], bottom=below[some], fill=False, **edge, **style)  # type: ignore[arg-type]
    ax.axhline(1, color="0.5", linewidth=1)
    ax.set(xlim=(0, 1), xlabel="predicted share below", ylabel="density of measured samples")
    ax.grid(True, axis="y")
    ax.set_axisbelow(True)
    return ax


def draw_agreement(comparisons: Mapping[str, Comparison], figure: Figure, *, narrow: bool = False) -> None:
    """Draw tails, Q-Q plot and PIT histogram of each comparison in a row of its own, or below each other."""
    shape = (3 * len(comparisons), 1) if narrow else (len(comparisons), 3)
    axes = figure.subplots(*shape, squeeze=False).ravel()
    for row, (name, each) in enumerate(comparisons.items()):
        tail, quantiles, integral = axes[3 * row : 3 * row + 3]
        plot_ccdf({"measured": each.measured, "predicted": each.predicted}, ax=tail)
        plot_qq(each.measured, each.predicted, ax=quantiles)
        plot_pit(each.measured, each.predicted, ax=integral)
        tail.set_title(name, loc="left", fontsize="medium")


def write_agreement(comparisons: Mapping[str, Comparison], path: Path) -> None:
    """Write the page of one comparison or several, by name.

    Raises
    ------
    InputError
        It cannot be written.
    """
    parts = [f"<h1>Measured beside predicted</h1>{_explanation()}"]
    for name, each in comparisons.items():
        parts.append(f"<h2>{escape(name)}</h2>{_quantiles(each)}{_picture(each)}{_tail(each)}")
    write_whole(path, document("Measured beside predicted", Html("".join(parts))))


def _explanation() -> str:
    return (
        "<p>First, the share of samples above each latency. Second, equal quantiles of both; on the line they agree. "
        "Third, how many measured samples lie in each twentieth of the predicted ones; 1 everywhere if the prediction "
        "is right, high ends if it is too narrow, a slope if it is too early or too late.</p>"
    )


def _quantiles(comparison: Comparison) -> Html:
    held = any(row.tolerance is not None for row in comparison.rows)
    rows = [
        (row.quantity, _value(row.measured_ns), _value(row.predicted_ns), microseconds(row.error_ns, sign=True),
         *((row.tolerance or "", row.verdict) if held else ()))
        for row in comparison.rows
    ]  # fmt: skip
    head = ("", "measured (µs)", "predicted (µs)", "error (µs)", *(("allowed", "") if held else ()))
    return table(head, rows, text=(0, 4, 5))


def _picture(comparison: Comparison) -> Html:
    return picture(
        lambda figure, narrow: draw_agreement({"": comparison}, figure, narrow=narrow),
        "Tails, Q-Q plot and PIT histogram", height=3.6, narrow_height=11,
    )  # fmt: skip


def _tail(comparison: Comparison) -> Html:
    rows = [
        (f"{each.threshold_ns / 1000:g}{' (limit)' if each.censored else ''}", f"{each.measured:.3g}",
         f"{each.predicted:.3g}", "apart" if each.apart else "")
        for each in exceedances(comparison.measured, comparison.predicted)
    ]  # fmt: skip
    return table(("at or above (µs)", "measured share", "predicted share", ""), rows, text=(0, 3))


def _value(value_ns: int | AtLeast | None) -> str:
    return str(value_ns) if isinstance(value_ns, AtLeast) else microseconds(value_ns)
