"""How pictures look: colours that colour-blind readers can tell apart, on light and on dark ground.

The hues are Okabe and Ito's, darkened or lightened for contrast; lines differ by dash pattern too, so that no picture
depends on colour alone.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
from cycler import cycler

__all__ = ["DARK", "DASHES", "LIGHT", "line_style", "palette", "theme"]

LIGHT = ("#0072B2", "#D55E00", "#00805D", "#B0508A", "#A87400", "#3A9BD6", "#7A1F4E", "#6B6B6B")
DARK = ("#5AB0F0", "#FF8A3D", "#33C79B", "#E79AC6", "#E8B02E", "#A9DAFF", "#D4709F", "#B5B5B5")
DASHES = ("-", (0, (6, 2)), (0, (5, 1.5, 1, 1.5)), (0, (2, 1.2)))


def theme(dark: bool = False) -> AbstractContextManager[None]:
    """Return a context in which pictures are drawn for a light or dark page, with a transparent ground."""
    ink, faint = ("#e6e6e6", "#555b66") if dark else ("#1c1f24", "#c9ced6")
    settings: Any = {
        "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none",
        "text.color": ink, "axes.labelcolor": ink, "xtick.color": ink, "ytick.color": ink, "axes.edgecolor": faint,
        "grid.color": faint, "grid.linewidth": 0.6, "axes.prop_cycle": cycler(color=DARK if dark else LIGHT),
        "font.size": 10, "legend.frameon": False, "axes.spines.top": False, "axes.spines.right": False,
        "svg.hashsalt": "rtsim", "hatch.color": ink,
    }  # fmt: skip
    return mpl.rc_context(settings)


def palette(number: int) -> list[str]:
    """Return `number` colours of the present theme, repeating after eight; matplotlib's own outside of `theme`."""
    colours = [str(colour) for colour in mpl.rcParams["axes.prop_cycle"].by_key()["color"]]
    if colours[0] not in (LIGHT[0], DARK[0]):
        colours = list(LIGHT)
    return [colours[i % len(colours)] for i in range(number)]


def line_style(number: int) -> Any:
    """Return the dash pattern of line `number`: neighbours differ, and so do lines that share a colour."""
    return DASHES[(number + number // 8) % len(DASHES)]
