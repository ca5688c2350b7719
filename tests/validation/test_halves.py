"""What is calibrated from one half of a recording predicts the latencies of the other half."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from rtsim.validation.figures import Figure
from rtsim.validation.halves import halves, misranked, predicted_half, quantity
from tests.validation.recordings import HELD, NATIVE, recording

QUICK = "kernel-6.1-cfs"
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in (*HELD, NATIVE) if name != QUICK]
POOLED = "it is calibrated from wake-ups of several kinds, whose steps vary by more than those of one"
FOREIGN = "steps hold interrupts of CPU 0, which the figures leave out, and fair wake-ups, 1 us longer than these"
CYCLES = "one of several stable cycles, which a seed meets where a wake-up takes 6.9 us as on the idle CPU, not 6.7"
WORK = "the emulator's turns lengthen the work of both, and so what pb waits for pa and pa for pb"
FIFO_8CPU = {
    f"fifo2-hog3-mask4-6 {task} waking to run {quantile}": reason
    for task in ("fa", "fb")
    for quantile, reason in (("p50", FOREIGN), ("p99", POOLED))
}
TWO_SLEEPERS = {
    f"wake2x10ms-hog1-mask2-3 {figure}": WORK
    for figure in ("pa waking to run p99", "pb waking to run p50", "pb waking to run p99")
}
BEYOND: Mapping[str, Mapping[str, str]] = {
    "kernel-6.1-cfs-4cpu-more": {
        "fifo10ms-hog2-mask2-3 fa waking to run p99": POOLED,
        **TWO_SLEEPERS,
    },
    "kernel-6.1-cfs-8cpu": FIFO_8CPU,
    "kernel-6.12-eevdf-4cpu-more": {"fifo10ms-hog2-mask2-3 fa waking to run p99": POOLED, **TWO_SLEEPERS},
    "kernel-6.12-eevdf-8cpu": FIFO_8CPU,
    "kernel-6.12-eevdf-more2": {"libvirt-pervcpuA-vcpuB emuA latency p50": CYCLES},
    "kernel-6.1-cfs-groups": {
        "cg4096per-1024x9 per latency p99": "the longest of 99: its timer struck a CPU that computed 22 us late"
    },
    "kernel-6.12-rt": {
        "emu-other-vs-vcpu-other emu latency p99": "its fourth longest: 5.6 ms, of which the model has three or four",
        "per1ms-other-hog1-nice-10 per latency p99": "one tick or two further on, with the machine's own profile too",
    },
}
"""Figures that are further off than asked, and what is known of why."""
MISRANKED = {
    "kernel-6.12-eevdf-more2": ("fifo2x4ms-libvirt fa latency p50", "fifo2x4ms-libvirt emuA latency p50"),
    "kernel-6.12-rt": ("per1ms-other-hog1-nice-10 per latency p99",),
    "kernel-6.12-eevdf-4cpu": ("wake-other-mask2-3-hog2 per waking to run p99",),
    "kernel-6.12-eevdf-8cpu": (
        "fifo2-hog3-mask4-6 fa waking to run p99",
        "fifo2-hog3-mask4-6 fb waking to run p99",
    ),
}
"""Those that are predicted above others that were measured above them."""


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("halves")


@cache
def compared(name: str, folder: Path) -> tuple[Figure, ...]:
    return tuple(predicted_half(recording(name), folder))


@pytest.mark.parametrize("name", [QUICK, *SLOW])
def test_the_other_half_is_predicted(name: str, folder: Path) -> None:
    found = compared(name, folder)
    assert len(found) >= 2
    outside = {figure.key: (figure.measured, figure.predicted) for figure in found if not figure.inside}
    assert outside.keys() == BEYOND.get(name, {}).keys(), outside


@pytest.mark.parametrize("name", [QUICK, *SLOW])
def test_all_pairs_are_ranked_as_measured(name: str, folder: Path) -> None:
    for quantile in ("p50", "p99"):
        asked = f"{quantity(recording(name))} {quantile}"
        wrong = misranked(figure for figure in compared(name, folder) if figure.name == asked)
        assert {low.key for low, _ in wrong} == {key for key in MISRANKED.get(name, ()) if key.endswith(asked)}, wrong


@pytest.mark.parametrize("name", HELD)
def test_halves_have_no_case_in_common(name: str) -> None:
    known, asked = halves(recording(name))
    assert not {case.name for case in known} & {case.name for case in asked}
    assert abs(len(known) - len(asked)) <= 1


def test_a_pair_in_the_other_order_is_found() -> None:
    def figure(measured: float, predicted: float) -> Figure:
        return Figure("case", "task", "latency p50", (measured, measured), (predicted, predicted), 10)

    low, alike, high = figure(100, 300), figure(105, 290), figure(200, 250)
    assert misranked([high, low, alike]) == [(low, high), (alike, high)]
    assert misranked([figure(100, 200), figure(200, 250)]) == []
