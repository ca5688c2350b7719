"""A report as one HTML file that needs nothing else: of one result, or of a comparison of variants.

It is made from the JSON that `rtsim run` and `rtsim compare` write, not from live objects, so that a report can be
made again later, elsewhere. Everything from the JSON is escaped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from rtsim.inputs.errors import InputError
from rtsim.inputs.files import read_text, write_whole
from rtsim.measure.comparison import shared_warnings
from rtsim.measure.quantiles import is_told, quantile_name
from rtsim.report.levers import levers_page
from rtsim.report.markup import Html, document, escape, folded, microseconds, share, table
from rtsim.report.parts import (
    causes_figure,
    ccdf_figure,
    histogram_figure,
    mean_causes,
    provenance,
    scenario_section,
    stories,
    warnings,
)

__all__ = ["comparison_page", "ranking_table", "read_result", "report_page", "result_page", "write_report"]

Json = Mapping[str, Any]

MAX_RESULT_BYTES = 512 * 1024**2
"""Histograms of many variants are long; configuration files have a tighter limit."""

_INTERVALS = (
    "Below each quantile its 95\u00a0% confidence interval, samples taken as independent; "
    "“?” where there are too few samples for an upper end, “–” where the quantile would be the largest sample itself."
)
_LIMITS = "What the parts that this run has met add up to in the worst order; another run may meet longer ones."
_MOST_ROWS = 24
_SHOWN = ("0.5", "0.99", "0.999", "0.9999", "0.99999")


def write_report(source: str | os.PathLike[str] | Json, path: str | os.PathLike[str]) -> None:
    """Write the report of a result or comparison, given as JSON file or as the object itself.

    Raises
    ------
    InputError
        The source is neither, or `path` cannot be written.
    """
    if isinstance(source, Mapping):
        write_whole(path, report_page(source))
    else:
        write_whole(path, report_page(read_result(source), os.fspath(source)))


def read_result(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the JSON of a result or comparison.

    Raises
    ------
    InputError
        The file cannot be read or is no JSON object.
    """
    source = os.fspath(path)
    try:
        data = json.loads(read_text(path, limit=MAX_RESULT_BYTES))
    except json.JSONDecodeError as error:
        raise InputError(source, f"line {error.lineno}", f"expected JSON: {error.msg}") from None
    except (RecursionError, ValueError):
        raise InputError(source, "", "expected a result, found nesting or numbers it cannot have") from None
    if not isinstance(data, dict):
        raise InputError(source, "", "expected the JSON object of a result or comparison")
    return data


def report_page(data: Json, source: str = "result") -> str:
    """Return the page of a result or comparison.

    Raises
    ------
    InputError
        `data` is neither, of another schema version, or lacks a part.
    """
    if data.get("schema") != 1:
        raise InputError(source, "schema", f"expected 1, found {data.get('schema')!r}")
    if not ("rows" in data and "variants" in data) and "tasks" not in data and "levers" not in data:
        raise InputError(source, "", "expected the tasks of a result, or the rows and variants of a comparison")
    try:
        if "levers" in data:
            return levers_page(data)
        return comparison_page(data) if "variants" in data else result_page(data)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(source, "", f"expected a complete result: {reason}") from None


# --- one result -------------------------------------------------------------------------------------------------------


def result_page(result: Json) -> str:
    """Return the page of one result: latencies of all tasks, tails, causes, worst samples, CPUs, bounds, scenario."""
    tasks: Json = result["tasks"]
    observed = _observed(tasks)
    title = "Predicted scheduling latency"
    if observed:
        title += f" of {_headline(tasks)}"
    parts = [Html(f"<header><h1>{escape(title)}</h1>{provenance(result['rtsim'], result['scenario'])}</header>")]
    parts += [Html("<h2>Latency (µs)</h2>"), _latencies(tasks), Html(f'<p class="quiet">{_INTERVALS}</p>')]
    parts.append(warnings(_told(result)))
    latencies = {name: task["latency"] for name, task in observed.items()}
    causes = {name: each for name, task in observed.items() if (each := mean_causes(task))}
    if latencies:
        parts.append(Html("<h2>The tail</h2>"))
        parts.append(ccdf_figure(latencies, "Share of samples above each latency; a dot marks the largest sample."))
        parts.append(histogram_figure(latencies, "Samples per microsecond of latency."))
    if causes:
        parts.append(Html("<h2>Where the time goes</h2>"))
        parts.append(causes_figure(causes, "Mean latency by cause; the parts of a bar sum to the mean."))
    parts += _worst_sections({name: task["worst"] for name, task in observed.items() if task.get("worst")})
    parts += _bounds(result.get("bounds") or {}, tasks)
    parts += _cpus(result.get("cpus") or {})
    parts += [Html("<h2>Scenario</h2>"), scenario_section(result["scenario"])]
    return document(title, Html("".join(parts)))


