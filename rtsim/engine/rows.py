"""Filling arrays of the state from rows of plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rtsim.engine.state import allocate

__all__ = ["filled"]


def filled(dtype: np.dtype[Any], rows: Sequence[Mapping[str, Any]]) -> npt.NDArray[Any]:
    """Return an array of `dtype` with one element a row: missing fields are 0, other keys are left."""
    array = allocate(dtype, len(rows))
    names = set(dtype.names or ())
    for index, row in enumerate(rows):
        for name in names & row.keys():
            array[name][index] = row[name]
    return array
