"""Damaged traces and recordings are calibrated from and replayed, or refused, never a traceback."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtsim.inputs.errors import InputError
from rtsim.profile import load_profile
from rtsim.profile.calibration import Calibration, calibrate
from rtsim.profile.recorded import read_recorded
from rtsim.traces.compressed import zstd
from tests.traces.test_fuzz import EXAMPLES, FUZZ, MEASURED, TRACES, damaged, originals

HOST = {
    "cmd": b"cyclictest -p 80 -a 3 -i 1000 ; hog0,pol=other,cpus=3 per,type=per,pol=fifo,prio=80,cpus=3,cg=/a/b",
    "host/tasks.csv": b'pid,tid,comm,policy,cgroup\n1,1,per,other,0::/a/b\n2,2,dd,fifo,"1:cpu,cpuacct:/a"\n',
    "host/proc/cmdline": b"BOOT_IMAGE=/vmlinuz isolcpus=managed_irq,domain,1 nohz_full=1 irqaffinity=0\n",
    "recording.json": b'{"schema": 1, "commands": [["cyclictest", "-q"]], "missing": {}}',
    "MANIFEST.sha256": b"0123456789abcdef  trace.txt\n",
}  # fmt: skip
"""What lies beside the trace in a recording's folder."""


def expect_profile(found: Calibration, folder: Path) -> None:
    written = load_profile(found.write(folder / "profile.yaml")[-1])
    assert [each.name for each in found.sources or ()] == [
        each.name for each in written.noise if each.source and each.source.startswith(found.recordings[0])
    ]


def test_what_is_calibrated_from_a_damaged_trace_is_a_profile(tmp_path: Path) -> None:
    @FUZZ
    @given(damaged(TRACES))
    def read(raw: bytes) -> None:
        (tmp_path / "trace").write_bytes(raw)
        with contextlib.suppress(InputError):
            expect_profile(calibrate(tmp_path / "trace"), tmp_path)

    read()


def test_what_a_damaged_trace_replays_is_in_order_and_no_longer_than_the_trace(tmp_path: Path) -> None:
    @FUZZ
    @given(damaged(TRACES))
    def read(raw: bytes) -> None:
        (tmp_path / "trace").write_bytes(raw)
        with contextlib.suppress(InputError):
            noise = read_recorded(tmp_path / "trace")
            for source in noise.sources:
                begin = source.arrivals[:, 0]
                assert (begin[1:] >= begin[:-1]).all()
                assert (source.arrivals >= 0).all()

    read()


@pytest.mark.parametrize("trace", ["trace.txt", "trace.txt.zst"])
def test_recordings_with_a_damaged_file_in_their_folder(trace: str, tmp_path: Path) -> None:
    text = originals(MEASURED, "trace/ftrace-6.12-rt.txt")[0]
    files = {**HOST, trace: zstd.compress(text) if trace.endswith(".zst") else text}
    folder = tmp_path / "night"
    for name, raw in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(raw)
    expect_profile(calibrate(folder), tmp_path)
    readers: tuple[Callable[[Path], object], ...] = (calibrate, read_recorded)

    @settings(FUZZ, max_examples=max(EXAMPLES // 2, 2))
    @given(st.data())
    def read(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(files)))
        (folder / name).write_bytes(data.draw(damaged([files[name]])))
        for reader in readers:
            with contextlib.suppress(InputError):
                reader(folder)
        (folder / name).write_bytes(files[name])

    read()
