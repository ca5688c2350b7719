"""A measurement laid beside the prediction for the same scenario.

cyclictest, timerlat and rt-app measure what a periodic task of the result predicts: all threads together against
``cyclictest``, or one thread against the task of its CPU (``cyclictest/3``). Of timerlat, the latency of its user
thread is taken where it has one, else of its kernel thread.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rtsim.inputs.errors import InputError
from rtsim.measure.distance import Comparison, Tolerance, compare_distributions
from rtsim.measure.distribution import Distribution
from rtsim.traces.measured import Measured

__all__ = ["LATENCY_FILES", "find_task", "measured_file", "validate_measured"]

LATENCY_FILES = ("cyclictest.json", "cyclictest.txt", "timerlat.txt")
"""Names in a recording's folder."""
LATENCIES = ("latency", "user", "thread", "irq")
"""What is a latency from release on; osnoise, oslat and hwlatdetect measure other things."""


def validate_measured(
    measured: Measured,
    result: Mapping[str, Any],
    *,
    task: str | None = None,
    thread: int | None = None,
    kind: str | None = None,
    tolerances: Mapping[str, Tolerance] | None = None,
) -> Comparison:
    """Compare measured latencies with those of one task of a result.

    Parameters
    ----------
    measured
        As `rtsim.traces.reader.read_measured` or `rtsim.traces.cyclictest.read_cyclictest` returns it.
    result
        The result JSON.
    task
        Name of the predicted task; by default the one named ``cyclictest`` or ``GUEST/cyclictest``.
    thread
        Only this measuring thread; by default all together.
    kind
        Of timerlat: ``user``, ``thread`` or ``irq``; by default the first of these that there is.
    tolerances
        As `rtsim.measure.distance.parse_tolerances` returns them.

    Raises
    ------
    InputError
        There is no such task, thread or kind, or several tasks could be meant; the tool measured no latencies; or the
        result's histogram is malformed.
    """
    if not set(measured.kinds) & set(LATENCIES):
        expected = f"expected latencies ({', '.join(LATENCIES)}), found {measured.tool}'s {', '.join(measured.kinds)}"
        raise InputError(measured.source, "", expected)
    name = find_task(result, task)
    try:
        predicted = Distribution.from_dist(result["tasks"][name]["latency"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError("result", f"tasks.{name}.latency", f"expected a distribution: {error}") from None
    return compare_distributions(measured.samples(thread, kind), predicted, tolerances)


def measured_file(path: str | os.PathLike[str]) -> Path:
    """Return the latencies in a recording's folder, or `path` itself if it is a file.

    Raises
    ------
    InputError
        The folder holds none.
    """
    where = Path(path)
    if not where.is_dir():
        return where
    for name in LATENCY_FILES:
        if (where / name).is_file():
            return where / name
    raise InputError(str(where), "", f"expected {' or '.join(LATENCY_FILES)} in this folder")


def find_task(result: Mapping[str, Any], task: str | None = None) -> str:
    """Return `task` if the result has it; without a name, the only cyclictest in the result.

    Raises
    ------
    InputError
        There is none, or there are several: the line lists the names to choose from.
    """
    tasks = result.get("tasks")
    if not isinstance(tasks, Mapping):
        raise InputError("result", "tasks", "expected the tasks of a result")
    if task is not None:
        found = [task] if task in tasks else []
    else:
        found = [name for name in tasks if name == "cyclictest" or name.endswith("/cyclictest")]
    if len(found) == 1:
        return found[0]
    choice = ", ".join(found or tasks)
    wanted = f"a task {task!r}" if task is not None else "exactly one cyclictest"
    raise InputError("result", "tasks", f"expected {wanted}, there is {choice or 'none'}")
