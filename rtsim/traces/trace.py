"""Traces of the scheduler, whatever wrote them: one reader for text, ``trace.dat``, ``perf.data`` and Perfetto.

    trace = Trace("trace.dat")
    for chunk in trace:                  # bounded memory
        switches = chunk.of("sched_switch").frame()
    print(trace.notes.warnings())        # what was lost, skipped, out of order

Binary formats are decoded by the tools they belong to, where these are installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import pandas as pd

from rtsim.inputs.errors import InputError
from rtsim.traces.compressed import zstd
from rtsim.traces.events import COLUMNS, EventChunk, TraceNotes
from rtsim.traces.text import TextTrace

__all__ = ["Trace"]

_TRACE_DAT = b"\x17\x08\x44tracing"
_PERF_DATA = b"PERFILE2"
_ZSTANDARD = b"\x28\xb5\x2f\xfd"
_PERFETTO_PACKET = 0x0A
"""Tag of a `TracePacket` in a `Trace`; a text cannot begin with a line feed and then be a trace."""

_IN_TEXT = {
    # nanoseconds, and the kernel's own words instead of the plug-ins'
    _TRACE_DAT: ("trace-cmd", "report", "-N", "-t", "-i"),
    _PERF_DATA: ("perf", "script", "--ns", "-F", "comm,tid,cpu,time,event,trace", "-i"),
}


class Trace:
    """The events of one trace; each iteration reads it anew.

    Parameters
    ----------
    path
        Text of ftrace, trace-cmd or perf, as it is or compressed with Zstandard; ``trace.dat``; ``perf.data``; or a
        Perfetto trace.

    Attributes
    ----------
    notes
        A `TraceNotes` of the last iteration, complete after its last chunk.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.notes = TraceNotes()

    def __iter__(self) -> Iterator[EventChunk]:
        """Yield the events in chunks.

        Raises
        ------
        InputError
            The file is no trace, or the tool that its format needs is missing or refuses it.
        """
        source = str(self.path)
        try:
            with open(self.path, "rb") as stream:
                start = stream.read(16)
                stream.seek(0)
                for magic, command in _IN_TEXT.items():
                    if start.startswith(magic):
                        yield from self._decoded(command)
                        return
                if start[:1] == bytes([_PERFETTO_PACKET]):
                    from rtsim.traces.perfetto import PerfettoTrace  # an optional extra

                    perfetto = PerfettoTrace(stream, source)
                    self.notes = perfetto.notes
                    yield from perfetto
                    return
                text = TextTrace(_unpacked(stream) if start.startswith(_ZSTANDARD) else stream, source)
                self.notes = text.notes
                yield from text
        except (zstd.ZstdError, EOFError) as error:
            raise InputError(source, "", f"expected a whole Zstandard file: {error}") from None
        except OSError as error:
            raise InputError(source, "", f"expected a readable file: {error.strerror}") from None

    def frame(self, *events: str, limit: int = 5_000_000) -> pd.DataFrame:
        """Return all events, or those of these names, as one frame; columns as `EventChunk.frame`.

        Raises
        ------
        InputError
            As iteration; or there are more than `limit` events, which would not fit memory.
        """
        frames, rows = [], 0
        for chunk in self:
            wanted = chunk.of(*events) if events else chunk
            rows += len(wanted)
            if rows > limit:
                raise InputError(str(self.path), "", f"expected at most {limit} events at once, iterate over more")
            frames.append(wanted)
        if not frames:
            return pd.DataFrame(columns=list(COLUMNS))
        names = frames[-1].names
        return pd.concat([EventChunk(each.values, names).frame() for each in frames], ignore_index=True)

    def _decoded(self, command: tuple[str, ...]) -> Iterator[EventChunk]:
        """Yield what the tool prints of the file."""
        tool = command[0]
        if shutil.which(tool) is None:
            raise InputError(str(self.path), "", f"expected {tool} to be installed, which reads this format")
        with (
            tempfile.TemporaryFile() as complaints,
            subprocess.Popen(
                [*command, str(self.path.absolute())], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=complaints,
            ) as running,
        ):  # fmt: skip
            assert running.stdout is not None
            text = TextTrace(running.stdout, str(self.path))
            self.notes = text.notes
            failed: InputError | None = None
            try:
                yield from text
            except InputError as error:
                failed = error
            finally:
                running.stdout.close()
                running.kill()
                code = running.wait()
            complaints.seek(0)
            said = [
                line.strip() for line in complaints.read(4096).decode("utf-8", "replace").split("\n") if line.strip()
            ]
            if code > 0 or (failed and said):
                last = said[-1] if said else f"exit status {code}"
                raise InputError(str(self.path), "", f"expected a file that {tool} can read: {last}")
            if failed:
                raise failed


def _unpacked(stream: IO[bytes]) -> IO[bytes]:
    return cast(IO[bytes], zstd.open(stream))
