"""The pictures: what is drawn where, on whose axes."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

mpl.use("Agg")

import matplotlib.pyplot as plt

from rtsim.measure.distribution import Distribution
from rtsim.measure.histogram import LogLinearHistogram
from rtsim.report.plots import main_causes, plot_causes, plot_ccdf, plot_histogram
from rtsim.report.theme import DARK, LIGHT, line_style, palette, theme


@pytest.fixture
def ax():
    return Figure().subplots()


def histogram(*values_us):
    return LogLinearHistogram.from_values([round(v * 1000) for v in values_us])


def lines(ax):
    return {line.get_label(): line for line in ax.get_lines() if not str(line.get_label()).startswith("_")}


def test_ccdf_steps_through_the_shares_and_ends_at_the_largest_sample(ax):
    assert plot_ccdf({"a": histogram(1, 1.5, 2, 1000)}, ax=ax) is ax
    x, y = lines(ax)["a"].get_data()
    assert list(y) == [1, 0.75, 0.5, 0.25, 0.25]
    assert x[1:4] == pytest.approx([1, 1.5, 2])
    assert x[-1] == 1000
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert ax.get_xlabel() == "latency (µs)"


def test_ccdf_takes_every_form_of_a_distribution(ax):
    one = histogram(1, 2, 3)
    plot_ccdf({"histogram": one, "dist": one.to_dist(), "distribution": one.distribution()}, ax=ax)
    a, b, c = (line.get_xydata().tolist() for line in lines(ax).values())
    assert a == b == c
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["histogram", "dist", "distribution"]


def test_censored_samples_keep_the_line_above_zero(ax):
    measured = Distribution.of([(1000, 2000, 90)], censored=10, limit_ns=60_000, resolution_ns=1000)
    plot_ccdf({"measured": measured}, ax=ax)
    assert lines(ax)["measured"].get_ydata()[-1] == pytest.approx(0.1)
    assert ">" in [line.get_marker() for line in ax.get_lines()]


def test_a_line_of_many_buckets_is_thinned_without_losing_its_end(ax):
    values = np.random.default_rng(1).lognormal(9, 1, 200_000).astype(np.int64)
    every = LogLinearHistogram.from_values(values)
    plot_ccdf({"a": every}, ax=ax)
    x, y = lines(ax)["a"].get_data()
    assert len(every.distribution().counts) > 3000
    assert len(x) < 1200
    assert x[-1] == every.max_ns / 1000
    assert (np.diff(y) <= 0).all()


def test_without_samples_nothing_is_drawn(ax):
    plot_histogram({"empty": LogLinearHistogram()}, ax=ax)
    assert (ax.get_lines()[:], ax.get_legend()) == ([], None)
    other = Figure().subplots()
    plot_ccdf({"empty": LogLinearHistogram()}, ax=other)
    assert (other.get_lines()[:], other.get_legend()) == ([], None)


def test_the_current_axes_are_the_default():
    figure = plt.figure()
    try:
        assert plot_ccdf({"a": histogram(1, 2)}) is plt.gca()
    finally:
        plt.close(figure)


def test_histogram_counts_samples_by_microsecond_and_says_what_lies_beyond(ax):
    plot_histogram({"a": histogram(3.2, 3.9, 7, 2000)}, ax=ax, limit_us=10)
    x, y = lines(ax)["a"].get_data()
    assert dict(zip(x, y, strict=True))[3] == 2
    assert dict(zip(x, y, strict=True))[7] == 1
    assert [text.get_text() for text in ax.texts] == ["1 beyond"]


def test_causes_stack_to_the_mean_and_small_ones_are_drawn_together(ax):
    causes = {"a": {f"c{i}": 1000.0 * (i + 1) for i in range(10)}, "b": {"c0": 500.0}}
    plot_causes(causes, ax=ax, most=4)
    labels = [container.get_label() for container in ax.containers]
    assert labels == ["c9", "c8", "c7", "c6", "other causes"]
    ends = {0: 0.0, 1: 0.0}
    for container in ax.containers:
        for row, bar in enumerate(container):
            assert bar.get_x() == pytest.approx(ends[row])
            ends[row] += bar.get_width()
    assert ends == {0: pytest.approx(55), 1: pytest.approx(0.5)}
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]


def test_main_causes_are_the_largest_of_any_variant():
    assert main_causes({"a": {"x": 1, "y": 5}, "b": {"x": 9, "z": 0}}, 7) == ["x", "y"]


def test_colours_follow_the_theme_and_lines_that_share_one_differ_in_dashes():
    with theme(dark=True):
        assert palette(2) == list(DARK[:2])
    assert len(set(palette(9))) == 9
    assert palette(10)[0] == palette(10)[9] == LIGHT[0]
    assert line_style(0) != line_style(9)
