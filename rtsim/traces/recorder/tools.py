"""The tools that measure, run for a stated time and ended in any case."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

__all__ = ["Interrupted", "ToolError", "installed", "interruptible", "run_tool"]

_GRACE_S = 15.0
"""What a tool gets to write its results and tidy up before it is killed; rtla needs seconds on a slow machine."""
_OVERTIME_S = 30.0


class Interrupted(KeyboardInterrupt):
    """A signal asked to stop; ends as Ctrl-C does, after everything is put back."""


class ToolError(Exception):
    """A tool ended with an error; its text is the tool's last line."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn the first SIGINT, SIGTERM or SIGHUP inside into `Interrupted`; later ones do not disturb the tidying up."""

    def stop(number: int, _: FrameType | None) -> None:
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(signal.Signals(number).name)

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {each: signal.signal(each, stop) for each in signals}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def installed(tool: str) -> bool:
    """Return whether a tool can be called."""
    return shutil.which(tool) is not None


def run_tool(command: Sequence[str], seconds: float, output: Path) -> None:
    """Run `command`, which ends by itself after about `seconds`; its output goes to `output`.

    Raises
    ------
    ToolError
        It ended with an error, or not at all.
    """
    with open(output, "wb") as sink:
        # a session of its own: Ctrl-C reaches it once, from here
        running = subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True,
            cwd=output.parent,
        )  # fmt: skip
        try:
            code = running.wait(seconds + _OVERTIME_S)
        except subprocess.TimeoutExpired:
            raise ToolError(f"{command[0]} did not end after {seconds:.0f} s") from None
        finally:
            _end(running)
    if code != 0:
        said = output.read_bytes()[-2000:].decode("utf-8", "replace").strip().splitlines()
        raise ToolError(f"{command[0]}: {said[-1].strip() if said else f'exit status {code}'}")


def _end(running: subprocess.Popen[bytes]) -> None:
    """Ask the tool to end, so that it puts back what it changed; kill it if it does not."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if running.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            running.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(_GRACE_S)
