"""Calling one handler from Python, where the engine is compiled too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

from rtsim.engine.jit import INTERPRETED, OPTIONS
from rtsim.engine.link import EntryPointCompiler


def called(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that calls `handler`, an entry point of its own."""
    if INTERPRETED:
        return handler

    @numba.njit(**OPTIONS, pipeline_class=EntryPointCompiler)  # type: ignore[untyped-decorator]
    def call(*arguments: Any) -> Any:
        return handler(*arguments)

    return call  # type: ignore[no-any-return]
