"""Traces of the scheduler: the same events from ftrace, trace-cmd and perf; what is lost, doubtful or no trace."""

import io
import lzma
import shutil
from pathlib import Path

import numpy as np
import pytest

from rtsim.inputs.errors import InputError
from rtsim.traces import text as text_module
from rtsim.traces.events import COLUMNS, MISSING, RUNNING
from rtsim.traces.text import TextTrace
from rtsim.traces.trace import Trace

FIXTURES = Path(__file__).parents[2] / "data" / "measured" / "trace"


def events(*lines, tmp_path):
    path = tmp_path / "trace"
    path.write_text("".join(f"{line}\n" for line in lines))
    trace = Trace(path)
    frame = trace.frame()
    return frame, trace.notes


def only(line, tmp_path):
    frame, notes = events(line, tmp_path=tmp_path)
    assert notes.warnings() == []
    return {name: value for name, value in frame.iloc[0].items() if not np.any(frame[name].isna())}


SWITCH = {
    "time_ns": 34_986_484_000, "cpu": 3, "event": "sched_switch", "pid": 0, "comm": "swapper/3", "prio": 120,
    "state": "R", "other_pid": 312, "other_comm": "per", "other_prio": 19,
}  # fmt: skip
KERNEL_WORDS = "prev_comm=swapper/3 prev_pid=0 prev_prio=120 prev_state=R ==> next_comm=per next_pid=312 next_prio=19"
PLUGIN_WORDS = "swapper/3:0 [120] R ==> per:312 [19]"


@pytest.mark.parametrize(
    "line",
    [
        f"          <idle>-0       [003] d..2.    34.986484: sched_switch: {KERNEL_WORDS}",
        f"          <idle>-0       [003] d..2..    34.986484: sched_switch: {KERNEL_WORDS}",
        f"          <idle>-0       [003] d...    34.986484: sched_switch: {KERNEL_WORDS}",
        f"          <idle>-0       [003]    34.986484: sched_switch: {KERNEL_WORDS}",
        f"          <idle>-0       (-------) [003] d..2.    34.986484: sched_switch: {KERNEL_WORDS}",
        f"          <idle>-0     [003]    34.986484000: sched_switch:         {KERNEL_WORDS}",
        f"          <idle>-0     [003]    34.986484: sched_switch:         {PLUGIN_WORDS}",
        f"         swapper     0 [003]    34.986484:       sched:sched_switch: {KERNEL_WORDS}",
        f"         swapper     0/0   [003]    34.986484:          1 sched:sched_switch: {KERNEL_WORDS}",
        f"          <idle>-0       [003] d..2.    34.986484: sched_switch: {KERNEL_WORDS}\r",
    ],
)
def test_one_event_in_the_words_of_every_tool(line, tmp_path):
    assert only(line, tmp_path) == SWITCH


