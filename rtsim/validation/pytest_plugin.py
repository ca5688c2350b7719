"""For pytest: the fixture `assert_predicts`, and tables of measured beside predicted in the report of a test.

pytest loads this wherever rtsim is installed, so the simulator is imported when the fixture is first called.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from rtsim.measure.distance import Comparison
    from rtsim.scenario import Scenario

__all__ = ["assert_predicts", "pytest_runtest_makereport", "pytest_terminal_summary"]

SECTION = "measured beside predicted"
_TABLES = pytest.StashKey[list[str]]()


@pytest.fixture
def assert_predicts(request: pytest.FixtureRequest) -> Callable[..., Comparison]:
    """Fail unless a scenario predicts the recorded latencies: assert_predicts("recording/", "scenario.yaml", p99=0.15).

    It takes what `rtsim.validation.assert_predicts` takes and returns the comparison. The table stands in the report of
    a test that fails, with -v of one that passes too.
    """
    tables = request.node.stash.setdefault(_TABLES, [])

    def check(
        recording: str | os.PathLike[str], scenario: Scenario | str | os.PathLike[str], **options: Any
    ) -> Comparison:
        __tracebackhide__ = True
        from rtsim.validation.assertion import lay_beside

        found = lay_beside(recording, scenario, **options)
        tables.append(found.table)
        if not found.comparison.passed:
            raise AssertionError(found.verdict)
        return found.comparison

    return check


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Move the tables into the report, which xdist carries to the process that prints it."""
    report = yield
    tables = item.stash.get(_TABLES, [])
    report.sections += [(SECTION, table) for table in tables]
    tables.clear()
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the tables of tests that passed, if asked for more (-v); pytest prints those of failed ones itself."""
    if terminalreporter.verbosity < 1:
        return
    reports = [each for some in terminalreporter.stats.values() for each in some if isinstance(each, pytest.TestReport)]
    tables = [
        (report.nodeid, text)
        for report in reports
        if report.passed
        for title, text in report.sections
        if title == SECTION
    ]
    if tables:
        terminalreporter.section(SECTION)
    for nodeid, text in tables:
        terminalreporter.line(f"{nodeid}\n{text}")
