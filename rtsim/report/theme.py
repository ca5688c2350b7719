"""How pictures look: colours that colour-blind readers can tell apart, on light and on dark ground.

The hues are Okabe and Ito's, darkened or lightened so that each stands out from the ground and from the others to
every kind of colour blindness; lines differ by dash pattern too, so that no picture depends on colour alone.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
from cycler import cycler

__all__ = ["DARK", "DASHES", "LIGHT", "line_style", "palette", "theme"]

LIGHT = ("#0072B2", "#D55E00", "#005C36", "#924679", "#5E4D08", "#1DA0CB", "#5C173F", "#919191", "#0D0D0D")
DARK = ("#5AB0F0", "#FF8A3D", "#0F8A6B", "#CC66B2", "#FFCF00", "#B6DAFF", "#CE0B4C", "#B6B6B6", "#FFFFFF")
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
    """Return `number` colours of the present theme, repeating after nine; the light one's outside of `theme`."""
    colours = [str(colour) for colour in mpl.rcParams["axes.prop_cycle"].by_key()["color"]]
    if colours[0] not in (LIGHT[0], DARK[0]):
        colours = list(LIGHT)
    return [colours[i % len(colours)] for i in range(number)]


def line_style(number: int) -> Any:
    """Return the dash pattern of line `number`: neighbours differ, and so do lines that share a colour."""
    return DASHES[number % len(DASHES)]
