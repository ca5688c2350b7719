"""A measurement laid beside the prediction for the same scenario.

cyclictest measures what a `cyclictest` task of the result predicts: all its threads together against the task of that
name, or one thread against the task of its CPU (``cyclictest/3``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rtsim.inputs.errors import InputError
from rtsim.measure.distance import Comparison, Tolerance, compare_distributions
from rtsim.measure.distribution import Distribution
from rtsim.traces.measured import Measured

__all__ = ["find_task", "validate_cyclictest"]


def validate_cyclictest(
    measured: Measured,
    result: Mapping[str, Any],
    *,
    task: str | None = None,
    thread: int | None = None,
    tolerances: Mapping[str, Tolerance] | None = None,
) -> Comparison:
    """Compare a cyclictest run with the latency of one task of a result.

    Parameters
    ----------
    measured
        As `rtsim.traces.cyclictest.read_cyclictest` returns it.
    result
        The result JSON.
    task
        Name of the predicted task; by default the one named ``cyclictest`` or ``GUEST/cyclictest``.
    thread
        Only this measuring thread; by default all together.
    tolerances
        As `rtsim.measure.distance.parse_tolerances` returns them.

    Raises
    ------
    InputError
        There is no such task or thread, or several tasks could be meant, or the result's histogram is malformed.
    """
    name = find_task(result, task)
    try:
        predicted = Distribution.from_dist(result["tasks"][name]["latency"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError("result", f"tasks.{name}.latency", f"expected a distribution: {error}") from None
    return compare_distributions(measured.samples(thread), predicted, tolerances)


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
