"""Damaged files are read or refused, never a traceback; ``RTSIM_FUZZ=50000`` examples a reader for a long run."""

import contextlib
import json
import lzma
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtsim.inputs.errors import InputError
from rtsim.traces.compressed import read_compressed, zstd
from rtsim.traces.events import MISSING
from rtsim.traces.jumps import BACK_NS, find_jumps, parted, without_jumps
from rtsim.traces.measured import Measured
from rtsim.traces.reader import iter_samples, read_measured
from rtsim.traces.recording import read_recording
from rtsim.traces.trace import Trace

CYCLICTEST = Path(__file__).parent / "fixtures"
MEASURED = Path(__file__).parents[2] / "data" / "measured"
RECORDED = MEASURED.parent / "recorded"
EXAMPLES = int(os.environ.get("RTSIM_FUZZ", "60"))
LARGEST = 20_000

FUZZ = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)


def originals(folder, pattern):
    files = sorted(folder.glob(pattern))
    assert files
    return [path.read_bytes()[:LARGEST] for path in files]


READERS = {
    "cyclictest": originals(CYCLICTEST, "cyclictest*"),
    "rtla": originals(MEASURED, "rtla/*"),
    "oslat": originals(MEASURED, "rt-tests/oslat*"),
    "hwlatdetect": originals(MEASURED, "rt-tests/hwlat*"),
    "rt-app": originals(MEASURED, "rt-app/*.log"),
}
TRACES = originals(MEASURED, "trace/*.txt")
PIECES = st.one_of(
    st.binary(max_size=8),
    st.sampled_from([b"\n", b" ", b"-", b"=", b"[", b"]", b":", b"0", b"9" * 30, b"1e9", b"nan", b"-1", b"\0", b"{",
                     b"}", b"\xff", b"pid=", b" ==> ", b"CPU:1 [LOST 5 EVENTS]\n", b"0x", b".", b"# ", b"over:",
                     b"Index"]),
)  # fmt: skip


@st.composite
def damaged(draw, files):
    """One of the files with pieces replaced, moved, doubled or cut off."""
    raw = draw(st.sampled_from(files))
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, len(raw)))
        end = min(len(raw), start + draw(st.integers(0, 80)))
        what = draw(st.sampled_from(["replace", "double", "cut", "swap"]))
        if what == "replace":
            raw = raw[:start] + draw(PIECES) + raw[end:]
        elif what == "double":
            raw = raw[:end] + raw[start:]
        elif what == "cut":
            raw = raw[:start]
        else:
            raw = raw[end:] + raw[:start]
    return raw


@st.composite
def changed(draw, document):
    """A JSON document of which one value is another or is missing."""
    if not isinstance(document, dict | list) or not document or draw(st.integers(0, 4)) == 0:
        return draw(st.sampled_from([None, -1, "x", [3], {"a": 3}, 1.5, []]))
    keys = list(document) if isinstance(document, dict) else list(range(len(document)))
    key, new = draw(st.sampled_from(keys)), document.copy()
    if draw(st.integers(0, 4)) == 0:
        del new[key]
    else:
        new[key] = draw(changed(document[key]))
    return new


@pytest.mark.parametrize("tool", READERS)
def test_what_tools_measured(tool, tmp_path):
    @FUZZ
    @given(damaged(READERS[tool]))
    def read(raw):
        (tmp_path / "file").write_bytes(raw)
        with contextlib.suppress(InputError):
            expect_sound(read_measured(tmp_path / "file"))
        with contextlib.suppress(InputError):
            for frame in iter_samples(tmp_path / "file"):
                assert frame["value_ns"].notna().all()

    read()


def expect_sound(measured: Measured):
    buckets = measured.buckets()
    assert (buckets["count"] > 0).all()
    assert buckets["count"].sum() == sum(thread.samples.count for thread in measured.threads)
    for thread in measured.threads:
        thread.samples.to_dist()
    measured.latencies()


def test_text_traces(tmp_path):
    @FUZZ
    @given(damaged(TRACES))
    def read(raw):
        (tmp_path / "trace").write_bytes(raw)
        trace = Trace(tmp_path / "trace")
        with contextlib.suppress(InputError):
            rows = 0
            for chunk in trace:
                expect_event_columns(chunk)
                rows += len(chunk)
            assert rows == trace.notes.events
            assert rows + trace.notes.skipped_lines <= raw.count(b"\n")
            trace.notes.warnings()

    read()


