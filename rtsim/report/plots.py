"""The three pictures of a latency distribution: its tail, its histogram, and what it is made of.

Every function draws on the axes it is given, or the current ones, and returns them; none shows or saves anything.
Data are the result's DIST objects, histograms, or measured distributions, side by side in one picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from rtsim.measure.distribution import Distribution
from rtsim.measure.histogram import LogLinearHistogram
from rtsim.report.theme import line_style, palette

__all__ = ["CCDF_QUANTILES", "Data", "main_causes", "plot_causes", "plot_ccdf", "plot_histogram", "us_ticks"]

Data = Distribution | LogLinearHistogram | Mapping[str, Any]
"""A distribution in any of its forms; a mapping is the result JSON's DIST."""

CCDF_QUANTILES = {0.5: "p50", 0.1: "p90", 0.01: "p99", 1e-3: "p99.9", 1e-4: "p99.99", 1e-5: "p99.999", 1e-6: "p99.9999"}
_OTHER = "other causes"


def _distribution(data: Data) -> Distribution:
    if isinstance(data, Distribution):
        return data
    return data.distribution() if isinstance(data, LogLinearHistogram) else Distribution.from_dist(data)


def plot_ccdf(data: Mapping[str, Data], *, ax: Axes | None = None, legend: bool = True, **kwargs: Any) -> Axes:
    """Draw the share of samples above each latency, on log-log axes: the lower and further left, the better.

    A dot ends each line at its largest sample; an open arrow head ends one whose further samples are censored.

    Parameters
    ----------
    data
        By name, in the order of the legend; those without samples are left out.
    ax
        Where to draw; the current axes by default.
    legend
        Whether to add one.
    **kwargs
        Passed on to ``Axes.plot``.
    """
    ax = plt.gca() if ax is None else ax
    colours = palette(len(data))
    for i, (name, each) in enumerate(data.items()):
        distribution = _distribution(each)
        if len(distribution.counts) == 0:
            continue
        x, y = _ccdf_line(distribution)
        style = {"color": colours[i], "linestyle": line_style(i), "linewidth": 1.8, "label": name, **kwargs}
        (line,) = ax.plot(x, y, drawstyle="steps-post", **style)
        marker: dict[str, Any] = {"marker": ">", "fillstyle": "none"} if distribution.censored else {"marker": "o"}
        ax.plot(x[-1:], y[-1:], color=line.get_color(), markersize=5, linestyle="none", **marker)
    ax.set(xscale="log", yscale="log", xlabel="latency (µs)", ylabel="share of samples above")
    us_ticks(ax.xaxis)
    lowest = ax.get_ylim()[0]
    names = ax.secondary_yaxis("right")
    shares = [share for share in CCDF_QUANTILES if share >= lowest]
    names.set_yticks(shares, [CCDF_QUANTILES[share] for share in shares], minor=False)
    names.tick_params(which="both", length=0)
    names.yaxis.set_minor_formatter(NullFormatter())
    names.spines["right"].set_visible(False)
    ax.grid(True, which="major")
    ax.set_axisbelow(True)
    if legend and ax.get_legend_handles_labels()[0]:
        ax.legend()
    return ax


