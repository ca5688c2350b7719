"""Damaged traces are calibrated from or refused, never a traceback."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given

from rtsim.inputs.errors import InputError
from rtsim.profile import load_profile
from rtsim.profile.calibration import calibrate
from tests.traces.test_fuzz import FUZZ, TRACES, damaged


def test_what_is_calibrated_from_a_damaged_trace_is_a_profile(tmp_path: Path) -> None:
    @FUZZ
    @given(damaged(TRACES))
    def read(raw: bytes) -> None:
        (tmp_path / "trace").write_bytes(raw)
        try:
            found = calibrate(tmp_path / "trace")
        except InputError:
            return
        written = load_profile(found.write(tmp_path / "profile.yaml")[-1])
        assert [each.name for each in found.sources or ()] == [
            each.name for each in written.noise if "trace: " in (each.source or "")
        ]

    read()
