"""What a run leaves behind, as one comparable value."""

from __future__ import annotations

import hashlib

import numpy as np

from rtsim.engine.state import State
from rtsim.engine.trace import recorded


def digest(state: State) -> str:
    """Return the event count and a hash over trace, samples, causes and accounts."""
    total = hashlib.sha256()
    for array in (
        recorded(state),
        state.cpus,
        state.tasks,
        state.watches,
        state.cause_totals,
        state.histograms,
        state.worst_causes,
    ):
        total.update(np.asarray(array).view(np.ndarray).tobytes())
    return f"{int(state.m[0]['events'])} events, {int(state.m[0]['trace_next'])} records, {total.hexdigest()}"
