"""``rtsim report``: a result or comparison as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["report"]


def report(
    result: Annotated[Path, typer.Argument(help="What run or compare wrote with --json.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML file to write.", show_default=False)],
) -> None:
    """Make a report of a result or comparison: one HTML file that needs nothing else."""
    from rtsim.report.html import write_report

    write_report(result, output)
