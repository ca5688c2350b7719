"""The fair server: a deadline reservation that serves the fair class when realtime tasks starve it (6.12 and later)."""

from __future__ import annotations

from rtsim.engine.jit import handler
from rtsim.engine.state import State

__all__ = ["charge", "note_idle", "start"]


@handler
def charge(s: State, cpu: int, delta: int) -> None:
    """Charge the server of `cpu` with `delta` ns that a fair task ran, on its behalf or not (dl_server_update)."""


@handler
def note_idle(s: State, cpu: int) -> None:
    """Charge the server with the time its CPU has been idle (dl_server_update_idle_time)."""


@handler
def start(s: State, cpu: int) -> None:
    """Start the server: there is a fair task again (dl_server_start)."""
