"""Cells of Markdown tables."""

from __future__ import annotations

Rows = list[tuple[str, ...]]


def plain_text(text: str) -> str:
    """Return `text` so that Markdown shows it as it is."""
    return text.replace("<", "\\<").replace("_", "\\_").replace("*", "\\*")
