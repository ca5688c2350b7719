"""Files that a command will write, looked at before it starts: no long run ends at a folder that is not there."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtsim.inputs.errors import InputError
from rtsim.inputs.files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["expect_outputs", "expect_writable", "write_outputs", "write_picture"]

PICTURES = (".png", ".svg", ".pdf")


def expect_writable(*paths: Path | None) -> None:
    """Refuse files that could not be written in the end.

    Raises
    ------
    InputError
        A folder does not exist or cannot be written to, or the name is a folder's.
    """
    for path in paths:
        if path is None:
            continue
        if not path.parent.is_dir():
            raise InputError(str(path), "", f"expected a file in an existing folder, there is no {path.parent}")
        if path.is_dir() or not os.access(path.parent, os.W_OK):
            raise InputError(str(path), "", "expected a writable file")


def expect_outputs(output: Path | None, report: Path | None, plot: Path | None) -> None:
    """Refuse what `write_outputs` or `write_picture` could not write in the end.

    Raises
    ------
    InputError
        As `expect_writable`, or the picture's name does not tell its format.
    """
    if plot is not None and plot.suffix not in PICTURES:
        raise InputError("--plot", str(plot), "expected a name ending in .png, .svg or .pdf")
    expect_writable(output, report, plot)


def write_outputs(
    to_json: Callable[[], Mapping[str, Any]],
    draw: Callable[[Axes], object],
    height: float,
    *,
    output: Path | None,
    report: Path | None,
    plot: Path | None,
) -> None:
    """Write what was asked for of a comparison: its JSON, the HTML report, and a picture `height` inches high."""
    data = to_json() if output is not None or report is not None else {}
    if output is not None:
        write_whole(output, json.dumps(data) + "\n")
    if report is not None:
        from rtsim.report.html import write_report

        write_report(data, report)
    if plot is not None:
        write_picture(plot, lambda figure: draw(figure.subplots()), 9, height)


def write_picture(path: Path, draw: Callable[[Figure], object], width: float, height: float) -> None:
    """Write a picture of `width` x `height` inches in the format that its name tells."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    draw(figure)
    stream = io.BytesIO()
    figure.savefig(stream, format=path.suffix[1:], dpi=150)
    write_whole(path, stream.getvalue())
