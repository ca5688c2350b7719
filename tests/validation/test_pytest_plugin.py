"""The fixture `assert_predicts`, as pytest runs it in somebody's own suite."""

from __future__ import annotations

import json
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.validation.test_assertion import RECORDING, SCENARIO

pytest_plugins = ["pytester"]

PLUGIN = "rtsim.validation.pytest_plugin"
INSTALLED = any(each.value == PLUGIN for each in entry_points(group="pytest11"))
"""Then pytest loads it by itself, and would not take it twice."""
CONFTEST = """
from rtsim.measure.distribution import Distribution
from rtsim.validation import assertion

class Result:
    def to_json(self):
        latency = Distribution.of([(3000, 4000, 3000), (7000, 8000, 1000)], mean_ns=4000.0, max_ns=7500)
        return {"tasks": {"cyclictest": {"latency": latency.to_dist()}}}

assertion.simulate = lambda scenario: Result()
"""
"""Takes the place of the simulator, which each process would load: `test_assertion` has the real one."""
SUITE = f"""
RECORDING = {str(RECORDING)!r}

def test_right(assert_predicts):
    assert assert_predicts(RECORDING, "lab.yaml", p99="0.15/10us").measured_count == 4000

def test_wrong(assert_predicts):
    assert_predicts(RECORDING, "lab.yaml", p50=0.01, p99="0.15/10us")

def test_other():
    pass
"""


def ran(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    (pytester.path / "lab.yaml").write_text(json.dumps(SCENARIO))
    pytester.makepyfile(test_own=SUITE, conftest=CONFTEST)
    return pytester.runpytest_subprocess(*([] if INSTALLED else ["-p", PLUGIN]), *options)


def test_a_failed_test_shows_the_table_and_its_own_line_only(pytester: pytest.Pytester) -> None:
    found = ran(pytester)
    found.assert_outcomes(passed=2, failed=1)
    found.stdout.fnmatch_lines([
        "> * assert_predicts(RECORDING, *", f"E * AssertionError: lab.yaml does not predict {RECORDING}: p50 beyond",
        "* measured beside predicted *", f"{RECORDING} beside lab.yaml", " *measured_us*predicted_us*", "*p50*beyond",
        "FAILED test_own.py::test_wrong - AssertionError: lab.yaml does not predict*",
    ])  # fmt: skip
    assert found.stdout.str().count("beside lab.yaml") == 1
    assert "lay_beside" not in found.stdout.str()


def test_asked_for_more_all_tables_are_shown_also_from_other_processes(pytester: pytest.Pytester) -> None:
    found = ran(pytester, "-v", "-n1")
    found.assert_outcomes(passed=2, failed=1)
    found.stdout.fnmatch_lines([
        "*= measured beside predicted =*", "test_own.py::test_right", f"{RECORDING} beside lab.yaml",
        " *measured_us*predicted_us*",
    ])  # fmt: skip
    assert found.stdout.str().count("beside lab.yaml") == 2


def test_who_does_not_use_it_loads_no_simulator(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import sys

        def test_unloaded():
            assert "rtsim.validation.pytest_plugin" in sys.modules
            assert not {"numba", "numpy", "pandas", "rtsim.scenario"} & set(sys.modules)
    """)
    pytester.runpytest_subprocess(*([] if INSTALLED else ["-p", PLUGIN])).assert_outcomes(passed=1)


def test_it_is_in_the_project_file() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert f'[project.entry-points.pytest11]\nrtsim = "{PLUGIN}"' in text
