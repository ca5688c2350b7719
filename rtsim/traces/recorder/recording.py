"""One recording: check what the host can do, measure, collect, and put a manifest with hashes beside it.

Parts run one after the other, because each disturbs the others: cyclictest alone, kernel events (with cyclictest under
them), rtla timerlat, rtla osnoise. The folder appears when everything is in it, or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rtsim.inputs.cpulist import format_cpulist
from rtsim.inputs.errors import InputError
from rtsim.traces.recorder import tracefs as ftrace
from rtsim.traces.recorder.host import collect_host
from rtsim.traces.recorder.tools import ToolError, installed, interruptible, run_tool

__all__ = ["PARTS", "Plan", "check", "record"]

PARTS = ("cyclictest", "events", "timerlat", "osnoise")
"""What can be recorded, in the order in which it is."""

_HISTOGRAM_US = 20_000
_RTLA_ENTRIES = 2_000
_MANIFEST = "MANIFEST.sha256"


@dataclass(frozen=True)
class Plan:
    """What to record.

    Parameters
    ----------
    parts
        Of `PARTS`.
    duration_s
        Of each part.
    cpus
        Where to measure; events are of all CPUs.
    interval_us, policy, priority
        cyclictest's: a realtime policy and priority, or ``other`` and 0.
    text_bytes
        How large the text of the events may become.
    """

    parts: tuple[str, ...]
    duration_s: int
    cpus: tuple[int, ...]
    interval_us: int = 1000
    policy: str = "fifo"
    priority: int = 95
    text_bytes: int = 256 * 1024 * 1024


@dataclass
class _Log:
    """What was done: becomes ``recording.json``."""

    commands: dict[str, list[str]] = field(default_factory=dict)
    times: dict[str, list[float]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)


def check() -> dict[str, str]:
    """Return for each part what keeps this host from recording it; empty text where nothing does."""
    root = os.geteuid() == 0
    mounted = ftrace.tracefs_mounted()
    reachable = mounted is not None or (root and ftrace.TRACEFS.is_dir())
    tracers = _tracers() if reachable and root else ()
    found = {
        "cyclictest": "" if installed("cyclictest") else "cyclictest is not installed (Debian: rt-tests)",
        "events": "" if reachable else "tracefs cannot be used: it needs root, and a kernel with ftrace",
    }
    for part in ("timerlat", "osnoise"):
        if not installed("rtla"):
            found[part] = "rtla is not installed"
        elif not root or not reachable:
            found[part] = "rtla needs root and tracefs"
        elif part not in tracers:
            found[part] = f"this kernel has no {part} tracer"
        else:
            found[part] = ""
    return found


def _tracers() -> tuple[str, ...]:
    """Return the tracers of this kernel; tracefs is mounted for a moment if it is not."""
    try:
        with ftrace.tracefs() as root:
            return ftrace.available_tracers(root)
    except (InputError, OSError):
        return ()


def record(folder: Path, plan: Plan, progress: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Record this host into `folder`; return what its ``recording.json`` holds.

    Nothing is left changed on the host, also when a signal ends it: then `InputError` is not raised but
    ``KeyboardInterrupt``, and there is no folder.

    Raises
    ------
    InputError
        The folder exists or cannot be written, or no part could be recorded.
    """
    if folder.exists():
        raise InputError(str(folder), "", "expected a folder that does not exist yet")
    if not folder.parent.is_dir() or not os.access(folder.parent, os.W_OK):
        raise InputError(str(folder), "", f"expected a folder in a writable one, {folder.parent} is none")
    say = progress or (lambda what: None)
    with interruptible():
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            written = _record(work, plan, say)
            work.chmod(0o755)
            work.rename(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return written


def _record(work: Path, plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    log = _Log()
    started = time.time()
    say("collecting what the host is")
    (work / "host").mkdir()
    log.warnings += collect_host(work / "host")
    done = []
    for part in PARTS:
        if part in plan.parts:
            say(f"{part}: {plan.duration_s} s")
            if _tried(part, work, plan, log):
                done.append(part)
    if plan.parts and not done:
        raise InputError(
            "rtsim record", "", f"expected to record something: {'; '.join(log.warnings[-len(plan.parts) :])}"
        )
    after = work / "host-after"
    for name in ("interrupts", "softirqs", "stat"):
        after.mkdir(exist_ok=True)
        (after / name).write_bytes(Path("/proc", name).read_bytes())
    written = {
        "schema": 1, "kernel": platform.release(), "machine": platform.machine(), "started": started,
        "parts": done, **asdict(log),
        "plan": asdict(plan) | {"parts": list(plan.parts), "cpus": format_cpulist(plan.cpus)},
    }  # fmt: skip
    (work / "recording.json").write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    _write_manifest(work)
    return written


def _tried(part: str, work: Path, plan: Plan, log: _Log) -> bool:
    """Record one part; what goes wrong becomes a warning, and what it wrote is removed."""
    begin = time.monotonic()
    try:
        _RECORDERS[part](work, plan, log)
    except (ToolError, InputError, OSError) as error:
        log.warnings.append(f"{part}: {error}")
        for name in _FILES[part]:
            (work / name).unlink(missing_ok=True)
        return False
    log.times[part] = [begin, time.monotonic()]
    return True


def _run(name: str, command: list[str], seconds: float, output: Path, log: _Log) -> None:
    log.commands[name] = command
    run_tool(command, seconds, output)


def _cyclictest(plan: Plan, name: str) -> list[str]:
    realtime = plan.policy != "other"
    return [
        "cyclictest", "--quiet", "--mlockall", f"--policy={plan.policy}",
        *([f"--priority={plan.priority}"] if realtime else []), f"--interval={plan.interval_us}",
        f"--affinity={format_cpulist(plan.cpus)}", f"--threads={len(plan.cpus)}", f"--histogram={_HISTOGRAM_US}",
        f"--duration={plan.duration_s}", f"--json={name}.json",
    ]  # fmt: skip


def _record_cyclictest(work: Path, plan: Plan, log: _Log) -> None:
    _run("cyclictest", _cyclictest(plan, "cyclictest"), plan.duration_s, work / "cyclictest.txt", log)


def _record_events(work: Path, plan: Plan, log: _Log) -> None:
    cpus = os.cpu_count() or 1
    with ftrace.tracefs() as root, ftrace.Instance(root, plan.text_bytes, cpus) as instance:
        log.events = instance.events
        instance.start()
        if installed("cyclictest"):
            name = "cyclictest-traced"
            _run(name, _cyclictest(plan, name), plan.duration_s, work / f"{name}.txt", log)
        else:
            time.sleep(plan.duration_s)
        instance.stop()
        if not instance.copy(work / "trace.txt"):
            log.warnings.append(f"events: the trace is cut off at {plan.text_bytes} bytes")


def _rtla(tool: str) -> Callable[[Path, Plan, _Log], None]:
    def run(work: Path, plan: Plan, log: _Log) -> None:
        command = [
            "rtla", tool, "hist", "-c", format_cpulist(plan.cpus), "-d", f"{plan.duration_s}s", "-b", "1",
            "-E", str(_RTLA_ENTRIES),
        ]  # fmt: skip
        with ftrace.tracefs() as root, ftrace.rtla_undone(root):
            _run(tool, command, plan.duration_s, work / f"{tool}.txt", log)

    return run


_RECORDERS: dict[str, Callable[[Path, Plan, _Log], None]] = {
    "cyclictest": _record_cyclictest, "events": _record_events, "timerlat": _rtla("timerlat"),
    "osnoise": _rtla("osnoise"),
}  # fmt: skip
_FILES = {
    "cyclictest": ("cyclictest.txt", "cyclictest.json"),
    "events": ("trace.txt", "cyclictest-traced.txt", "cyclictest-traced.json"),
    "timerlat": ("timerlat.txt",), "osnoise": ("osnoise.txt",),
}  # fmt: skip


def _write_manifest(work: Path) -> None:
    """Write the hash of every file, in the form that ``sha256sum --check`` reads."""
    names = sorted(path.relative_to(work).as_posix() for path in work.rglob("*") if path.is_file())
    lines = []
    for name in names:
        with open(work / name, "rb") as stream:
            lines.append(f"{hashlib.file_digest(stream, 'sha256').hexdigest()}  {name}\n")
    (work / _MANIFEST).write_text("".join(lines), encoding="utf-8")
