"""``rtsim pin``: where Nova puts a guest, or what a libvirt domain says; and the same for many cases at once."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from rtsim.inputs.errors import InputError
from rtsim.kernel import CommandLine, Isolation
from rtsim.nova.batch import LONGEST_LINE, place_lines
from rtsim.nova.conf import NovaConf
from rtsim.nova.cpuspec import format_cpu_spec
from rtsim.nova.errors import NovaRefusal
from rtsim.nova.flavor import Flavor, Image
from rtsim.nova.hazards import host_warnings
from rtsim.nova.host import ComputeHost
from rtsim.nova.placement import Placement
from rtsim.nova.rules import Release
from rtsim.topology import read_capabilities

__all__ = ["pin"]

FORMATS = ("table", "json", "xml")


def pin(
    host: Annotated[Path | None, typer.Option(help="Host: what `virsh capabilities` prints.")] = None,
    flavor: Annotated[Path | None, typer.Option(help="Flavor: what `openstack flavor show -f json` prints.")] = None,
    image: Annotated[Path | None, typer.Option(help="Image: what `openstack image show -f json` prints.")] = None,
    nova_conf: Annotated[Path | None, typer.Option(help="The compute node's nova.conf.")] = None,
    release: Annotated[
        str | None, typer.Option(help="Nova's release: ocata, 2026.2, 34, ... [default: the newest]")
    ] = None,
    domain: Annotated[
        Path | None, typer.Option(help="Show this libvirt domain XML instead of placing a flavor.")
    ] = None,
    output: Annotated[str, typer.Option("--format", help="table, json or xml.")] = "table",
    cmdline: Annotated[
        str | None, typer.Option(help="The host kernel's command line: warns of pins that it does not isolate.")
    ] = None,
    rt_runtime_us: Annotated[
        int | None, typer.Option(help="The host's sched_rt_runtime_us: warns of realtime throttling.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say for each host cell why it was or was not taken.")
    ] = False,
    canonical: Annotated[
        bool, typer.Option("--canonical", help="Lowest free core first, instead of Nova's order by hashes.")
    ] = False,
    batch: Annotated[
        Path | None, typer.Option(help="A file of cases, one JSON object a line (- for standard input).")
    ] = None,
) -> None:
    """Show where Nova places a guest: CPUs of its vCPUs and emulator, realtime priorities, memory."""
    chosen = Release.parse(release)
    if batch is not None:
        _only(batch="--batch", others={"--host": host, "--flavor": flavor, "--domain": domain, "--image": image})
        _run_batch(batch, chosen)
        return
    if output not in FORMATS:
        raise InputError("--format", "", f"expected one of {', '.join(FORMATS)}, found {output!r}")
    if domain is not None:
        _only(batch="--domain", others={"--host": host, "--flavor": flavor, "--image": image})
        _show(Placement.from_domain_xml(domain), output, explain)
        return
    if host is None or flavor is None:
        raise InputError("rtsim pin", "", "expected --host and --flavor, or --domain, or --batch")
    conf = NovaConf.from_file(nova_conf) if nova_conf else NovaConf()
    topology = read_capabilities(host)
    node = ComputeHost.from_topology(topology, conf, chosen)
    wanted = Flavor.from_openstack(flavor)
    try:
        placement = node.place(
            wanted, Image.from_openstack(image) if image else None, explain=explain, canonical=canonical
        )
    except NovaRefusal as refusal:
        for line in refusal.explain:
            typer.echo(line, err=True)
        raise
    isolated = None if cmdline is None else Isolation.of(CommandLine(cmdline, "--cmdline"), topology.cpu_ids).domain
    warnings = (*placement.warnings, *host_warnings(placement, isolated, rt_runtime_us))
    _show(replace(placement, warnings=warnings), output, explain)


def _only(batch: str, others: dict[str, Path | None]) -> None:
    """Refuse options that an input does not go with."""
    given = [name for name, value in others.items() if value is not None]
    if given:
        raise InputError("rtsim pin", given[0], f"expected {batch} alone")


def _show(placement: Placement, output: str, explain: bool) -> None:
    if output == "json":
        typer.echo(json.dumps(_as_json(placement, explain), indent=2))
        return
    if output == "xml":
        for fragment in placement.to_xml().values():
            if fragment:
                typer.echo(fragment)
    else:
        for left, right in _rows(placement):
            typer.echo(f"{left:<10}  {right}")
    for line in (*placement.explanation, *(f"warning: {text}" for text in placement.warnings)):
        typer.echo(line, err=output == "xml")


def _listed(cpus: tuple[int, ...]) -> str:
    return format_cpu_spec(cpus) if cpus else "any"


def _rows(placement: Placement) -> Iterator[tuple[str, str]]:
    for vcpu, cpus in placement.vcpu_pins.items():
        policy, priority = placement.rt_priorities.get(vcpu, (placement.rt_policy, placement.rt_priority))
        realtime = f", SCHED_{policy.upper()} {priority}" if vcpu in placement.rt_vcpus else ""
        yield f"vCPU {vcpu}", f"CPU {_listed(cpus)}{'' if vcpu in placement.pinned else ' (floats)'}{realtime}"
    yield "emulator", f"CPU {_listed(placement.emulator_cpus)}"
    for number, cpus in placement.iothreads.items():
        yield f"iothread {number}", f"CPU {_listed(cpus)}"
    for number, cell in enumerate(placement.cells):
        pages = f", pages of {cell.page_size_kib} KiB" if cell.page_size_kib else ""
        where = "any" if cell.host_id is None else cell.host_id
        yield f"cell {number}", f"host cell {where}, {cell.memory_kib // 1024} MiB, vCPUs {_listed(cell.vcpus)}{pages}"
    memory = [word for word, holds in (("locked", placement.locked), ("not shared", placement.nosharepages)) if holds]
    yield "memory", f"{placement.memory_kib // 1024} MiB" + "".join(f", {word}" for word in memory)
    if placement.cpu_topology:
        sockets, cores, threads = placement.cpu_topology
        yield "topology", f"{sockets} sockets x {cores} cores x {threads} threads"
    if placement.cpu_shares is not None:
        yield "shares", str(placement.cpu_shares)


def _as_json(placement: Placement, explain: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "name": placement.name,
        "vcpus": placement.vcpus,
        "memory_kib": placement.memory_kib,
        "vcpu_pins": {str(vcpu): list(cpus) for vcpu, cpus in placement.vcpu_pins.items()},
        "pinned": sorted(placement.pinned),
        "emulator_cpus": list(placement.emulator_cpus),
        "rt_vcpus": list(placement.rt_vcpus),
        "rt_policy": placement.rt_policy,
        "rt_priority": placement.rt_priority,
        "cells": [
            {
                "host_cell": cell.host_id,
                "vcpus": list(cell.vcpus),
                "memory_kib": cell.memory_kib,
                "page_size_kib": cell.page_size_kib,
            }
            for cell in placement.cells
        ],
        "cpu_topology": placement.cpu_topology
        and dict(zip(("sockets", "cores", "threads"), placement.cpu_topology, strict=True)),
        "iothreads": {str(number): list(cpus) for number, cpus in placement.iothreads.items()},
        "cpu_shares": placement.cpu_shares,
        "locked": placement.locked,
        "nosharepages": placement.nosharepages,
        "xml": placement.to_xml(),
        "warnings": list(placement.warnings),
    }
    if explain:
        shown["explanation"] = list(placement.explanation)
    return shown


def _run_batch(path: Path, release: Release) -> None:
    """Write one result line for each case; the file is never held whole."""
    try:
        stream = sys.stdin.buffer if str(path) == "-" else path.open("rb")
    except OSError as error:
        raise InputError(os.fspath(path), "", f"expected a readable file: {error.strerror}") from None
    with stream:
        for result in place_lines(_lines(stream, os.fspath(path)), release):
            sys.stdout.write(result)
            sys.stdout.write("\n")
        sys.stdout.flush()


def _lines(stream: BinaryIO, name: str) -> Iterator[bytes]:
    """Yield lines, each cut (and so refused) beyond the longest allowed."""
    while True:
        try:
            line = stream.readline(LONGEST_LINE + 1)
            if not line:
                return
            rest = line
            while len(rest) > LONGEST_LINE and not rest.endswith(b"\n"):
                rest = stream.readline(LONGEST_LINE + 1)
        except OSError as error:
            raise InputError(name, "", f"expected a readable file: {error.strerror}") from None
        yield line
