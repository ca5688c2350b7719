"""The picture and the page of levers: what is certain can be told from what may be chance, causes from each other."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import pytest
from matplotlib.axes import Axes

from rtsim.report.levers import plot_levers


def row(name: str, against: str | None, tail_us: float, ends_us: tuple[float, float] | None) -> dict[str, Any]:
    return {
        "name": name, "against": against, "bound_ns": None,
        "values_ns": {"p50": 5_000, "p99.99": tail_us * 1000, "max": tail_us * 1000},
        "differences_ci_ns": {} if ends_us is None else {"p99.99": [end * 1000 for end in ends_us]},
    }  # fmt: skip


ROWS = [
    row("none", None, 100, None), row("pinning", "none", 40, (-80, -40)), row("host", "none", 98, (-9, 5)),
    row("all but host", "all", 21, (-1, 3)), row("all", "none", 20, (-90, -70)),
]  # fmt: skip


@pytest.fixture
def picture() -> Any:
    figure, ax = plt.subplots()
    yield plot_levers(ROWS, "realtime4/cyclictest", ax=ax)
    plt.close(figure)


def latencies(ax: Axes, label: str) -> list[float]:
    (line,) = (line for line in ax.lines if line.get_label() == label)
    return [float(x) for x in line.get_xdata()]


def test_changes_that_may_be_chance_are_hollow(picture: Axes) -> None:
    assert latencies(picture, "p99.99") == [100, 40, 20]
    assert latencies(picture, "p99.99: change may be chance") == [98, 21]
    fill = {line.get_label(): line.get_fillstyle() for line in picture.lines}
    assert (fill["p99.99"], fill["p99.99: change may be chance"]) == ("full", "none")


def test_a_largest_sample_does_not_hide_the_quantile_that_it_is(picture: Axes) -> None:
    labels = [line.get_label() for line in picture.lines]
    assert labels.index("max") < labels.index("p99.99")


def test_the_legend_says_what_everything_is(picture: Axes) -> None:
    legend = picture.get_legend()
    assert legend is not None
    told = {text.get_text() for text in legend.get_texts()}
    assert told == {"p50", "p99.99", "p99.99: change may be chance", "max", "p99.99 of none, of all"}


def test_a_row_without_an_end_has_no_marker() -> None:
    starved = row("pinning", "none", 40, None) | {"values_ns": {"p50": 5_000, "p99.99": None, "max": None}}
    figure, ax = plt.subplots()
    plot_levers([ROWS[0], starved], "task", ax=ax)
    plt.close(figure)
    assert latencies(ax, "p99.99") == [100]
