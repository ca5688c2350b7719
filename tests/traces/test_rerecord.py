"""The tools of this host, run now for a moment and read: what a fixture cannot show is a newer version's layout."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from rtsim.inputs.errors import InputError
from rtsim.traces.reader import read_measured
from rtsim.traces.recorder import check, tracefs
from rtsim.traces.trace import Trace

CPU = str(min(os.sched_getaffinity(0)))
ROOT = os.geteuid() == 0
ABLE = check()

#: A command that gives a recording something to hold, however quiet the host is: 50 sleeps.
SLEEPER = (sys.executable, "-c", "import time; [time.sleep(0.001) for _ in range(50)]")


def tool(name):
    return pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is not installed")


def ran(tmp_path, *command, into="out"):
    """Run a tool; return the file with its output, or skip where this host does not allow it."""
    path = tmp_path / into
    with open(path, "wb") as sink:
        done = subprocess.run(command, stdout=sink, stderr=subprocess.PIPE, timeout=180, cwd=tmp_path)
    if done.returncode:
        said = (done.stderr or path.read_bytes())[-200:].decode("utf-8", "replace").strip()
        pytest.skip(f"{command[0]} does not work here: {said}")
    return path


CYCLICTEST = ("cyclictest", "-m", f"-a{CPU}", "-t1", "--policy", "other", "-i", "1000", "-l", "200")


@tool("cyclictest")
@pytest.mark.parametrize("options", [("-q",), ("-q", "-h", "5000"), ("-q", "-H", "5000"), ("-v",), ("-q", "-h", "20")])
def test_cyclictest(options, tmp_path):
    measured = read_measured(ran(tmp_path, *CYCLICTEST, *options))
    assert measured.samples().count in range(190, 202)


@tool("cyclictest")
def test_cyclictest_json(tmp_path):
    ran(tmp_path, *CYCLICTEST, "-q", "-h", "30", "--json=out.json")
    measured = read_measured(tmp_path / "out.json")
    assert measured.samples().count == json.loads((tmp_path / "out.json").read_text())["thread"]["0"]["cycles"]


@tool("oslat")
def test_oslat(tmp_path):
    other = max(os.sched_getaffinity(0))
    command = ("oslat", "--cpu-list", str(other), "--cpu-main-thread", CPU, "--duration", "1s")
    text = read_measured(ran(tmp_path, *command))
    assert text.threads[0].cpu == other
    ran(tmp_path, *command, "-q", "--json=out.json")
    assert read_measured(tmp_path / "out.json").samples().max_ns > 0


@tool("rt-app")
def test_rtapp(tmp_path):
    task = {"policy": "SCHED_OTHER", "loop": 20, "run": 200, "timer": {"ref": "unique", "period": 5000}}
    settings = {"duration": 1, "logdir": str(tmp_path), "log_basename": "log", "calibration": 100, "lock_pages": False}
    (tmp_path / "set.json").write_text(json.dumps({"tasks": {"probe": task}, "global": settings}))
    ran(tmp_path, "rt-app", "set.json")
    measured = read_measured(tmp_path / "log-probe-0.log")
    assert measured.threads[0].name == "probe"
    assert measured.samples().count > 5


@tool("hwlatdetect")
def test_hwlatdetect(tmp_path):
    command = ("hwlatdetect", "--duration=2s", "--threshold=1s", "--window=1s", "--width=100ms")
    assert read_measured(ran(tmp_path, *command)).kinds == ("inner", "outer")


@pytest.mark.skipif(ABLE["timerlat"] != "", reason=ABLE["timerlat"] or "-")
@pytest.mark.parametrize("what", ["timerlat", "osnoise"])
@pytest.mark.parametrize("view", [("hist", "-E", "100"), ("top", "-q")])
def test_rtla(what, view, tmp_path):
    measured = read_measured(ran(tmp_path, "rtla", what, *view, "-d", "2s", "-c", CPU))
    assert measured.tool == what


@tool("perf")
@pytest.mark.skipif(not ROOT, reason="perf sched needs root")
def test_perf(tmp_path):
    ran(tmp_path, "perf", "sched", "record", "-o", "perf.data", *SLEEPER)
    binary = Trace(tmp_path / "perf.data").frame()
    text = Trace(ran(tmp_path, "perf", "sched", "script", "-i", "perf.data")).frame()
    assert (text["event"] == "sched_switch").sum() > 10
    assert text["event"].astype(str).tolist() == binary["event"].astype(str).tolist()


@tool("trace-cmd")
@pytest.mark.skipif(not ROOT, reason="trace-cmd needs root")
def test_trace_cmd(tmp_path):
    ran(tmp_path, "trace-cmd", "record", "-o", "trace.dat", "-e", "sched", *SLEEPER)
    expect_read_alike(tmp_path)


@tool("trace-cmd")
@pytest.mark.skipif(ABLE["events"] != "", reason=ABLE["events"] or "-")
def test_trace_cmd_where_it_cannot_record(tmp_path):
    """Kernels without the function tracer make ``trace-cmd record`` fail; it can still take a buffer that is full."""
    with tracefs.tracefs() as root, tracefs.Instance(root, 8 * 1024 * 1024, os.cpu_count()) as instance:
        instance.start()
        ran(tmp_path, *SLEEPER)
        instance.stop()
        ran(tmp_path, "trace-cmd", "extract", "-B", instance.path.name, "-o", "trace.dat")
    expect_read_alike(tmp_path)


def expect_read_alike(folder):
    binary = Trace(folder / "trace.dat").frame("sched_switch")
    text = Trace(ran(folder, "trace-cmd", "report", "-i", "trace.dat")).frame("sched_switch")
    assert len(text) == len(binary) > 10
    assert text["other_pid"].tolist() == binary["other_pid"].tolist()


@pytest.mark.skipif(ABLE["events"] != "", reason=ABLE["events"] or "-")
def test_ftrace(tmp_path):
    with tracefs.tracefs() as root, tracefs.Instance(root, 8 * 1024 * 1024, os.cpu_count()) as instance:
        instance.start()
        ran(tmp_path, *SLEEPER)
        instance.stop()
        instance.copy(tmp_path / "trace.txt")
    trace = Trace(tmp_path / "trace.txt")
    frame = trace.frame()
    assert trace.notes.skipped_lines == 0
    assert frame["event"].eq("sched_switch").sum() >= 50
    waking = frame[frame["event"] == "sched_waking"]
    assert waking[["other_pid", "other_comm", "other_prio", "other_cpu"]].notna().all(axis=None)


@tool("chromium")
def test_perfetto_of_a_browser(tmp_path):
    """A real Perfetto file, though of no scheduler: Chromium writes its own events with the same library."""
    pytest.importorskip("perfetto")
    trace = tmp_path / "trace.pftrace"
    startup = ("--trace-startup=toplevel", "--trace-startup-duration=1", "--trace-startup-format=proto")
    ran(
        tmp_path, "chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile",
        *startup, f"--trace-startup-file={trace}", "--virtual-time-budget=2000", "--screenshot=page.png", "about:blank",
    )  # fmt: skip
    if not trace.is_file():
        pytest.skip("this Chromium writes no trace of its start")
    with pytest.raises(InputError, match="expected ftrace events in this Perfetto trace, found none"):
        Trace(trace).frame()