@pytest.mark.parametrize("packed", [zstd.compress, lzma.compress], ids=["zst", "xz"])
@pytest.mark.parametrize("before", [True, False], ids=["damaged before", "damaged after"])
def test_compressed_traces(packed, before, tmp_path):
    files = TRACES if before else [packed(raw) for raw in TRACES]

    @FUZZ
    @given(damaged(files))
    def read(raw):
        (tmp_path / "trace").write_bytes(packed(raw) if before else raw)
        with contextlib.suppress(InputError):
            for chunk in Trace(tmp_path / "trace"):
                expect_event_columns(chunk)
        with contextlib.suppress(InputError):
            read_compressed(tmp_path / "trace")

    read()


def test_jumps_of_the_clock_are_cut_out_of_damaged_traces(tmp_path):
    @FUZZ
    @given(damaged(TRACES))
    def read(raw):
        (tmp_path / "trace").write_bytes(raw)
        with contextlib.suppress(InputError):
            trace = Trace(tmp_path / "trace")
            jumps = find_jumps(trace)
            times = np.concatenate([without_jumps(*part).column("time_ns") for part in parted(trace, jumps)])
            assert len(times) == trace.notes.events + len(jumps)
            assert (np.diff(times) > -BACK_NS).all()

    read()


@pytest.mark.parametrize(
    "case", ["kernel-6.1-cfs/cyc-fifo80-hog3", "kernel-6.1-cfs/cg4096x1+1024x2", "native-6.18-eevdf/cyc-fifo80-hog1"]
)
def test_recorded_cases_with_a_damaged_file(case, tmp_path):
    name, only = case.split("/")
    folder = tmp_path / name
    shutil.copytree(RECORDED / case, folder / only)
    for path in filter(Path.is_file, (RECORDED / name).iterdir()):
        shutil.copy(path, folder)
    if (folder / "summary.json").is_file():
        summary = json.loads((folder / "summary.json").read_text())
        (folder / "summary.json").write_text(json.dumps({only: summary[only]}))
    assert list(read_recording(folder).cases) == [only]
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix in (".json", ""))
    files = {path: path.read_bytes() for path in found}

    @FUZZ
    @given(st.data())
    def read(data):
        path = data.draw(st.sampled_from(list(files)))
        raw = files[path]
        if path.suffix == ".json" and data.draw(st.booleans()):
            path.write_text(json.dumps(data.draw(changed(json.loads(raw)))))
        else:
            path.write_bytes(data.draw(damaged([raw])))
        with contextlib.suppress(InputError):
            read_recording(folder)
        path.write_bytes(files[path])

    read()


def expect_event_columns(chunk):
    assert (chunk.column("time_ns") >= 0).all()
    assert (chunk.column("cpu") >= 0).all()
    for name in ("event", "comm", "state", "other_comm", "name"):
        codes = chunk.column(name)
        assert ((codes == MISSING) | ((codes >= 0) & (codes < len(chunk.names)))).all()
    assert len(chunk.frame()) == np.size(chunk.column("pid"))


@pytest.mark.parametrize(("tool", "file"), [("trace-cmd", "sched.dat"), ("perf", "perf.data")])
def test_binary_traces_that_tools_decode(tool, file, tmp_path):
    """Each is a process, so few of them."""
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")

    @settings(FUZZ, max_examples=max(EXAMPLES // 20, 2))
    @given(damaged([lzma.decompress((MEASURED / "trace" / f"{file}.xz").read_bytes())]))
    def read(raw):
        (tmp_path / "trace").write_bytes(raw)
        with contextlib.suppress(InputError):
            for chunk in Trace(tmp_path / "trace"):
                expect_event_columns(chunk)

    read()


def test_bytes_of_any_kind(tmp_path):
    @FUZZ
    @given(st.binary(max_size=300))
    def read(raw):
        (tmp_path / "file").write_bytes(raw)
        with contextlib.suppress(InputError):
            Trace(tmp_path / "file").frame()
        with contextlib.suppress(InputError):
            expect_sound(read_measured(tmp_path / "file"))

    read()


def test_perfetto_packets(tmp_path):
    trace_pb2 = pytest.importorskip("perfetto.protos.perfetto.trace.perfetto_trace_pb2")
    trace = trace_pb2.Trace()
    for cpu in range(2):
        events = trace.packet.add().ftrace_events
        events.cpu = cpu
        for time_ns in range(1000, 9000, 1000):
            event = events.event.add(timestamp=time_ns, pid=3)
            event.sched_switch.next_comm, event.sched_switch.next_pid = "per", 312
        events.compact_sched.intern_table.append("per")
        for column in ("timestamp", "prev_state", "next_pid", "next_prio", "next_comm_index"):
            getattr(events.compact_sched, f"switch_{column}").extend([0, 0])

    @FUZZ
    @given(damaged([trace.SerializeToString()]))
    def read(raw):
        (tmp_path / "trace").write_bytes(raw)
        with contextlib.suppress(InputError):
            for chunk in Trace(tmp_path / "trace"):
                expect_event_columns(chunk)

    read()