def test_commands_may_hold_what_separates_fields(tmp_path):
    words = "prev_comm=a b=[1] c-2 prev_pid=7 prev_prio=120 prev_state=S ==> next_comm=x ==> y next_pid=8 next_prio=1"
    row = only(f"  a b=[1] c-2-7     [000] d..2.    1.000001: sched_switch: {words}", tmp_path)
    assert (row["comm"], row["pid"], row["other_comm"], row["other_pid"]) == ("a b=[1] c-2", 7, "x ==> y", 8)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sched_wakeup: comm=per pid=312 prio=-1 target_cpu=003", {"other_pid": 312, "other_prio": -1, "other_cpu": 3}),
        ("sched_wakeup:         per:312 [120] CPU:003", {"other_comm": "per", "other_prio": 120, "other_cpu": 3}),
        ("sched_wakeup: per:312 [120] success=1 CPU:003", {"other_pid": 312, "other_cpu": 3}),
        ("sched_migrate_task: comm=per pid=3 prio=120 orig_cpu=1 dest_cpu=2", {"number": 1, "other_cpu": 2}),
        ("sched_stat_runtime: comm=per pid=3 runtime=5 [ns] vruntime=7 [ns]", {"value_ns": 5, "number": 7}),
        ("sched_pi_setprio: comm=per pid=3 oldprio=120 newprio=49", {"prio": 120, "other_prio": 49}),
        ("irq_handler_entry: irq=27 name=PCIe PME, aerdrv", {"number": 27, "name": "PCIe PME, aerdrv"}),
        ("softirq_entry: vec=7 [action=SCHED]", {"number": 7, "name": "SCHED"}),
        ("local_timer_entry: vector=236", {"number": 236}),
        ("ipi_send_cpu: cpu=2 callsite=x+0x3c callback=0x0", {"other_cpu": 2}),
        (
            "hrtimer_expire_entry: hrtimer=0xff151e4a1bf267d8 now=184616082060 function=tick_nohz_handler/0x0",
            {"number": 0xFF151E4A1BF267D8 - 2**64, "value_ns": 184_616_082_060, "name": "tick_nohz_handler"},
        ),
        ("hrtimer_start: hrtimer=000000008f0c5a5e function=f expires=12", {"number": 0x8F0C5A5E, "value_ns": 12}),
        ("cpu_idle: state=1 cpu_id=3", {"number": 1, "other_cpu": 3}),
        ("cpu_idle: state=4294967295 cpu_id=3", {"number": RUNNING, "other_cpu": 3}),
        ("timer_expire_entry: timer=0x1 function=process_timeout now=42", {"number": 1, "name": "process_timeout"}),
        (
            "irq_noise: local_timer:236 start 78.223082491 duration 79225 ns",
            {"name": "local_timer", "number": 236, "start_ns": 78_223_082_491, "value_ns": 79_225},
        ),
        (
            "thread_noise: ksoftirqd/0:17 start 78.233581394 duration 72220 ns",
            {"other_comm": "ksoftirqd/0", "other_pid": 17, "value_ns": 72_220},
        ),
        ("nmi_noise: start 78.233581394 duration 720 ns", {"start_ns": 78_233_581_394, "value_ns": 720}),
        (
            "sample_threshold: start 78.1 duration 17367 ns interference 3",
            {"value_ns": 17_367, "number": 3},
        ),
        ("kvm_exit: vcpu 2 reason EXTERNAL_INTERRUPT rip 0x1 info 0 0", {"number": 2, "name": "EXTERNAL_INTERRUPT"}),
        ("kvm_entry: vcpu 2, rip 0xffffffff81", {"number": 2}),
        (
            "workqueue_execute_start: work struct 00000000c2c5a39b: function vmstat_update",
            {"name": "vmstat_update"},
        ),
        ("some_other_event: pid=99 anything", {"event": "some_other_event", "pid": 273}),
        ("finish_task_switch <-__schedule", {"event": "function", "name": "finish_task_switch"}),
    ],
)  # fmt: skip
def test_what_an_event_tells(line, expected, tmp_path):
    row = only(f"            hog0-273     [003] d.h..    35.612007: {line}", tmp_path)
    assert {name: row[name] for name in expected} == expected
    assert (row["comm"], row["time_ns"], row["cpu"]) == ("hog0", 35_612_007_000, 3)


FILES = {
    "ftrace-6.12-rt.txt": ["5784 events before the first one were overwritten"],
    "ftrace-boot.txt": [],
    "ftrace-tgid-overwritten.txt": ["15945 events before the first one were overwritten"],
    "ftrace-pipe-lost.txt": ["events were lost in 2 places, 75166 or more of them"],
    "trace-cmd-report.txt": [],
    "trace-cmd-osnoise.txt": None,  # two reports in one
    "perf-sched-script.txt": [],
    "perf-script-pid-tid.txt": [],
}


@pytest.mark.parametrize("name", FILES)
def test_recorded_texts_are_read_line_by_line(name):
    lines = (FIXTURES / name).read_text().splitlines()
    trace = Trace(FIXTURES / name)
    frame = trace.frame()
    assert len(frame) == sum(not line.startswith(("#", "cpus=")) for line in lines)
    assert list(frame.columns) == list(COLUMNS)
    assert frame["event"].notna().all()
    switches = frame[frame["event"] == "sched_switch"]
    assert switches[["prio", "state", "other_pid", "other_comm", "other_prio"]].notna().all(axis=None)
    if FILES[name] is not None:
        assert trace.notes.warnings() == FILES[name]