def _observed(tasks: Json, most: int = 12) -> dict[str, Any]:
    """Return the tasks whose samples were kept with causes; without any, all that have latencies."""
    with_latency = {name: task for name, task in tasks.items() if task["latency"]["count"]}
    kept = {name: task for name, task in with_latency.items() if task.get("worst") or task.get("causes_ns")}
    return dict(list((kept or with_latency).items())[:most])


def _told(result: Json) -> list[str]:
    """Return the warnings of a result."""
    told = result.get("warnings") or []
    if not isinstance(told, list) or not all(isinstance(each, str) for each in told):
        raise TypeError("warnings are no list of texts")
    return told


def _headline(tasks: Json) -> str:
    """Return the task most people look at first: a cyclictest, else the first one with samples."""
    measured = [name for name, task in tasks.items() if task["latency"]["count"]]
    return next((name for name in measured if name.rpartition("/")[2] == "cyclictest"), measured[0])


def _latencies(tasks: Json) -> Html:
    """Return the table of the tasks with samples, the told ones first; without samples, or of many, they are folded."""
    measured = [name for name, task in tasks.items() if task["latency"]["count"]]
    measured.sort(key=lambda name: not (tasks[name].get("worst") or tasks[name].get("causes_ns")))
    first = {name: tasks[name] for name in measured[:_MOST_ROWS]}
    rest = {name: task for name, task in tasks.items() if name not in first}
    return Html(_latency_table(first) + (folded(f"{len(rest)} more tasks", _latency_table(rest)) if rest else ""))


def _latency_table(tasks: Json) -> Html:
    head = [
        "task",
        "policy",
        "CPUs",
        "samples",
        "min",
        "mean",
        *(quantile_name(float(q)) for q in _SHOWN),
        "max",
        "CPU time",
    ]
    rows = []
    for name, task in tasks.items():
        latency = task["latency"]
        quantiles = [_with_interval(latency, q) for q in _SHOWN]
        ends = [microseconds(latency[key]) for key in ("min_ns", "mean_ns")]
        rows.append(
            [name, task.get("policy", ""), task.get("cpus", ""), f"{latency['count']:,}".replace(",", "\u202f"), *ends,
             *quantiles, microseconds(latency["max_ns"]), share(task.get("cpu_share"))]
        )  # fmt: skip
    return table(head, rows, kind="cards", text=(0, 1, 2))


def _with_interval(latency: Json, quantile: str) -> Html:
    if not is_told(float(quantile), latency["count"]):
        return escape(microseconds(None))
    value = latency["quantiles_ns"].get(quantile)
    low, high = (latency.get("quantiles_ci_ns") or {}).get(quantile) or (None, None)
    if value is None or low is None:
        return escape(microseconds(value))
    note = f"{microseconds(low)} to {'?' if high is None else microseconds(high)}"
    return Html(f'{microseconds(value)}<span class="note">{note}</span>')


def _worst_sections(worst: Mapping[str, Sequence[Json]]) -> list[Html]:
    if not worst:
        return []
    sections = [folded(name, stories(samples), opened=i == 0) for i, (name, samples) in enumerate(worst.items())]
    return [Html("<h2>The worst samples</h2>"), *sections]


def _bounds(bounds: Json, tasks: Json) -> list[Html]:
    if not bounds:
        return []
    rows = []
    for name, bound in bounds.items():
        largest = (tasks.get(name) or {"latency": {"max_ns": None}})["latency"]["max_ns"]
        rows.append([name, microseconds(largest), *(microseconds(bound.get(key)) for key in ("rtsl_ns", "rta_ns"))])
    return [Html("<h2>Upper limits (µs)</h2>"), Html(f'<p class="quiet">{_LIMITS}</p>'),
            table(["task", "largest sample", "rtsl", "response-time analysis"], rows)]  # fmt: skip


def _cpus(cpus: Json) -> list[Html]:
    if not cpus:
        return []
    kinds = ("task_ns", "irq_ns", "softirq_ns", "hardware_ns", "idle_ns")
    rows = []
    for cpu, spent in cpus.items():
        total = sum(spent.get(kind, 0) for kind in kinds)
        rows.append([cpu, *(share(spent.get(kind, 0) / total if total else None) for kind in kinds)])
    return [Html("<h2>What the CPUs did</h2>"), table(["CPU", "tasks", "IRQ", "softirq", "hardware", "idle"], rows)]