def _ccdf_line(distribution: Distribution) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return (latency in us, share above) as a stepped line of a few hundred points that ends at the last sample."""
    value, share = distribution.ccdf()
    start = max(int(distribution.lower_ns[0]), 1)
    x = np.concatenate(([start], np.maximum(value, 1))) / 1000
    y = np.concatenate(([1.0], share))
    if y[-1] == 0:
        y[-1] = y[-2]
    if distribution.max_ns is not None and not distribution.censored and distribution.resolution_ns == 1:
        x[-1] = min(x[-1], max(distribution.max_ns, 1) / 1000)
    fine = np.stack([np.round(np.log10(x) * 200), np.round(np.log10(y) * 100)])
    keep = np.concatenate(([True], (np.diff(fine, axis=1) != 0).any(axis=0)))
    keep[-1] = True
    return x[keep], y[keep]


def us_ticks(axis: Axis) -> None:
    """Label a log axis of microseconds with plain numbers, and 2 and 5 between them where there is room."""
    low, high = axis.get_view_interval()
    decades = np.log10(high / low)
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 2.5 else (1.0,), numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}".replace(",", "\u2009")))
    axis.set_minor_formatter(NullFormatter())


def plot_histogram(
    data: Mapping[str, Data],
    *,
    ax: Axes | None = None,
    limit_us: float | None = None,
    legend: bool = True,
    **kwargs: Any,
) -> Axes:
    """Draw samples per microsecond of latency as OSADL's latency plots do: linear latency, logarithmic count.

    Parameters
    ----------
    data
        By name; those without samples are left out.
    ax
        Where to draw; the current axes by default.
    limit_us
        Where the latency axis ends: by default at the largest sample, and 1000 us at most. What lies beyond is counted
        in the last bin, as a note says.
    legend
        Whether to add one.
    **kwargs
        Passed on to ``Axes.plot``.
    """
    ax = plt.gca() if ax is None else ax
    filled = {name: d for name, each in data.items() if (d := _distribution(each)).count and len(d.counts)}
    largest = max((int(d.upper_ns[-1]) / 1000 for d in filled.values()), default=1.0)
    end = int(np.ceil(min(largest, 1000.0) if limit_us is None else limit_us))
    width = max(1, -(-end // 1000))
    colours = palette(len(data))
    beyond = 0
    for i, (name, distribution) in enumerate(filled.items()):
        microsecond = (distribution.lower_ns + distribution.upper_ns - 1) // 2000
        late = microsecond >= end
        beyond += int(distribution.counts[late].sum()) + distribution.censored
        counts = np.bincount(
            np.minimum(microsecond, end - 1) // width, weights=distribution.counts, minlength=-(-end // width)
        )
        counts[-1] += distribution.censored
        style = {"color": colours[i], "linewidth": 1.2, "label": name, **kwargs}
        heights = np.where(counts > 0, counts, 0.5)  # below the axis: a logarithmic one has no zero
        ax.plot(np.arange(len(counts) + 1) * width, np.append(heights, heights[-1]), drawstyle="steps-post", **style)
    ax.set(
        yscale="log",
        xlim=(0, end),
        xlabel="latency (µs)",
        ylabel=f"samples per {width if width > 1 else ''} µs".replace("  ", " "),
    )
    ax.set_ylim(bottom=0.7)
    ax.grid(True, which="major")
    ax.set_axisbelow(True)
    if beyond:
        note = f"{beyond:,} beyond".replace(",", "\u2009")
        ax.annotate(note, (1, 0.02), xycoords="axes fraction", ha="right", va="bottom", fontsize="small")
    if legend and filled:
        ax.legend()
    return ax


def plot_causes(
    causes: Mapping[str, Mapping[str, float]], *, ax: Axes | None = None, most: int = 7, legend: bool = True
) -> Axes:
    """Draw the mean latency of each variant (or task) as a bar of its causes, the first on top.

    Parameters
    ----------
    causes
        By variant, the mean latency in ns by cause: total over samples divided by their number.
    ax
        Where to draw; the current axes by default.
    most
        Causes shown by name: the largest over all variants; the rest is drawn as one.
    legend
        Whether to add one.
    """
    ax = plt.gca() if ax is None else ax
    named = main_causes(causes, most)
    colours = [*palette(7), "#8f96a3"]
    left = np.zeros(len(causes))
    for i, cause in enumerate([*named, _OTHER]):
        lengths = np.array([_length(each, cause, named) for each in causes.values()]) / 1000
        if lengths.any():
            place = 7 if cause == _OTHER else i % 7
            hatch = "///" if i >= 7 and cause != _OTHER else None
            ax.barh(
                np.arange(len(causes)), lengths, left=left, color=colours[place], label=cause, height=0.7, hatch=hatch
            )
        left += lengths
    for row, total in enumerate(left):
        text = f"{total:.3g}" if total < 1000 else f"{total:,.0f}".replace(",", "\u2009")
        ax.annotate(text, (total, row), xytext=(4, 0), textcoords="offset points", va="center", fontsize="small")
    ax.set_yticks(np.arange(len(causes)), list(causes))
    ax.invert_yaxis()
    ax.set_xlabel("mean latency by cause (µs)")
    ax.margins(x=0.08)
    ax.tick_params(axis="y", length=0)
    ax.grid(True, axis="x")
    ax.set_axisbelow(True)
    if legend and ax.get_legend_handles_labels()[0]:
        ax.legend()
    return ax


def main_causes(causes: Mapping[str, Mapping[str, float]], most: int) -> list[str]:
    """Return the names of the `most` causes that are largest in any one variant, largest first."""
    largest: dict[str, float] = {}
    for each in causes.values():
        for cause, mean in each.items():
            largest[cause] = max(largest.get(cause, 0), mean)
    return sorted((cause for cause in largest if largest[cause] > 0), key=lambda cause: (-largest[cause], cause))[:most]


def _length(causes: Mapping[str, float], cause: str, named: list[str]) -> float:
    if cause != _OTHER:
        return float(causes.get(cause, 0))
    return float(sum(mean for name, mean in causes.items() if name not in named))
