"""Pieces of HTML that every report is made of: escaped text, tables, folded sections, and pictures for any screen."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Collection, Iterable, Sequence
from importlib import resources

from matplotlib.figure import Figure

from rtsim.report.theme import theme

__all__ = ["Html", "document", "escape", "folded", "microseconds", "picture", "share", "table"]


class Html(str):
    """Text that is markup already; everything else is escaped where it meets markup."""

    __slots__ = ()


def escape(value: object) -> Html:
    """Return `value` as text of a page: markup stays, all else is escaped."""
    return value if isinstance(value, Html) else Html(html.escape(str(value)))


def microseconds(value_ns: float | None, *, sign: bool = False) -> str:
    """Return a time in us with three to four digits: 7.32, 12.3, 949 121; a dash for None."""
    if value_ns is None:
        return "–"
    value = value_ns / 1000
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 1000 else 0
    return f"{value:{'+' if sign else ''},.{digits}f}".replace(",", "\u202f").replace("-", "−")


def share(value: float | None) -> str:
    """Return a share in percent."""
    return "–" if value is None else f"{100 * value:.3g} %"


def table(
    head: Sequence[str], rows: Iterable[Sequence[object]], *, kind: str = "", text: Collection[int] = (0,)
) -> Html:
    """Return a table; columns that are not in `text` are set as numbers.

    On narrow screens a table of the kind ``cards`` becomes a list of cards, each cell beside its column's name; others
    scroll sideways.
    """
    cells = "".join(f'<th scope="col"{_number(i, text)}>{escape(name)}</th>' for i, name in enumerate(head))
    body = "".join(f"<tr>{_cells(head, row, text)}</tr>" for row in rows)
    return Html(
        f'<div class="scroll"><table class="{escape(kind)}"><thead><tr>{cells}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cells(head: Sequence[str], row: Sequence[object], text: Collection[int]) -> str:
    first, *rest = row
    parts = [f'<th scope="row">{escape(first)}</th>']
    for i, (name, cell) in enumerate(zip(head[1:], rest, strict=True), start=1):
        parts.append(f'<td data-name="{escape(name)}"{_number(i, text)}><span>{escape(cell)}</span></td>')
    return "".join(parts)


def _number(column: int, text: Collection[int]) -> str:
    return "" if column in text else ' class="number"'


def folded(summary: object, content: object, *, opened: bool = False) -> Html:
    """Return a section that opens on a click."""
    return Html(f"<details{' open' if opened else ''}><summary>{escape(summary)}</summary>{escape(content)}</details>")


def picture(
    draw: Callable[[Figure, bool], None], caption: str, *, height: float = 4.4, narrow_height: float = 5.6
) -> Html:
    """Return a figure drawn four times, wide and narrow, light and dark: the browser takes the one that fits.

    Parameters
    ----------
    draw
        Called with an empty figure and whether it is a narrow one.
    caption
        Text below it, also read out in its place.
    height, narrow_height
        In inches; the width is 10 and 4.6.
    """
    sources = []
    for narrow, width, tall in ((True, 4.6, narrow_height), (False, 10.0, height)):
        for dark in (True, False):
            data = _svg(draw, narrow, dark, width, tall)
            conditions = [
                *(["(max-width: 640px)"] if narrow else []),
                *(["(prefers-color-scheme: dark)"] if dark else []),
            ]
            if conditions:
                sources.append(f'<source media="{" and ".join(conditions)}" srcset="{data}">')
            else:
                sources.append(f'<img src="{data}" alt="{escape(caption)}">')
    return Html(f"<figure><picture>{''.join(sources)}</picture><figcaption>{escape(caption)}</figcaption></figure>")


def _svg(draw: Callable[[Figure, bool], None], narrow: bool, dark: bool, width: float, height: float) -> str:
    """Return the figure as a data address; the same figure gives the same bytes."""
    with theme(dark):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure, narrow)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": "rtsim"})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()


def document(title: str, content: Html) -> str:
    """Return a whole page: its style inside, nothing fetched from anywhere."""
    style = resources.files("rtsim.report").joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body><main>{content}</main></body></html>\n"
    )
