"""An assertion for test suites: a scenario predicts what was measured.

from rtsim.validation import assert_predicts

def test_latency_of_this_host():
    assert_predicts("recording/", "scenario.yaml", p99=0.15)
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from rtsim.inputs.errors import InputError
from rtsim.measure.distance import Comparison, Tolerance, parse_tolerances
from rtsim.scenario import Scenario, simulate
from rtsim.traces.measured import Unit
from rtsim.traces.reader import read_measured
from rtsim.traces.validation import measured_file, validate_measured

__all__ = ["LaidBeside", "assert_predicts", "lay_beside"]


@dataclass(frozen=True)
class LaidBeside:
    """A recording and what a scenario predicts for it; `warnings` tell what is doubtful in the recording."""

    recording: str
    scenario: str
    comparison: Comparison
    warnings: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """Whether the one predicts the other; if not, by which quantities."""
        wrong = [f"{row.quantity} {row.verdict}" for row in self.comparison.rows if row.verdict not in ("", "within")]
        if not wrong:
            return f"{self.scenario} predicts {self.recording}"
        return f"{self.scenario} does not predict {self.recording}: {', '.join(wrong)}"

    @property
    def table(self) -> str:
        """All quantities, measured and predicted, and the warnings."""
        title = f"{self.recording} beside {self.scenario}"
        return "\n".join((title, self.comparison.table().to_string(), *self.warnings))


def assert_predicts(
    recording: str | os.PathLike[str],
    scenario: Scenario | str | os.PathLike[str],
    *,
    task: str | None = None,
    thread: int | None = None,
    kind: str | None = None,
    unit: Unit | None = None,
    **tolerances: float | str,
) -> Comparison:
    """Fail unless the scenario predicts the recorded latencies within all tolerances.

    Parameters
    ----------
    recording
        Output of cyclictest, rtla timerlat or rt-app, or a recording's folder.
    scenario
        A scenario or its file, of the machine that was recorded.
    task, thread, kind
        What is compared, as for `rtsim.validate`.
    unit
        Of a cyclictest text, which does not say.
    tolerances
        One at least, by quantile (``p99``, ``p99_9``), ``max`` or ``mean``: a share of the measured value, or a text
        such as ``"0.10/2.5us"``, of which the larger counts.

    Returns
    -------
    The comparison, for further questions.

    Raises
    ------
    AssertionError
        A quantity is beyond its tolerance, or undecided because it lies beyond the measured histogram; the message is
        the table of all, and what is doubtful in the measurement.
    InputError
        The recording, the scenario or a tolerance cannot be used.
    """
    found = lay_beside(recording, scenario, task=task, thread=thread, kind=kind, unit=unit, **tolerances)
    if not found.comparison.passed:
        raise AssertionError(f"{found.verdict}\n{found.table}")
    return found.comparison


def lay_beside(
    recording: str | os.PathLike[str],
    scenario: Scenario | str | os.PathLike[str],
    *,
    task: str | None = None,
    thread: int | None = None,
    kind: str | None = None,
    unit: Unit | None = None,
    **tolerances: float | str,
) -> LaidBeside:
    """Return what `assert_predicts` decides by, whether it passes or not; raises InputError as it does."""
    allowed = _tolerances(tolerances)
    chosen = scenario if isinstance(scenario, Scenario) else Scenario.load(scenario)
    measured = read_measured(measured_file(recording), unit=unit)
    predicted = simulate(chosen).to_json()
    comparison = validate_measured(measured, predicted, task=task, thread=thread, kind=kind, tolerances=allowed)
    return LaidBeside(os.fspath(recording), chosen.source, comparison, measured.warnings)


def _tolerances(given: dict[str, float | str]) -> dict[str, Tolerance]:
    if not given:
        raise InputError("assert_predicts", "", "expected a tolerance such as p99=0.15")
    text = ",".join(f"{name.replace('_', '.')}={amount}" for name, amount in given.items())
    return parse_tolerances(text, "assert_predicts")
