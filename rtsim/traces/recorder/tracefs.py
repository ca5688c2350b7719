"""Kernel events, recorded in an ftrace instance of our own: nothing that others trace is touched, nothing stays behind.

The ring buffer lives in memory and is read after the measurement, so that no reader and no disk disturbs it. It keeps
the last events; ftrace's header says how many were overwritten.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rtsim.inputs.errors import InputError

__all__ = ["EVENTS", "Instance", "available_tracers", "rtla_undone", "tracefs", "tracefs_mounted"]

TRACEFS = Path("/sys/kernel/tracing")
_OTHER_PLACES = (TRACEFS, Path("/sys/kernel/debug/tracing"))

EVENTS = (
    "sched/sched_switch", "sched/sched_waking", "sched/sched_wakeup", "sched/sched_wakeup_new",
    "sched/sched_migrate_task", "sched/sched_stat_runtime", "sched/sched_pi_setprio",
    "irq/irq_handler_entry", "irq/irq_handler_exit",
    "irq/softirq_raise", "irq/softirq_entry", "irq/softirq_exit",
    "irq_vectors/local_timer_entry", "irq_vectors/local_timer_exit", "irq_vectors/reschedule_entry",
    "irq_vectors/reschedule_exit", "irq_vectors/call_function_entry", "irq_vectors/call_function_exit",
    "irq_vectors/call_function_single_entry", "irq_vectors/call_function_single_exit",
    "irq_vectors/irq_work_entry", "irq_vectors/irq_work_exit",
    "timer/hrtimer_start", "timer/hrtimer_expire_entry", "timer/hrtimer_expire_exit",
    "timer/timer_expire_entry", "timer/timer_expire_exit", "power/cpu_idle",
    "workqueue/workqueue_execute_start", "workqueue/workqueue_execute_end", "nmi/nmi_handler",
    "kvm/kvm_entry", "kvm/kvm_exit",
)  # fmt: skip
"""What says who ran, and what took time from it. Those that the kernel does not have are left out."""

_TEXT_OF_BINARY = 5
"""Bytes of text that one byte of ring buffer becomes, at most: sched_switch takes 64 bytes there and 180 as text."""


def tracefs_mounted() -> Path | None:
    """Return where tracefs is mounted, None if nowhere or not for us."""
    for place in _OTHER_PLACES:
        if (place / "available_tracers").is_file() and os.access(place / "instances", os.W_OK):
            return place
    return None


@contextmanager
def tracefs() -> Iterator[Path]:
    """Give tracefs' folder; where it was not mounted, it is for as long as this lasts.

    Raises
    ------
    InputError
        It cannot be mounted.
    """
    found = tracefs_mounted()
    if found is not None:
        yield found
        return
    try:
        subprocess.run(["mount", "-t", "tracefs", "nodev", str(TRACEFS)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        raise InputError(str(TRACEFS), "", "expected tracefs, which only root can mount and use") from None
    try:
        yield TRACEFS
    finally:
        subprocess.run(["umount", str(TRACEFS)], check=False, capture_output=True)


def available_tracers(root: Path) -> tuple[str, ...]:
    """Return the tracers of this kernel."""
    return tuple((root / "available_tracers").read_text().split())


@contextmanager
def rtla_undone(root: Path) -> Iterator[None]:
    """Take back what rtla did to tracefs inside, which it does itself unless it is killed.

    These are its instances, and the settings of the osnoise and timerlat tracers, which all instances share.
    """
    instances = root / "instances"
    before = {path.name for path in instances.iterdir()}
    settings = {path: path.read_text() for path in (root / "osnoise").glob("*") if path.is_file()}
    try:
        yield
    finally:
        for path in instances.iterdir():
            if path.name not in before and path.name.startswith(("timerlat", "osnoise")):
                _remove(path)
        for path, value in settings.items():
            with contextlib.suppress(OSError):
                if path.read_text() != value:
                    path.write_text(value)


class Instance:
    """One recording of events; a context manager that leaves no instance behind.

    Parameters
    ----------
    root
        Where tracefs is mounted.
    text_bytes
        How large the text of the trace may become; the ring buffers are made accordingly smaller.
    cpus
        How many CPUs share them.
    """

    def __init__(self, root: Path, text_bytes: int, cpus: int) -> None:
        _remove_stale(root)
        self.path = root / "instances" / f"rtsim-{os.getpid()}"
        self.text_bytes = text_bytes
        self.events: list[str] = []
        self._buffer_kib = max(text_bytes // _TEXT_OF_BINARY // max(cpus, 1) // 1024, 16)

    def __enter__(self) -> Instance:
        try:
            self.path.mkdir()
            self._write("tracing_on", "0")
            self._write("buffer_size_kb", str(self._buffer_kib))
            self._write("trace_clock", "mono")  # the clock of hrtimers and of cyclictest
            self.events = [event for event in EVENTS if self._enable(event)]
            if not self.events:
                raise InputError(str(self.path), "events", "expected events that can be recorded, found none")
        except OSError as error:
            self.close()
            raise InputError(str(self.path), "", f"expected an instance of ftrace: {error.strerror}") from None
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Record from now on."""
        self._write("tracing_on", "1")

    def stop(self) -> None:
        """Record no more."""
        self._write("tracing_on", "0")

    def copy(self, target: Path) -> bool:
        """Write the trace as text; return whether it fitted into the size it may have."""
        left = self.text_bytes
        with open(self.path / "trace", "rb") as source, open(target, "wb") as sink:
            for line in source:
                left -= len(line)
                if left < 0:
                    return False
                sink.write(line)
        return True

    def close(self) -> None:
        """Stop and remove the instance."""
        _remove(self.path)

    def _enable(self, event: str) -> bool:
        switch = self.path / "events" / event / "enable"
        if not switch.is_file():
            return False
        switch.write_text("1")
        return True

    def _write(self, name: str, value: str) -> None:
        (self.path / name).write_text(value)


def _remove(path: Path) -> None:
    if not path.is_dir():
        return
    for name, value in (("tracing_on", "0"), ("events/enable", "0"), ("current_tracer", "nop")):
        with contextlib.suppress(OSError):
            (path / name).write_text(value)
    with contextlib.suppress(OSError):
        path.rmdir()  # tracefs: removes the instance, whatever it holds


def _remove_stale(root: Path) -> None:
    """Remove instances of recordings that were killed and could not do it themselves."""
    for path in (root / "instances").glob("rtsim-*"):
        pid = path.name.removeprefix("rtsim-")
        if pid.isdecimal() and not Path("/proc", pid).exists():
            _remove(path)
