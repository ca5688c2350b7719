"""Running a state: the compiled clock in strides, so that progress shows and Ctrl-C is heard."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numba.core import event as numba_event

from rtsim.engine import jit
from rtsim.engine.builder import Builder
from rtsim.engine.loop import advance
from rtsim.engine.state import State

__all__ = ["compile_engine", "compiled_already", "ready", "run_until", "step"]

Progress = Callable[[int, int], None]
"""Called with what is done and what there is to do."""

EVENTS_A_STRIDE = 1 << 20


def run_until(s: State, until_ns: int, progress: Progress | None = None) -> None:
    """Handle every event up to `until_ns`, that time included; `progress` gets simulated and total ns."""
    while step(s, until_ns, EVENTS_A_STRIDE) == EVENTS_A_STRIDE:
        if progress is not None:
            progress(int(s.m[0]["now"]), until_ns)
    if progress is not None:
        progress(until_ns, until_ns)


def step(s: State, until_ns: int, most: int) -> int:
    """Handle at most `most` events up to `until_ns`; return how many there were."""
    if jit.INTERPRETED:
        with np.errstate(over="ignore"):  # the generator's 64-bit arithmetic wraps on purpose
            return int(advance(s, until_ns, most))
    return int(advance(s, until_ns, most))


def compiled_already() -> bool:
    """Return whether the cache holds this installation's machine code of `advance` for these sources."""
    return jit.is_cached(advance)


def compile_engine(progress: Progress | None = None) -> None:
    """Compile the engine, or load its machine code; `progress` gets compiled and declared handlers."""
    builder = Builder()
    kernel = builder.kernel(1, tick_ns=1)
    builder.cpu("cpu0", kernel)
    builder.constant(0)
    state, _ = builder.build(watched=[])
    with _counting(progress):
        step(state, 0, 1)


def ready() -> None:
    """Compile the engine if this installation has not yet, saying so on standard error; it takes a minute."""
    if compiled_already():
        return
    sys.stderr.write("rtsim: compiling the engine, once per installation\n")
    compile_engine(_quarters())


def _quarters() -> Progress:
    told = 0

    def report(done: int, total: int) -> None:
        nonlocal told
        if 4 * done // total > told:
            told = 4 * done // total
            sys.stderr.write(f"rtsim: {100 * done // total} % of the engine compiled\n")

    return report


@contextmanager
def _counting(progress: Progress | None) -> Iterator[None]:
    if progress is None or jit.INTERPRETED:
        yield
        return
    with numba_event.install_listener("numba:compile", _Counter(progress)):
        yield


class _Counter(numba_event.Listener):
    """Counts finished compilations of handlers."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.done: set[str] = set()

    def on_start(self, event: Any) -> None:
        pass

    def on_end(self, event: Any) -> None:
        function = event.data["dispatcher"].py_func
        if function.__module__.startswith("rtsim."):
            self.done.add(f"{function.__module__}.{function.__qualname__}")
            self.progress(len(self.done), jit.handler_count())
