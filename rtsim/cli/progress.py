"""Progress of what takes longer than a moment, on standard error: a bar in a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

__all__ = ["engine_ready", "progress_shown"]

Report = Callable[[int, int], None]

BAR_AFTER_S = 0.5
LINE_EVERY_S = 10.0


@contextmanager
def progress_shown(what: str) -> Iterator[Report]:
    """Give a function that is called with done and total, and shows it where that helps."""
    if not sys.stderr.isatty():
        yield _lines(what)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task(what)
    begin = time.monotonic()

    def report(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total)
        if not bar.live.is_started and time.monotonic() - begin > BAR_AFTER_S:
            bar.start()

    try:
        yield report
    finally:
        if bar.live.is_started:
            bar.stop()


def _lines(what: str) -> Report:
    last = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > LINE_EVERY_S and done < total:
            last = now
            sys.stderr.write(f"{what}: {100 * done // total} %\n")

    return report


def engine_ready() -> None:
    """Compile the engine if this installation has not yet: it takes a while, so it says what it is doing."""
    from rtsim.engine.clock import compile_engine, compiled_already

    if compiled_already():
        return
    sys.stderr.write("compiling the engine, once per installation\n")
    with progress_shown("compiling the engine") as progress:
        compile_engine(progress)
