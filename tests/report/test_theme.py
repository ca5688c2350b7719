"""Colours that readers can tell from the ground and from each other, colour-blind or not."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest

from rtsim.report.theme import DARK, LIGHT

Colour = npt.NDArray[np.float64]

SIGHT = {
    "usual": np.eye(3),
    "protanopia": np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
    "deuteranopia": np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
    "tritanopia": np.array([[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]]),
}
"""What becomes of linear RGB (Machado, Oliveira and Fernandes 2009, severity 1)."""
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = np.array([0.9505, 1.0, 1.089])
GROUNDS = {LIGHT: "#ffffff", DARK: "#15181d"}
CLEARLY_APART = 15.0
"""Distance in CIELAB, of which about 2.3 are just noticeable."""


def linear(colour: str) -> Colour:
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def lab(rgb: Colour) -> Colour:
    scaled = TO_XYZ @ np.clip(rgb, 0, 1) / WHITE
    f = np.where(scaled > 0.008856, np.cbrt(scaled), 7.787 * scaled + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of WCAG."""
    low, high = sorted(float(TO_XYZ[1] @ linear(colour)) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("colours", GROUNDS, ids=["light", "dark"])
def test_nine_lines_have_nine_colours_for_every_kind_of_sight(colours: tuple[str, ...], sight: str) -> None:
    seen = {colour: lab(SIGHT[sight] @ linear(colour)) for colour in colours}
    assert len(seen) == 9
    close = [
        (one, other) for one, other in itertools.combinations(seen, 2)
        if np.linalg.norm(seen[one] - seen[other]) < CLEARLY_APART
    ]  # fmt: skip
    assert close == []


@pytest.mark.parametrize("colours", GROUNDS, ids=["light", "dark"])
def test_lines_stand_out_from_the_ground(colours: tuple[str, ...]) -> None:
    assert min(contrast(colour, GROUNDS[colours]) for colour in colours) >= 3
