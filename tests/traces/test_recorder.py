"""The recorder: what it writes, what it refuses, and that it leaves the host as it found it."""

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rtsim.cli import status
from rtsim.inputs.errors import InputError
from rtsim.topology import read_sysfs
from rtsim.traces.cyclictest import read_cyclictest
from rtsim.traces.recorder import Plan, check, host, record, recording, tracefs
from rtsim.traces.recorder.tools import ToolError, run_tool
from rtsim.traces.trace import Trace

ABLE = check()
CPU = min(os.sched_getaffinity(0))
needs_tracefs = pytest.mark.skipif(ABLE["events"] != "", reason=ABLE["events"] or "-")
needs_cyclictest = pytest.mark.skipif(ABLE["cyclictest"] != "", reason=ABLE["cyclictest"] or "-")
needs_rtla = pytest.mark.skipif(ABLE["timerlat"] != "", reason=ABLE["timerlat"] or "-")

CHANGEABLE = (
    "tracing_on", "current_tracer", "set_event", "buffer_size_kb", "trace_clock", "tracing_cpumask", "trace_options",
)  # fmt: skip


def host_state():
    """Everything that recording could leave changed."""
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if "tracefs" in line]
    state = {"mounts": mounts, "sched": {p.name: p.read_text() for p in Path("/proc/sys/kernel").glob("sched_rt*")}}
    state["irqs"] = {str(p): p.read_text() for p in Path("/proc/irq").glob("*/smp_affinity_list")}
    root = tracefs.tracefs_mounted()
    if root is not None:
        state["trace"] = {name: (root / name).read_text() for name in CHANGEABLE}
        state["instances"] = sorted(path.name for path in (root / "instances").iterdir())
    return state


def plan(*parts, seconds=1, **more):
    return Plan(parts, seconds, (CPU,), policy="other", priority=0, **more)


@needs_cyclictest
@needs_tracefs
def test_a_recording_is_whole_and_the_host_as_before(tmp_path):
    before = host_state()
    written = record(tmp_path / "night", plan("cyclictest", "events", text_bytes=32 * 1024 * 1024))
    assert host_state() == before
    folder = tmp_path / "night"
    assert [path.name for path in tmp_path.iterdir()] == ["night"]
    assert written["parts"] == ["cyclictest", "events"]
    assert json.loads((folder / "recording.json").read_text()) == written
    measured = read_cyclictest(folder / "cyclictest.json")
    assert measured.samples().count > 500
    trace = Trace(folder / "trace.txt")
    switches = trace.frame("sched_switch")
    assert switches["other_comm"].eq("cyclictest").any()
    assert trace.notes.cut_off is False
    listed = dict(line.split("  ", 1)[::-1] for line in (folder / "MANIFEST.sha256").read_text().splitlines())
    present = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} - {"MANIFEST.sha256"}
    assert set(listed) == present
    assert all(hashlib.sha256((folder / name).read_bytes()).hexdigest() == listed[name] for name in listed)


def test_what_the_host_is_can_be_read_back(tmp_path):
    host.collect_host(tmp_path)
    assert read_sysfs(tmp_path / "sys").cpus == read_sysfs().cpus
    assert (tmp_path / "proc/cmdline").read_text() == Path("/proc/cmdline").read_text()
    with open(tmp_path / "tasks.csv", encoding="utf-8", newline="") as stream:
        rows = {row["tid"]: row for row in csv.DictReader(stream)}
    own = rows[str(os.getpid())]
    assert own["policy"] == str(os.sched_getscheduler(0))
    assert own["nice"] == str(os.getpriority(os.PRIO_PROCESS, 0))
    assert own["comm"] == Path("/proc/self/comm").read_text().strip()