# --- a comparison -----------------------------------------------------------------------------------------------------


def comparison_page(comparison: Json) -> str:
    """Return the page of a comparison: the ranking with its price, tails, causes, worst samples, scenario."""
    rank_by = comparison["rank_by"]
    what = f"{quantile_name(rank_by['quantile'])} latency of {rank_by['task']}"
    title = f"Comparison by {what}"
    rows, variants = comparison["rows"], comparison["variants"]
    shown = {row["name"]: variants[row["name"]] for row in rows if row["name"] in variants and row["rank"] is not None}
    tasks = {name: task for name, result in shown.items() if (task := result["tasks"].get(rank_by["task"]))}
    scenario = next((result["scenario"] for result in shown.values()), None)
    latencies = {name: task["latency"] for name, task in tasks.items()}
    causes = {name: each for name, task in tasks.items() if (each := mean_causes(task))}
    parts = [Html(f"<header><h1>{escape(title)}</h1>{_verdict(rows, what)}</header>"), ranking_table(comparison)]
    parts.append(
        Html(
            '<p class="quiet">Every variant saw the same noise; differences are paired over replications, with '
            "intervals at 95\u00a0% over the whole table. Variants whose difference may be zero are tied.</p>"
        )
    )
    parts.append(warnings(shared_warnings({name: _told(result) for name, result in shown.items()})))
    if latencies:
        parts.append(Html("<h2>The tails</h2>"))
        parts.append(
            ccdf_figure(
                latencies, f"{rank_by['task']}: share of samples above each latency; dots mark the largest sample."
            )
        )
    if causes:
        parts.append(Html("<h2>Where the time goes</h2>"))
        parts.append(causes_figure(causes, f"{rank_by['task']}: mean latency by cause, best variant on top."))
    parts += _worst_sections({name: task["worst"] for name, task in tasks.items() if task.get("worst")})
    parts += [Html("<h2>Scenario</h2>"), provenance(comparison["rtsim"], scenario, {"variants": len(rows)})]
    parts += [folded(name, scenario_section(result["scenario"])) for name, result in shown.items()]
    return document(title, Html("".join(parts)))


def _verdict(rows: Sequence[Json], what: str) -> Html:
    ranked = [row for row in rows if row["rank"] is not None]
    if not ranked:
        return Html('<p class="lead">Nova refuses every variant.</p>')
    best = ranked[0]
    shared = [row["name"] for row in ranked if row["rank"] == best["rank"] and row["name"] in best["tied_with"]]
    value = "no sample at all" if best["value_ns"] is None else f"{microseconds(best['value_ns'])} µs"
    text = f"Best {what}: <strong>{escape(best['name'])}</strong>, {value}."
    if shared:
        text += f" Tied with it: {escape('; '.join(shared))}."
    return Html(f'<p class="lead">{text}</p>')


def ranking_table(comparison: Json) -> Html:
    """Return the ranked table alone, as notebooks show it."""
    quantile = quantile_name(comparison["rank_by"]["quantile"])
    head = [
        "variant",
        "rank",
        f"{quantile} (µs)",
        "difference to best (µs)",
        "host CPUs spent",
        "vCPUs for the workload",
        "why",
    ]
    rows = []
    for row in comparison["rows"]:
        price = [_whole(row.get("cpus_spent")), _whole(row.get("workload_vcpus"))]
        if row["rank"] is None:
            rows.append(
                [row["name"], "refused", "–", "–", *price, Html(f'<span class="bad">{escape(row["refused"])}</span>')]
            )
            continue
        name = escape(row["name"])
        if row["tied_with"]:
            name = Html(f'{name} <span class="note">tied with {escape("; ".join(row["tied_with"]))}</span>')
        value = "no sample" if row["value_ns"] is None else microseconds(row["value_ns"])
        rows.append([name, row["rank"], _noted(value, row["ci_ns"]),
                     "best" if row is comparison["rows"][0] else _difference(row), *price, row["why"]])  # fmt: skip
    return table(head, rows, kind="cards", text=(0, 6))


def _difference(row: Json) -> Html:
    return _noted(microseconds(row["difference_ns"], sign=True), row["difference_ci_ns"], sign=True)


def _noted(value: str, interval: Sequence[float] | None, *, sign: bool = False) -> Html:
    if interval is None:
        return escape(value)
    low, high = (microseconds(end, sign=sign) for end in interval)
    return Html(f'{escape(value)} <span class="note">{low} to {high}</span>')


def _whole(value: int | None) -> str:
    return "–" if value is None else str(value)
