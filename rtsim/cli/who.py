"""``rtsim who``: what can take a CPU from the thread that has it, and what would keep it away."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rtsim.cli.outputs import expect_writable
from rtsim.cli.tables import console, microseconds, table, wide
from rtsim.inputs.files import write_whole

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from rtsim.scenario.cpu_sources import CpuSource, HostTask
    from rtsim.scenario.who import Who

__all__ = ["who"]

ROOM_FOR_WORDS = 116
"""Columns from which what a source does fits beside it."""
PREEMPTS = {"yes": "takes it", "turns": "takes turns", "no": "waits"}


def who(
    host: Annotated[Path, typer.Argument(help="A scenario file, or its host part alone (YAML).", show_default=False)],
    cpu: Annotated[int, typer.Option(help="The CPU.", show_default=False)],
    policy: Annotated[
        str | None, typer.Option(help="Policy of the thread that has it: fifo, rr, other, batch, idle.")
    ] = None,
    priority: Annotated[int | None, typer.Option(help="Its realtime priority, 1 to 99.")] = None,
    output: Annotated[Path | None, typer.Option("--json", help="Write everything to this file.")] = None,
) -> None:
    """Show what can run on a CPU of the host, what preempts the thread there, and which kernel arguments remove it.

    Without --policy and --priority the thread is the strongest one that the scenario pins to that CPU, else a
    realtime vCPU (fifo, 1).
    """
    from rtsim.scenario.host_file import read_host

    expect_writable(output)
    known, tasks = read_host(host)
    known.topology.cpu(cpu)
    own = None if policy is not None or priority is not None else _pinned(cpu, tasks)
    if own is not None:
        policy, priority = own.policy, own.priority
    policy = policy or "fifo"
    if priority is None:
        priority = 1 if policy in ("fifo", "rr") else 0
    found = known.who_can_preempt(cpu, policy, priority, [task for task in tasks if task is not own])
    if output is not None:
        write_whole(output, json.dumps({**found.to_json(), "thread": own.name if own else None}) + "\n")
    _show(found, own.name if own else None)


def _pinned(cpu: int, tasks: Sequence[HostTask]) -> HostTask | None:
    """Return the strongest thread that may run on `cpu` alone."""
    here = [task for task in tasks if task.cpus == {cpu}]
    realtime = {"fifo": 1, "rr": 1}
    return max(here, key=lambda task: (realtime.get(task.policy, 0), task.priority), default=None)


def _show(found: Who, thread: str | None) -> None:
    out = console()
    whom = f"{thread}, {_schedule(found.policy, found.priority)}" if thread else _schedule(found.policy, found.priority)
    out.print(_sources(found, f"What runs on CPU {found.cpu} beside {whom}", out))
    if found.arguments:
        rows = [[argument, ", ".join(removed)] for argument, removed in found.arguments.items()]
        title = f"What would keep it off CPU {found.cpu}"
        out.print(table(out, title, ["argument or setting", "removes"], rows, words=(0, 1)))
    else:
        out.print(f"No kernel argument or setting would remove anything more from CPU {found.cpu}.")
    for warning in found.warnings:
        out.print(f"warning: {warning}")


def _sources(found: Who, title: str, out: Console) -> Table:
    columns = ["source", "class", "policy", "the CPU", "per s", "mean", "max", "what it does"]
    shown = [name for name in columns if name not in _left_out(out)]
    rows = []
    for source, taken in found.sources:
        row = dict(zip(columns, _cells(source, PREEMPTS[taken]), strict=True))
        rows.append([row[name] for name in shown])
    words = [number for number, name in enumerate(shown) if name not in ("per s", "mean", "max")]
    return table(out, f"{title} (µs)", shown, rows, words=words)


def _left_out(out: Console) -> tuple[str, ...]:
    """Return the columns there is no room for."""
    if not wide(out):
        return "policy", "what it does"
    return ("what it does",) if out.width < ROOM_FOR_WORDS else ()


def _cells(source: CpuSource, taken: str) -> Iterator[str]:
    yield source.name
    yield source.kind
    yield _schedule(source.policy, source.priority)
    yield taken
    yield "on demand" if source.rate_hz is None else f"{source.rate_hz:.3g}"
    yield microseconds(source.mean_ns)
    yield microseconds(source.max_ns)
    yield source.does


def _schedule(policy: str | None, priority: int | None) -> str:
    """Return a policy as people say it: fifo 50, other, other -20 (nice)."""
    if policy in ("fifo", "rr"):
        return f"{policy} {priority}"
    return f"{policy} {priority:+d}" if policy and priority else policy or ""