def test_of_nova_conf_only_placement_is_kept(tmp_path, monkeypatch):
    conf = tmp_path / "nova.conf"
    conf.write_text(
        "[DEFAULT]\ntransport_url = rabbit://nova:secret@host\nvcpu_pin_set = 2-7\n"
        "[compute]\ncpu_dedicated_set = 2-7\n[database]\nconnection = mysql://nova:secret@host\n"
        "[libvirt]\nrbd_secret_uuid = secret\nvirt_type = kvm\n"
    )
    monkeypatch.setattr(host, "_NOVA_CONF", conf)
    assert host._write_nova_conf(tmp_path / "kept")
    kept = (tmp_path / "kept").read_text()
    assert "secret" not in kept
    assert kept.split() == [
        "[DEFAULT]", "vcpu_pin_set", "=", "2-7", "[compute]", "cpu_dedicated_set", "=", "2-7", "[libvirt]",
        "virt_type", "=", "kvm",
    ]  # fmt: skip
    conf.write_text("no section\n")
    assert not host._write_nova_conf(tmp_path / "other")


RUN = """
import sys
from pathlib import Path
from rtsim.cli import status
sys.exit(status(["record", sys.argv[1], "--parts", sys.argv[2], "--duration", "60 s", "--policy", "other",
                 "--cpus", sys.argv[3], "--size", "32"]))
"""


def interrupted(tmp_path, part, number):
    """Start a recording, interrupt it in the middle of `part`; return (exit status, what it said, what it ran)."""
    running = subprocess.Popen(
        [sys.executable, "-c", RUN, str(tmp_path / "night"), part, str(CPU)], stderr=subprocess.PIPE, text=True
    )
    with running:
        for line in running.stderr:
            if line.startswith(f"{part}:"):
                break
        while not (children := children_of(running.pid)):
            time.sleep(0.1)
        time.sleep(1.0)  # in the middle of it
        running.send_signal(number)
        said = running.stderr.read()
    return running.returncode, said, children


