"""``rtsim record``: what this host is and how late its tasks run, into one folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from rtsim.cli.tables import console, table
from rtsim.inputs.errors import InputError, at

__all__ = ["record"]

LONGEST_S = 7 * 24 * 3600
POLICIES = ("fifo", "rr", "other")


def record(
    folder: Annotated[
        Path | None, typer.Argument(help="Where to write; must not exist yet.", show_default=False)
    ] = None,
    duration: Annotated[str, typer.Option(help="How long each part measures.")] = "60 s",
    parts: Annotated[
        str | None,
        typer.Option(help="cyclictest, events, timerlat, osnoise [default: what this host can]", show_default=False),
    ] = None,
    cpus: Annotated[
        str | None, typer.Option(help="Where to measure [default: all we may use]", show_default=False)
    ] = None,
    interval: Annotated[str, typer.Option(help="cyclictest's interval.")] = "1 ms",
    policy: Annotated[str, typer.Option(help="cyclictest's policy: fifo, rr or other.")] = "fifo",
    priority: Annotated[int, typer.Option(help="cyclictest's priority.", min=1, max=99)] = 95,
    size: Annotated[int, typer.Option(help="How large the text of the events may become, in MiB.", min=1)] = 256,
    check: Annotated[bool, typer.Option("--check", help="Only say what this host can record.")] = False,
) -> None:
    """Record this host: its topology, kernel and settings, cyclictest, kernel events and rtla, with a manifest."""
    from rtsim.traces.recorder import Plan, record

    able = _able(parts)
    if check:
        _show(able)
        return
    if folder is None:
        raise InputError("rtsim record", "FOLDER", "expected a folder to write, or --check")
    if policy not in POLICIES:
        raise InputError("--policy", "", f"expected one of {', '.join(POLICIES)}, found {policy!r}")
    plan = Plan(
        _chosen(parts, able), _seconds(duration), _cpus(cpus), _microseconds(interval), policy,
        0 if policy == "other" else priority, size * 1024 * 1024,
    )  # fmt: skip
    written = record(folder, plan, lambda what: print(what, file=sys.stderr))
    for warning in written["warnings"]:
        sys.stderr.write(f"warning: {warning}\n")
    typer.echo(f"Recorded: {', '.join(written['parts'])} in {folder}")


def _able(parts: str | None) -> dict[str, str]:
    from rtsim.traces.recorder import PARTS, check

    for part in (parts or "").split(",") if parts is not None else ():
        if part.strip() not in PARTS:
            raise InputError("--parts", "", f"expected some of {', '.join(PARTS)}, found {part.strip()!r}")
    return check()


def _chosen(parts: str | None, able: dict[str, str]) -> tuple[str, ...]:
    """Return the parts asked for, or those this host can record; what was asked for by name must work."""
    if parts is None:
        possible = tuple(part for part, hindrance in able.items() if not hindrance)
        if not possible:
            raise InputError("rtsim record", "", f"expected something to record: {'; '.join(able.values())}")
        return possible
    chosen = tuple(dict.fromkeys(part.strip() for part in parts.split(",")))
    for part in chosen:
        if able[part]:
            raise InputError("--parts", part, f"expected a host that can record it: {able[part]}")
    return chosen


def _seconds(duration: str) -> int:
    from rtsim.inputs.units import parse_duration

    with at("--duration"):
        ns = parse_duration(duration)
    if ns % 1_000_000_000 or not 0 < ns <= LONGEST_S * 1_000_000_000:
        raise InputError("--duration", "", f"expected whole seconds, up to a week, found {duration!r}")
    return ns // 1_000_000_000


def _microseconds(interval: str) -> int:
    from rtsim.inputs.units import parse_duration

    with at("--interval"):
        ns = parse_duration(interval)
    if ns % 1000 or not 1000 <= ns <= 1_000_000_000:
        raise InputError("--interval", "", f"expected whole microseconds, up to 1 s, found {interval!r}")
    return ns // 1000


def _cpus(cpus: str | None) -> tuple[int, ...]:
    from rtsim.inputs.cpulist import format_cpulist, parse_cpulist

    usable = os.sched_getaffinity(0)
    if cpus is None:
        return tuple(sorted(usable))
    with at("--cpus"):
        chosen = parse_cpulist(cpus)
    if not chosen or not set(chosen) <= usable:
        raise InputError("--cpus", "", f"expected some of {format_cpulist(usable)}, found {cpus!r}")
    return chosen


def _show(able: dict[str, str]) -> None:
    out = console()
    rows = [(part, hindrance or "yes") for part, hindrance in able.items()]
    out.print(table(out, "What this host can record", ("part", ""), rows, words=(0, 1)))
