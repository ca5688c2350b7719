"""What commands print: tables as wide as the terminal, with fewer columns where that is narrow; names stay whole."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["console", "interval", "microseconds", "table", "wide"]

WITHOUT_TERMINAL = 120
"""Columns of a page where there is no terminal to ask, as in a file or a pipe."""
WIDE = 100
LONGEST_WORD = 40
"""Only words longer than this are broken to fit."""


def console() -> Console:
    """Return where tables are printed."""
    known = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if known else WITHOUT_TERMINAL, highlight=False, emoji=False, markup=False)


def wide(out: Console) -> bool:
    """Return whether there is room for the columns that are good to have."""
    return out.width >= WIDE


def table(
    out: Console, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, words: Sequence[int] = (0,)
) -> Table:
    """Return a table for `out`; columns in `words` hold text, which may wrap between words, all others numbers."""
    made = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False,
        padding=(0, 2 if wide(out) else 1, 0, 0),
    )  # fmt: skip
    cells = [[str(cell) for cell in row] for row in rows]
    for number, name in enumerate(columns):
        text = number in words
        longest = max((len(word) for row in cells for word in row[number].split()), default=1)
        # rich narrows the widest column first, also one whose words are its lines: it then cuts the table's last column
        widest = max((len(line) for row in cells for line in row[number].splitlines()), default=1)
        breaks = text and (longest < widest or longest > LONGEST_WORD)
        made.add_column(
            Text(name), justify="left" if text else "right", no_wrap=not breaks, overflow="fold",
            min_width=min(longest, LONGEST_WORD),
        )  # fmt: skip
    for row in cells:
        made.add_row(*map(Text, row))
    return made


def microseconds(value_ns: float | None, *, sign: bool = False) -> str:
    """Return a time in us with about three digits; a dash for none."""
    if value_ns is None:
        return "-"
    value = value_ns / 1000
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 1000 else 0
    return f"{value:{'+' if sign else ''}.{digits}f}"


def interval(ends_ns: Sequence[float] | None, *, sign: bool = False) -> str:
    """Return an interval in us."""
    return "" if ends_ns is None else " to ".join(microseconds(end, sign=sign) for end in ends_ns)