def test_one_recording_reads_the_same_through_plugins_and_without():
    through = Trace(FIXTURES / "perf-sched-script.txt").frame().head(50)
    precise = Trace(FIXTURES / "perf-script-pid-tid.txt").frame().head(50)
    assert (precise["time_ns"] // 1000 * 1000).tolist() == through["time_ns"].tolist()
    same = [name for name in COLUMNS if name != "time_ns"]
    assert through[same].astype(str).equals(precise[same].astype(str))


def test_lost_events_keep_their_place():
    frame = Trace(FIXTURES / "ftrace-pipe-lost.txt").frame()
    lost = frame[frame["event"] == "lost_events"]
    assert lost["number"].tolist() == [12310, 62856]
    assert lost["cpu"].tolist() == [1, 0]
    trace = Trace(FIXTURES / "trace-cmd-dropped.txt")
    dropped = trace.frame("lost_events")
    assert dropped["number"].isna().tolist() == [True, False, False]
    assert trace.notes.lost_events == 1516 + 1221


@pytest.mark.parametrize(("name", "tool"), [("sched.dat", "trace-cmd"), ("perf.data", "perf")])
def test_binary_traces_are_decoded_by_their_tools(name, tool, tmp_path):
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    path = tmp_path / name
    path.write_bytes(lzma.decompress((FIXTURES / f"{name}.xz").read_bytes()))
    trace = Trace(path)
    frame = trace.frame("sched_switch")
    assert trace.notes.warnings() == []
    assert len(frame) > 100
    assert frame["other_comm"].eq("cyclictest").any()
    assert (frame["time_ns"] % 1000 != 0).any()
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match=f"expected (a file that {tool} can read|events of a trace)"):
        Trace(path).frame()


def test_a_tool_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "trace.dat").write_bytes(b"\x17\x08\x44tracing6\0")
    with pytest.raises(InputError, match="expected trace-cmd to be installed"):
        Trace(tmp_path / "trace.dat").frame()


LINE = b"  a-1 [000] d... 1.000001: sched_wakeup: comm=b pid=2 prio=120 target_cpu=001\n"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", "expected events of a trace, found none"),
        (b"hello\nworld\n", "the first line that is none: line 1: 'hello'"),
        (b"\x7fELF\x00\x01", "byte 4: expected the text of a trace"),
        (LINE * 3 + b"\0", "byte 234: expected the text"),
        (LINE.replace(b"1.000001", b"1000001"), "trace_clock that counts ticks"),
        (b"x" * 5_000_000, "lines of at most"),
        (b"hello\n" * 800_000 + LINE, "first line that is none"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "perfetto|Perfetto"),
    ],
)
def test_what_is_no_trace_is_refused(raw, expected, tmp_path):
    (tmp_path / "trace").write_bytes(raw)
    with pytest.raises(InputError, match=expected):
        Trace(tmp_path / "trace").frame()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="expected a readable file"):
        Trace(tmp_path / "missing").frame()
    with pytest.raises(InputError, match="latency-format"):
        Trace(FIXTURES / "ftrace-latency.txt").frame()
    with pytest.raises(InputError, match="counts ticks"):
        Trace(FIXTURES / "ftrace-x86-tsc.txt").frame()


def test_what_is_skipped_or_doubtful_is_said(tmp_path):
    early, late = LINE.decode().rstrip(), LINE.decode().rstrip().replace("1.000001", "20.500000")
    frame, notes = events(early, "garbage", late, early, tmp_path=tmp_path)
    assert len(frame) == 3
    assert notes.warnings() == [
        "1 lines are no events, the first: line 2: 'garbage'",
        "time steps back 1 times, by up to 19499999000 ns",
        "1 silences of 10 s or more, the longest 19.5 s",
    ]


def test_a_last_line_without_end_is_not_taken(tmp_path):
    (tmp_path / "trace").write_bytes(LINE + LINE[:-3])
    trace = Trace(tmp_path / "trace")
    assert len(trace.frame()) == 1
    assert trace.notes.warnings() == ["the end is cut off"]


def test_chunks_join_where_lines_are_split(monkeypatch):
    raw = (FIXTURES / "ftrace-6.12-rt.txt").read_bytes()
    whole = np.concatenate([chunk.values for chunk in TextTrace(io.BytesIO(raw), "x")], axis=1)
    monkeypatch.setattr(text_module, "_CHUNK_BYTES", 1000)
    monkeypatch.setattr(text_module, "_CHUNK_EVENTS", 3)
    small = [chunk.values for chunk in TextTrace(io.BytesIO(raw), "x")]
    assert max(each.shape[1] for each in small) == 3
    assert np.array_equal(np.concatenate(small, axis=1), whole)


def test_a_frame_of_more_events_than_fit_is_refused():
    with pytest.raises(InputError, match="expected at most 10 events at once"):
        Trace(FIXTURES / "ftrace-6.12-rt.txt").frame(limit=10)


def test_columns_are_integers_with_missing_marked():
    chunk = next(iter(Trace(FIXTURES / "ftrace-6.12-rt.txt")))
    assert chunk.values.dtype == np.int64
    assert (chunk.of("local_timer_entry").column("other_pid") == MISSING).all()
    assert len(chunk.of("no_such_event")) == 0
