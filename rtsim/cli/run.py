"""``rtsim run``: one scenario simulated once; latencies of every observed task, their causes, use of the CPUs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rtsim.cli.outputs import expect_writable
from rtsim.cli.progress import engine_ready, progress_shown
from rtsim.cli.tables import console, microseconds, table, wide
from rtsim.inputs.errors import InputError
from rtsim.inputs.files import write_whole
from rtsim.measure.quantiles import is_told

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from rtsim.measure.histogram import LogLinearHistogram
    from rtsim.scenario import Result, Scenario

__all__ = ["run"]

CAUSES_SHOWN = 5


def run(
    scenario: Annotated[Path, typer.Argument(help="The scenario file (YAML).", show_default=False)],
    output: Annotated[Path | None, typer.Option("--json", help="Write the whole result to this file.")] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed than the file's.", min=0)] = None,
    duration: Annotated[str | None, typer.Option(help="Another duration than the file's: 10 s, 5 min, ...")] = None,
    clock: Annotated[str, typer.Option(help="compiled, or simpy: the same events, step by step.")] = "compiled",
) -> None:
    """Simulate a scenario and show the latencies of its tasks, and where they come from."""
    from rtsim.cli.chosen import chosen_scenario
    from rtsim.scenario import simulate

    if clock not in ("compiled", "simpy"):
        raise InputError("--clock", "", f"expected compiled or simpy, found {clock!r}")
    expect_writable(output)
    chosen = chosen_scenario(scenario, seed, duration)
    engine_ready()
    begin = time.monotonic()
    with progress_shown("simulating") as progress:
        result = simulate(chosen, clock="simpy" if clock == "simpy" else "compiled", progress=progress)
    if output is not None:
        write_whole(output, json.dumps(result.to_json()) + "\n")
    _show(chosen, result, time.monotonic() - begin)


def _show(scenario: Scenario, result: Result, spent_s: float) -> None:
    out = console()
    simulated, warmup = result.duration_ns / 1e9, scenario.model.warmup / 1e9
    out.print(
        f"{simulated:g} s simulated after {warmup:g} s of warm-up, seed {scenario.model.seed}: "
        f"{result.events:,} events in {spent_s:.1f} s"
    )
    out.print(_latencies(result, out))
    out.print(_causes(result, out))
    if result.bounds:
        out.print(_bounds(result, out))
    out.print(_cpus(result, out))
    if result.lost_jobs:
        out.print(
            f"warning: {result.lost_jobs:,} arrivals of work found no room: a thread starves, its load is too low"
        )
    for warning in result.warnings:
        out.print(f"warning: {warning}")
    for sample in result.worst(1):
        out.print(f"The worst sample of {result.headline()}, released at {sample.release_ns / 1e9:.6f} s")
        out.print(f"  {sample.story}")


def _latencies(result: Result, out: Console) -> Table:
    quantiles = (0.5, 0.99, 0.999, 0.9999) if wide(out) else (0.5, 0.999)
    rows = []
    for name in result.observed():
        task = result.task(name)
        row = [name, task.policy] if wide(out) else [name]
        row += [f"{task.latency.count:,}", microseconds(task.latency.mean_ns)]
        row += [_quantile(task.latency, q) for q in quantiles]
        rows.append([*row, microseconds(task.latency.max_ns), _percent(task.cpu_time_ns, result.duration_ns)])
    names = [f"p{q * 100:g}" for q in quantiles]
    columns = ["task", *(["policy"] if wide(out) else []), "samples", "mean", *names, "max", "CPU %"]
    return table(out, "Latency, release to running (µs)", columns, rows, words=(0, 1) if wide(out) else (0,))


def _quantile(latency: LogLinearHistogram, q: float) -> str:
    return microseconds(latency.quantile(q)) if is_told(q, latency.count) else "-"


def _causes(result: Result, out: Console) -> Table:
    rows = []
    for name in result.observed():
        task = result.task(name)
        means = [(total / task.latency.count, cause) for cause, total in task.causes_ns.items() if total]
        means.sort(key=lambda item: -item[0])
        parts = [f"{cause} {microseconds(mean)}" for mean, cause in means[:CAUSES_SHOWN] if mean >= 10]
        rest = sum(mean for mean, _ in means[len(parts) :])
        rows.append([name, ", ".join(parts + ([f"the rest {microseconds(rest)}"] if rest >= 10 else []))])
    return table(out, "Where the mean comes from (µs)", ["task", "largest causes"], rows, words=(0, 1))


def _bounds(result: Result, out: Console) -> Table:
    rows = []
    for name, bound in result.bounds.items():
        limits = (bound.rtsl_ns, bound.rta_ns)
        rows.append([name, *("-" if limit is None else microseconds(limit) for limit in limits)])
    return table(out, "Upper limits (µs)", ["task", "latency (rtsl)", "response"], rows)


def _cpus(result: Result, out: Console) -> Table:
    """Return the use of the CPUs that observed host tasks may run on, and of all others together."""
    named = _concerned(result)
    rows = [[f"CPU {cpu}", *_shares([result.cpus[cpu]])] for cpu in result.cpus if cpu in named]
    others = [account for cpu, account in result.cpus.items() if cpu not in named]
    if others:
        rest = "1 other" if len(others) == 1 else f"{len(others)} others, mean"
        rows.append([rest if named else f"all {len(others)}, mean", *_shares(others)])
    return table(out, "Host CPUs (% of the time)", ["", "tasks", "IRQ", "softirq", "hardware", "idle"], rows)


def _concerned(result: Result) -> set[int]:
    named: set[int] = set()
    for guest in result.guests.values():
        placement = guest["placement"]
        named.update(placement["emulatorpin"], *placement["vcpupin"].values())
    if not result.guests:
        named.update(*(result.task(name).cpus for name in result.observed()))
    return named


def _shares(accounts: Sequence[Mapping[str, int]]) -> Iterator[str]:
    total = sum(sum(account.values()) for account in accounts)
    for kind in ("task_ns", "irq_ns", "softirq_ns", "hardware_ns", "idle_ns"):
        yield _percent(sum(account[kind] for account in accounts), total)


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.2f}" if whole else "-"
