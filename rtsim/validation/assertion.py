"""An assertion for test suites: a scenario predicts what was measured.

from rtsim.validation import assert_predicts

def test_latency_of_this_host():
    assert_predicts("recording/", "scenario.yaml", p99=0.15)
"""

from __future__ import annotations

import os

from rtsim.inputs.errors import InputError
from rtsim.measure.distance import Comparison, Tolerance, parse_tolerances
from rtsim.scenario import Scenario, simulate
from rtsim.traces.measured import Unit
from rtsim.traces.reader import read_measured
from rtsim.traces.validation import measured_file, validate_measured

__all__ = ["assert_predicts"]


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
    allowed = _tolerances(tolerances)
    chosen = scenario if isinstance(scenario, Scenario) else Scenario.load(scenario)
    measured = read_measured(measured_file(recording), unit=unit)
    predicted = simulate(chosen).to_json()
    comparison = validate_measured(measured, predicted, task=task, thread=thread, kind=kind, tolerances=allowed)
    if not comparison.passed:
        said = (f"{chosen.source} does not predict {recording}:", comparison.table().to_string(), *measured.warnings)
        raise AssertionError("\n".join(said))
    return comparison


def _tolerances(given: dict[str, float | str]) -> dict[str, Tolerance]:
    if not given:
        raise InputError("assert_predicts", "", "expected a tolerance such as p99=0.15")
    text = ",".join(f"{name.replace('_', '.')}={amount}" for name, amount in given.items())
    return parse_tolerances(text, "assert_predicts")
