"""A clock that jumps within a trace changes neither what is calibrated from it nor what is replayed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rtsim.profile.calibration import Calibration, calibrate
from rtsim.profile.recorded import read_recorded
from rtsim.traces.jumps import find_jumps
from rtsim.traces.trace import Trace

SECONDS = 4
MS, SECOND = 1_000, 1_000_000  # us, which the trace counts in
JUMPS = {"+5 s": 5 * SECOND, "+60 s": 60 * SECOND, "-1 s": -SECOND, "+1.7 s": 1_700 * MS, "-60 s": -60 * SECOND}


def handled(time: int, name: str, irq: int, cpu: int = 0) -> list[tuple[int, str]]:
    """Return the lines of an interrupt that takes 5 us."""
    return [
        (time, f"          <idle>-0       [{cpu:03}] d.h.. %d.%06d: irq_handler_entry: irq={irq} name={name}\n"),
        (time + 5, f"          <idle>-0       [{cpu:03}] d.h.. %d.%06d: irq_handler_exit: irq={irq} ret=handled\n"),
    ]


def written(folder: Path, lines: list[tuple[int, str]], jumps: dict[int, int] | None = None) -> Path:
    """Write a trace whose clock jumps; `jumps`: by how much from which time on (us)."""
    path = folder / "trace"
    text = []
    for time, line in sorted(lines):
        shown = 100 * SECOND + time + sum(by for since, by in (jumps or {}).items() if time >= since)
        text.append(line % divmod(shown, SECOND))
    path.write_text("".join(text))
    return path


def busy() -> list[tuple[int, str]]:
    """Return a periodic and a random source, on two CPUs."""
    rng = np.random.default_rng(1)
    lines = [line for number in range(1000 * SECONDS) for line in handled(number * MS, "timer", 24)]
    for time in rng.integers(0, SECONDS * SECOND, 500 * SECONDS).tolist():
        lines += handled(time, "eth0", 25, cpu=1)
    return lines


def told(found: Calibration) -> dict[str, tuple[str, float]]:
    return {each.name: (each.process.kind, each.process.rate_hz) for each in found.sources or ()}


@pytest.mark.parametrize("by", JUMPS.values(), ids=JUMPS.keys())
def test_rates_and_kinds_are_those_without_the_jump(by: int, tmp_path: Path) -> None:
    plain = calibrate(written(tmp_path, busy()))
    assert told(plain)["timer"] == ("periodic", pytest.approx(1000, rel=1e-4))
    assert told(plain)["eth0"][0] == "poisson"
    assert plain.warnings == ()
    found = calibrate(written(tmp_path, busy(), {1_500_300: by}))
    assert told(found)["timer"] == ("periodic", pytest.approx(1000, rel=1e-4))
    assert told(found)["eth0"] == ("poisson", pytest.approx(told(plain)["eth0"][1], rel=1e-3))
    durations = {each.name: each.duration.mean_ns for each in found.sources or ()}
    assert durations == pytest.approx({each.name: each.duration.mean_ns for each in plain.sources or ()}, rel=1e-3)
    assert found.warnings[0].startswith("trace: after 101.500")
    assert ("back" in found.warnings[0]) == (by < 0)


def test_where_and_how_long_is_said(tmp_path: Path) -> None:
    path = written(tmp_path, busy(), {1_500_000: 5 * SECOND, 2_700_000: -2 * SECOND})
    forward, back = find_jumps(Trace(path))
    assert str(forward) == "after 101.499005 no CPU does anything for 5.001 s: cut out as a jump of the clock"
    assert str(back).startswith("after 107.69")
    assert str(back).endswith("the clock jumps back by 1.999 s, which is cut out")
    assert told(calibrate(path))["timer"] == ("periodic", pytest.approx(1000, rel=1e-4))


@pytest.mark.parametrize("by", JUMPS.values(), ids=JUMPS.keys())
def test_a_replay_is_as_long_as_without_the_jump(by: int, tmp_path: Path) -> None:
    plain = read_recorded(written(tmp_path, busy()))
    noise = read_recorded(written(tmp_path, busy(), {1_500_300: by}))
    assert noise.length_ns == pytest.approx(plain.length_ns, abs=2_000_000)
    for before, after in zip(plain.sources, noise.sources, strict=True):
        assert len(before.arrivals) - len(after.arrivals) in (0, 1)  # the one that the jump parts
        assert after.arrivals[-1] == pytest.approx(before.arrivals[-1], abs=2_000_000)
    assert any("101.500" in warning for warning in noise.warnings)


IDLE = {
    "a few events a second": lambda rng: np.cumsum(rng.exponential(SECOND / 3, 300)),
    "hardly any": lambda rng: np.cumsum(rng.exponential(5 * SECOND, 200)),
    "many at once every 2 s": lambda rng: (np.arange(100)[:, None] * 2 * SECOND + np.arange(200) * 50).ravel(),
    "work and rest in turn": lambda rng: (np.arange(8)[:, None] * 6 * SECOND + np.arange(3000) * 1000).ravel(),
    "rest at the end": lambda rng: np.append(np.arange(3000) * 1000, 9 * SECOND),
}


@pytest.mark.parametrize("draw", IDLE.values(), ids=IDLE.keys())
def test_an_idle_machine_is_taken_as_it_was(draw, tmp_path: Path) -> None:
    times = draw(np.random.default_rng(2)).astype(int).tolist()
    path = written(tmp_path, [line for time in times for line in handled(time, "eth0", 24)])
    assert find_jumps(Trace(path)) == ()
    (found,) = calibrate(path).sources or ()
    assert found.process.rate_hz == pytest.approx(1e6 * len(times) / (times[-1] - times[0]), rel=0.02)


def test_a_file_that_jumps_all_the_time_is_told_of_in_few_words(tmp_path: Path) -> None:
    found = calibrate(written(tmp_path, busy(), {100_300 * n: -50 * MS for n in range(1, 30)}))
    assert sum("the clock jumps" in warning for warning in found.warnings) == 6
    assert "the clock jumps 24 times more, which is cut out" in found.warnings[5]
