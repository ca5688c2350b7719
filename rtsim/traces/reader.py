"""Any file that a measuring tool wrote: which tool it was is seen from how the file begins."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator

import pandas as pd

from rtsim.inputs.errors import InputError
from rtsim.traces.cyclictest import read_cyclictest, verbose_samples
from rtsim.traces.hwlatdetect import hwlat_samples, read_hwlatdetect
from rtsim.traces.lines import first_text, opened_text
from rtsim.traces.measured import Measured, Unit
from rtsim.traces.oslat import read_oslat
from rtsim.traces.rtapp import read_rtapp, rtapp_samples
from rtsim.traces.rtla import read_rtla
from rtsim.traces.samples import sample_frames

__all__ = ["iter_samples", "read_measured"]

_READERS: tuple[tuple[str, re.Pattern[str], Callable[..., Measured]], ...] = (
    ("rtla", re.compile(r"# RTLA |Timer Latency *$|Operating System Noise *$", re.MULTILINE), read_rtla),
    ("oslat", re.compile(r"^oslat V|\"cmdline:?\": *\"\S*oslat\b|^ *Core:", re.MULTILINE), read_oslat),
    ("hwlatdetect", re.compile(r"^hwlatdetect:|^ts: *\d+\.\d{9}, *inner:", re.MULTILINE), read_hwlatdetect),
    ("rt-app", re.compile(r"^# *Policy|^#idx", re.MULTILINE), read_rtapp),
)


def read_measured(path: str | os.PathLike[str], *, unit: Unit | None = None) -> Measured:
    """Read the output of cyclictest, rtla timerlat or osnoise, oslat, hwlatdetect or rt-app.

    Parameters
    ----------
    unit
        Of a cyclictest text, which does not say.

    Raises
    ------
    InputError
        The file is none of these; or as the tool's reader.
    """
    tool, reader = _tool(path)
    return read_cyclictest(path, unit=unit) if tool == "cyclictest" else reader(path)


def iter_samples(path: str | os.PathLike[str], *, unit: Unit = "us") -> Iterator[pd.DataFrame]:
    """Yield the samples of ``cyclictest -v``, rt-app or hwlatdetect as tidy frames, in bounded memory.

    Columns: time_ns (missing where the tool prints no time), thread, kind, number, value_ns.

    Raises
    ------
    InputError
        The file is none of these; or as the tool's reader.
    """
    tool, _ = _tool(path)
    source = os.fspath(path)
    with opened_text(path, "a tool's output") as stream:
        if tool == "rt-app":
            yield from sample_frames(rtapp_samples(source, stream))
        elif tool == "hwlatdetect":
            yield from sample_frames(hwlat_samples(source, stream))
        elif tool == "cyclictest":
            yield from sample_frames(verbose_samples(source, stream, unit))
        else:
            raise InputError(source, "", f"expected a file with single samples, found {tool}'s")


def _tool(path: str | os.PathLike[str]) -> tuple[str, Callable[..., Measured]]:
    with opened_text(path, "a tool's output") as stream:
        start = first_text(stream)
    for tool, pattern, reader in _READERS:
        if pattern.search(start):
            return tool, reader
    return "cyclictest", read_cyclictest
