"""Perfetto's traces, built with Perfetto's own package from the events that a text trace holds."""

from pathlib import Path

import pytest

from rtsim.inputs.errors import InputError
from rtsim.traces.trace import Trace

FTRACE = Path(__file__).parents[2] / "data" / "measured" / "trace" / "ftrace-6.12-rt.txt"

trace_pb2 = pytest.importorskip("perfetto.protos.perfetto.trace.perfetto_trace_pb2")

FIELDS = {
    "sched_switch": {"prev_comm": "comm", "prev_pid": "pid", "prev_prio": "prio", "next_comm": "other_comm",
                     "next_pid": "other_pid", "next_prio": "other_prio"},
    "sched_waking": {"comm": "other_comm", "pid": "other_pid", "prio": "other_prio", "target_cpu": "other_cpu"},
    "softirq_entry": {"vec": "number"},
    "hrtimer_expire_entry": {"hrtimer": "number", "now": "value_ns"},
}  # fmt: skip
STATES = {"R": 0, "R+": 0x100, "S": 1, "D": 2, "X": 0x10, "I": 0x80}


def written(tmp_path, packets):
    path = tmp_path / "trace.pftrace"
    trace = trace_pb2.Trace()
    for packet in packets:
        trace.packet.append(packet)
    path.write_bytes(trace.SerializeToString())
    return path


def bundle(cpu, rows):
    packet = trace_pb2.TracePacket()
    packet.ftrace_events.cpu = cpu
    for _, row in rows.iterrows():
        event = packet.ftrace_events.event.add(timestamp=row["time_ns"], pid=row["pid"])
        body = getattr(event, row["event"])
        for key, column in FIELDS[row["event"]].items():
            setattr(body, key, row[column])
        if row["event"] == "sched_switch":
            body.prev_state = STATES[row["state"]]
    return packet


def test_events_are_the_same_as_in_the_text(tmp_path):
    text = Trace(FTRACE).frame(*FIELDS)
    path = written(tmp_path, [bundle(cpu, text[text["cpu"] == cpu]) for cpu in (0, 1)])
    trace = Trace(path)
    read = trace.frame()
    assert trace.notes.warnings() == []
    expected = text.sort_values(["cpu", "time_ns"], kind="stable")
    for event, fields in FIELDS.items():
        columns = ["time_ns", "cpu", "pid", *fields.values()] + (["state"] if event == "sched_switch" else [])
        a, b = (frame.loc[frame["event"] == event, columns] for frame in (expected, read))
        assert len(a) > 5
        assert a.astype(str).values.tolist() == b.astype(str).values.tolist()


def test_switches_stored_as_columns_are_unfolded(tmp_path):
    packet = trace_pb2.TracePacket()
    packet.ftrace_events.cpu = 2
    compact = packet.ftrace_events.compact_sched
    compact.intern_table.extend(["swapper/2", "per"])
    compact.switch_timestamp.extend([1000, 50])
    compact.switch_prev_state.extend([0, 1])
    compact.switch_next_pid.extend([312, 0])
    compact.switch_next_prio.extend([19, 120])
    compact.switch_next_comm_index.extend([1, 0])
    compact.waking_timestamp.append(990)
    compact.waking_pid.append(312)
    compact.waking_target_cpu.append(2)
    compact.waking_prio.append(19)
    compact.waking_comm_index.append(1)
    frame = Trace(written(tmp_path, [packet])).frame()
    assert frame["time_ns"].tolist() == [990, 1000, 1050]
    assert frame["event"].tolist() == ["sched_waking", "sched_switch", "sched_switch"]
    assert frame["other_pid"].tolist() == [312, 312, 0]
    assert frame["pid"].tolist()[2] == 312  # who came before leaves now
    assert frame["state"].tolist()[1:] == ["R", "S"]
    compact.waking_comm_index[0] = 7
    with pytest.raises(InputError, match="expected indices into its table"):
        Trace(written(tmp_path, [packet])).frame()


def test_lost_events_and_the_cut_end_are_said(tmp_path):
    rows = Trace(FTRACE).frame("sched_waking")
    packet = bundle(0, rows[rows["cpu"] == 0])
    packet.ftrace_events.lost_events = True
    path = written(tmp_path, [packet])
    trace = Trace(path)
    assert trace.frame()["event"].tolist()[0] == "lost_events"
    assert trace.notes.lost_markers == 1
    path.write_bytes(path.read_bytes() + path.read_bytes()[:40])
    trace = Trace(path)
    trace.frame()
    assert trace.notes.cut_off
    path.write_bytes(path.read_bytes() + b"\x99\x99")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"\x0a\x03abc", "byte 0: expected a Perfetto packet"),
        (b"\x0a\x00\x0b", "byte 2: expected a Perfetto packet"),
        (b"\x0a\xff\xff\xff\xff\x7f", "packets of at most"),
        (b"\x0a" + b"\xff" * 12, "packet's length"),
        (b"\x0a\x00", "expected ftrace events in this Perfetto trace"),
    ],
)
def test_what_is_no_perfetto_trace_is_refused(raw, expected, tmp_path):
    (tmp_path / "trace").write_bytes(raw)
    with pytest.raises(InputError, match=expected):
        Trace(tmp_path / "trace").frame()