def children_of(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@needs_cyclictest
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("part", ["cyclictest", pytest.param("events", marks=needs_tracefs)])
def test_an_interrupted_recording_leaves_nothing(tmp_path, part, number):
    before = host_state()
    code, said, children = interrupted(tmp_path, part, number)
    assert code == 130
    assert said == "rtsim: interrupted\n"
    assert list(tmp_path.iterdir()) == []
    assert host_state() == before
    assert len(children) == 1  # cyclictest was running, and is gone
    assert not Path(f"/proc/{children[0]}").exists()


@needs_tracefs
def test_tracefs_that_was_not_mounted_is_unmounted_again(monkeypatch):
    mounted = []
    monkeypatch.setattr(tracefs, "tracefs_mounted", lambda: None)
    monkeypatch.setattr(tracefs.subprocess, "run", lambda command, **_: mounted.append(command[0]))

    def fail_inside():
        with tracefs.tracefs():
            assert mounted == ["mount"]
            raise InputError("an error", "", "of mine")

    with pytest.raises(InputError, match="of mine"):
        fail_inside()
    assert mounted == ["mount", "umount"]


@needs_tracefs
def test_an_instance_left_by_a_killed_recording_is_removed():
    with tracefs.tracefs() as root:
        ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
        stale = root / "instances" / f"rtsim-{ended.stdout.strip()}"
        stale.mkdir()
        with tracefs.Instance(root, 1024 * 1024, 2):
            assert not stale.exists()


@needs_tracefs
def test_the_trace_stays_within_its_size(tmp_path):
    with tracefs.tracefs() as root, tracefs.Instance(root, 200_000, os.cpu_count()) as instance:
        instance.start()
        for _ in range(50):
            time.sleep(0.001)
        instance.stop()
        assert instance.copy(tmp_path / "whole.txt")
        instance.text_bytes = 3_000
        assert not instance.copy(tmp_path / "cut.txt")
    whole, cut = (tmp_path / "whole.txt").read_bytes(), (tmp_path / "cut.txt").read_bytes()
    assert len(cut) <= 3_000
    assert whole.startswith(cut)
    assert cut.endswith(b"\n")


@needs_tracefs
def test_what_a_killed_rtla_leaves_is_taken_back(tmp_path):
    with tracefs.tracefs() as root:
        others = root / "instances" / "timerlat_of_another"
        others.mkdir()
        try:
            before = host_state()
            with tracefs.rtla_undone(root):
                (root / "instances" / "timerlat_hist").mkdir()
                (root / "instances" / "timerlat_hist" / "events/sched/enable").write_text("1")
            assert host_state() == before
        finally:
            others.rmdir()


def test_settings_of_the_tracers_are_put_back(tmp_path):
    (tmp_path / "instances").mkdir()
    (tmp_path / "osnoise" / "per_cpu").mkdir(parents=True)
    (tmp_path / "osnoise" / "period_us").write_text("1000000")
    with tracefs.rtla_undone(tmp_path):
        (tmp_path / "osnoise" / "period_us").write_text("5")
    assert (tmp_path / "osnoise" / "period_us").read_text() == "1000000"


@needs_rtla
def test_rtla_is_recorded_where_the_kernel_has_its_tracers(tmp_path):
    before = host_state()
    assert record(tmp_path / "night", plan("timerlat", "osnoise"))["parts"] == ["timerlat", "osnoise"]
    assert host_state() == before


def test_a_tool_that_fails_is_quoted_and_its_files_removed(tmp_path, monkeypatch):
    with pytest.raises(ToolError, match="sh: no such thing"):
        run_tool(["sh", "-c", "echo no such thing; exit 3"], 1, tmp_path / "out")

    def fails(work, *_):
        (work / "cyclictest.txt").write_text("partial")
        raise ToolError("cyclictest: no")

    monkeypatch.setitem(recording._RECORDERS, "cyclictest", fails)
    monkeypatch.setattr(recording, "collect_host", lambda folder: [])
    with pytest.raises(InputError, match="expected to record something: cyclictest: cyclictest: no"):
        record(tmp_path / "night", plan("cyclictest"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_folder_that_exists_or_cannot_be_is_refused(tmp_path):
    with pytest.raises(InputError, match="expected a folder that does not exist yet"):
        record(tmp_path, plan("cyclictest"))
    with pytest.raises(InputError, match="expected a folder in a writable one"):
        record(tmp_path / "no" / "where", plan("cyclictest"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "expected a folder to write"),
        (["x", "--parts", "everything"], "--parts: expected some of cyclictest, events, timerlat, osnoise"),
        (["x", "--duration", "1.5 s", "--parts", "cyclictest"], "--duration: expected whole seconds"),
        (["x", "--duration", "soon", "--parts", "cyclictest"], "--duration: expected a duration"),
        (["x", "--interval", "100 ns", "--parts", "cyclictest"], "--interval: expected whole microseconds"),
        (["x", "--cpus", "8000", "--parts", "cyclictest"], "--cpus: expected some of"),
        (["x", "--policy", "best"], "--policy: expected one of fifo, rr, other"),
    ],
)
def test_bad_options_end_in_one_line(arguments, expected, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(recording, "check", lambda: dict.fromkeys(recording.PARTS, ""))
    monkeypatch.setattr("rtsim.traces.recorder.check", lambda: dict.fromkeys(recording.PARTS, ""))
    assert status(["record", *arguments]) == 2
    said = capsys.readouterr().err
    assert expected in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_part_asked_for_by_name_must_be_possible(capsys, monkeypatch, tmp_path):
    hindered = dict.fromkeys(recording.PARTS, "") | {"timerlat": "this kernel has no timerlat tracer"}
    monkeypatch.setattr("rtsim.traces.recorder.check", lambda: hindered)
    assert status(["record", str(tmp_path / "x"), "--parts", "timerlat"]) == 2
    assert "timerlat: expected a host that can record it: this kernel has no timerlat tracer" in capsys.readouterr().err
    assert status(["record", "--check"]) == 0
    assert "this kernel has no timerlat tracer" in capsys.readouterr().out


def test_without_root_or_tools_it_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(tracefs, "tracefs_mounted", lambda: None)
    assert check() == {
        "cyclictest": "cyclictest is not installed (Debian: rt-tests)",
        "events": "tracefs cannot be used: it needs root, and a kernel with ftrace",
        "timerlat": "rtla is not installed",
        "osnoise": "rtla is not installed",
    }
