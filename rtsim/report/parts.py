"""Sections that a report of one result and a report of a comparison share: causes, stories, scenario, provenance."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from rtsim.report.markup import Html, escape, folded, microseconds, picture
from rtsim.report.plots import main_causes, plot_causes, plot_ccdf, plot_histogram

__all__ = [
    "causes_figure",
    "ccdf_figure",
    "histogram_figure",
    "mean_causes",
    "provenance",
    "scenario_section",
    "stories",
    "warnings",
]

Json = Mapping[str, Any]


def mean_causes(task: Json) -> dict[str, float]:
    """Return the mean latency of a task by cause, in ns: the totals over its samples by their number."""
    count = task["latency"]["count"]
    return {cause: total / count for cause, total in (task.get("causes_ns") or {}).items() if total} if count else {}


def _legend(figure: Figure, narrow: bool, entries: int) -> None:
    """Put the legend beside a wide picture and below a narrow one, where it covers no line."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if not handles:
        return
    if narrow:
        figure.legend(handles, labels, loc="outside lower center", ncols=1 if entries > 2 else 2, fontsize="small")
    else:
        figure.legend(handles, labels, loc="outside right upper", handlelength=3)


def ccdf_figure(latencies: Mapping[str, Json], caption: str) -> Html:
    """Return the tails of all `latencies` (DIST by name) in one picture."""

    def draw(figure: Figure, narrow: bool) -> None:
        plot_ccdf(latencies, ax=figure.subplots(), legend=False)
        _legend(figure, narrow, len(latencies))

    return picture(draw, caption, narrow_height=4.2 + 0.2 * len(latencies))


def histogram_figure(latencies: Mapping[str, Json], caption: str) -> Html:
    """Return the histograms of all `latencies` (DIST by name) in one picture."""

    def draw(figure: Figure, narrow: bool) -> None:
        plot_histogram(latencies, ax=figure.subplots(), legend=False)
        _legend(figure, narrow, len(latencies))

    return picture(draw, caption, height=3.6, narrow_height=3.8 + 0.2 * len(latencies))


def causes_figure(causes: Mapping[str, Mapping[str, float]], caption: str) -> Html:
    """Return a bar of mean latency by cause for each variant or task."""

    def draw(figure: Figure, narrow: bool) -> None:
        ax = figure.subplots()
        plot_causes(causes, ax=ax, legend=False)
        if narrow:
            ax.set_yticks(range(len(causes)), [textwrap.fill(name, 14) for name in causes])
        _legend(figure, narrow, 8)

    bars = len(causes)
    legend = 0.2 * (len(main_causes(causes, 7)) + 1)
    return picture(draw, caption, height=max(1.0 + 0.42 * bars, 2.6), narrow_height=0.9 + 0.6 * bars + legend)


def stories(worst: Sequence[Json], limit: int = 10) -> Html:
    """Return the worst samples as a list: how late, when, and who ran instead."""
    if not worst:
        return Html('<p class="quiet">No sample was kept.</p>')
    items = []
    for sample in sorted(worst, key=lambda each: -each["latency_ns"])[:limit]:
        told = sample.get("story") or ""
        text = told if isinstance(told, str) else "\n".join(map(str, told))
        causes = sorted((sample.get("causes_ns") or {}).items(), key=lambda item: -item[1])
        parts = ", ".join(f"{cause} {microseconds(value)}" for cause, value in causes if value)
        body = f"<pre>{escape(text)}</pre>" if text else ""
        items.append(
            f"<li><strong>{microseconds(sample['latency_ns'])} µs</strong> released at "
            f'{sample["release_ns"] / 1e9:.6f} s<span class="note">{escape(parts)}</span>{body}</li>'
        )
    return Html(f'<ol class="stories">{"".join(items)}</ol>')


def scenario_section(scenario: object) -> Html:
    """Return the scenario as it was run, folded."""
    text = json.dumps(scenario, indent=2, ensure_ascii=False)
    return folded("Scenario as it was run", Html(f"<pre>{escape(text)}</pre>"))


def warnings(told: Sequence[str]) -> Html:
    """Return what makes a result doubtful as a list; nothing where there is nothing."""
    items = "".join(f"<li>{escape(warning)}</li>" for warning in told)
    return Html(f"<h2>Warnings</h2><ul>{items}</ul>") if told else Html("")


def provenance(version: object, scenario: object, more: Mapping[str, object] | None = None) -> Html:
    """Return what made these numbers: version, seed, duration, host kernel."""
    facts: dict[str, object] = {"rtsim": version}
    if isinstance(scenario, Mapping):
        host = scenario.get("host")
        kernel = host.get("kernel") if isinstance(host, Mapping) else None
        if isinstance(kernel, Mapping):
            facts["host kernel"] = " ".join(
                str(kernel[key]) for key in ("release", "preempt", "cmdline") if kernel.get(key)
            )
        if isinstance(host, Mapping) and isinstance(host.get("profile"), str):
            facts["profile"] = host["profile"]
        facts |= {key: scenario[key] for key in ("duration", "warmup", "seed") if key in scenario}
    facts |= more or {}
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    return Html(f"<dl>{items}</dl>")
