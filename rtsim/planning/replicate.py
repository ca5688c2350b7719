"""Running replications: many short simulations in threads, or wherever an executor takes them, in a fixed order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager

from rtsim.nova import NovaRefusal
from rtsim.scenario import Result, Scenario, simulate

__all__ = ["Progress", "run_all"]

WORKERS = 2
"""Threads by default: the compiled clock runs without the interpreter's lock, reading results off does not."""

Progress = Callable[[int, int], None]
"""Called with finished and planned replications."""


class _Cancelled(Exception):  # noqa: N818 (nobody sees it: the run it ends was given up)
    pass


def _replicate(scenario: Scenario, progress: Progress | None = None) -> Result | str:
    """Return the result of one replication, or why Nova refuses it; runs in a thread, process or machine of its own."""
    try:
        return simulate(scenario, progress=progress)
    except NovaRefusal as refusal:
        return str(refusal)


def run_all(jobs: Iterable[tuple[str, Scenario]], executor: Executor | None) -> Iterator[tuple[str, Result | str]]:
    """Yield every job's outcome in the order of `jobs`."""
    if executor is not None:
        futures = [(name, executor.submit(_replicate, scenario)) for name, scenario in jobs]
        yield from _collected(futures)
        return
    with _threads() as (pool, watch):
        yield from _collected([(name, pool.submit(_replicate, scenario, watch)) for name, scenario in jobs])


def _collected(futures: list[tuple[str, Future[Result | str]]]) -> Iterator[tuple[str, Result | str]]:
    futures.reverse()
    try:
        while futures:
            name, future = futures.pop()  # taken off the list, so that a merged result can be freed
            yield name, future.result()
    finally:
        for _, future in futures:
            future.cancel()


@contextmanager
def _threads() -> Iterator[tuple[Executor, Progress]]:
    """Give threads whose runs end soon after the caller gives up (Ctrl-C, an error in one of them)."""
    given_up = threading.Event()

    def watch(done: int, total: int) -> None:
        if given_up.is_set():
            raise _Cancelled

    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            yield pool, watch
        except BaseException:
            given_up.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
