"""The page of measured and predicted figures, and the explanations beside them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

from rtsim.validation.ablations import loss
from rtsim.validation.decide import Agreement, Miss
from rtsim.validation.figures import Figure, figures
from rtsim.validation.page import validation_page, write_page
from rtsim.validation.replay import Thread
from rtsim.validation.targets import explanations, score, target_of
from tests.validation.recordings import ALL, NATIVE, recording

mpl.use("agg")

FIGURES = [
    Figure("share-2hog", "hog0", "share", (0.5, 0.5), (0.49, 0.505), 0.012),
    Figure("share-2hog", "hog0", "run length p50", (12e6, 12e6), (8e6, 8e6), 0.96e6),
    Figure("per1ms-fifo80-idle", "per", "latency p50", (16_429, 16_429), (16_000, 17_250), 2_500),
    Figure("per1ms-fifo80-idle", "per", "latency p99", (17_000, 17_000), None, 10_000),
]
REASONS = {"kernel-6.1-cfs": {"share-2hog hog0 run length p50": "the period of two"}}


def test_the_page_shows_every_figure_and_sums_them_up() -> None:
    page = validation_page([(recording("kernel-6.1-cfs"), FIGURES)], REASONS)
    assert "| kernel-6.1-cfs | 6.1.192, voluntary | 2 of 4 (50 %) | 98 % |" in page
    assert "### share-2hog: 1 of 2 (50 %)" in page
    assert "| hog0 | share | 0.5000 | 0.4900 to 0.5050 | 0.0120 | inside |  |" in page
    assert "| hog0 | run length p50 | 12.000 ms | 8.000 ms | 960.0 µs | **outside** | the period of two |" in page
    assert "| per | latency p50 | 16.4 µs | 16.0 µs to 17.2 µs | 2.5 µs | inside |  |" in page
    assert "| per | latency p99 | 17.0 µs | no samples | 10.0 µs | **outside** |  |" in page


def test_single_decisions_are_summed_up_by_rule() -> None:
    hogs = [Thread(pid, f"hog{pid}", 120) for pid in range(1, 4)]
    misses = (Miss(10, hogs[0], False, hogs[1], hogs[2]), Miss(20, hogs[0], False, hogs[1], hogs[0]))
    decided = {"kernel-6.1-cfs": {"share-2hog": Agreement(300, ()), "share-4hog": Agreement(100, (*misses, misses[0]))}}
    page = validation_page([], {}, decided=decided)
    assert (
        "| kernel-6.1-cfs | 400 | 99.25 % | 97.00 % (share-4hog) "
        "| who follows one that is put back: 2, whether the running task goes on: 1 |" in page
    )
    assert "## Rules left out" not in page


def test_lost_figures_are_counted_by_rule_and_recording() -> None:
    without = [replace(figure, predicted=(0.4, 0.4)) for figure in FIGURES]
    page = validation_page([], {}, losses=[loss("no_clock_skip", "kernel-6.1-cfs", FIGURES, without)])
    assert (
        "| no_clock_skip | kernel-6.1-cfs | 2 of 4 (50 %) | 0 of 4 (0 %) | 2 | share-2hog, per1ms-fifo80-idle |" in page
    )
    assert "## Decisions" not in page


def test_the_page_is_written_with_its_pictures(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    found = [(recording("kernel-6.1-cfs"), FIGURES), (recording(NATIVE), [])]
    write_page(found, {}, tmp_path / "validation.md", 8)
    page = (tmp_path / "validation.md").read_text()
    assert page.startswith("# Validation\n")
    assert "simulated with 8 seeds" in page
    for name in ("kernel-6.1-cfs", NATIVE):
        assert f"(images/validation-{name}.png)" in page
        assert (tmp_path / "images" / f"validation-{name}.png").read_bytes().startswith(b"\x89PNG")


TARGETS = {
    "kernel-6.1-cfs": 0.98, "kernel-6.12-eevdf": 0.96, "kernel-6.1-rt": 0.93, "kernel-6.1-isolated": 0.90,
    "kernel-6.12-eevdf-4cpu": 0.90, NATIVE: None,
}  # fmt: skip


@pytest.mark.parametrize("name", TARGETS)
def test_targets(name: str) -> None:
    target = target_of(recording(name))
    assert (target and target.recording) == TARGETS[name]


def test_scores() -> None:
    assert str(score(FIGURES)) == "2 of 4 (50 %)"
    assert score([]).share == 1


def test_explanations_are_of_figures_that_exist() -> None:
    class Unknown(dict[Any, Any]):
        def __missing__(self, key: object) -> None:
            return None

    reasons = explanations()
    assert set(reasons) <= set(ALL)
    for name, by_key in reasons.items():
        found = recording(name)
        keys = {figure.key for case in found.cases.values() for figure in figures(found, case, [Unknown()])}
        assert set(by_key) <= keys
