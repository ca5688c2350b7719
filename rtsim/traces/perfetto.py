"""Perfetto traces, decoded by Perfetto's own Python package (``pip install rtsim[perfetto]``).

Packets are read one at a time. Perfetto stores what it drained from each CPU's buffer in turn: events are in order of
time for each CPU, not over all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from rtsim.inputs.errors import InputError
from rtsim.traces.events import COLUMNS, LOST, MISSING, NAMED, EventChunk, TraceNotes
from rtsim.traces.scan.tables import FIELDS, KNOWN

__all__ = ["PerfettoTrace"]

_CHUNK_EVENTS = 32 * 1024
_LARGEST_PACKET = 64 * 1024 * 1024

_KIND_NAMES = tuple(FIELDS)
_FIELDS_OF = {event: FIELDS[_KIND_NAMES[kind]] for event, kind in KNOWN}
"""Perfetto keeps the kernel's names of events and of their fields."""

_STATES = ((0x01, "S"), (0x02, "D"), (0x04, "T"), (0x08, "t"), (0x10, "X"), (0x20, "Z"), (0x40, "P"), (0x80, "I"))
_PREEMPTED = 0x100


class PerfettoTrace:
    """The ftrace events of a Perfetto trace, in chunks; iterate once. See `rtsim.traces.text.TextTrace`."""

    def __init__(self, stream: IO[bytes], source: str) -> None:
        self.source = source
        self.notes = TraceNotes(in_order=False)
        self._stream = stream
        self._names: dict[str, int] = {}
        self._texts: list[str] = []
        self._rows: list[list[int]] = []
        self._last: dict[int, int] = {}
        self._running: dict[int, tuple[int, int, int]] = {}

    def __iter__(self) -> Iterator[EventChunk]:
        """Yield the chunks.

        Raises
        ------
        InputError
            The package is not installed, the file is no Perfetto trace or has no ftrace events.
        """
        try:
            from google.protobuf.message import DecodeError
            from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import TracePacket
        except ImportError:
            raise InputError(self.source, "", "expected the package perfetto to be installed") from None
        for at, raw in self._packets():
            try:
                packet = TracePacket.FromString(raw)
            except DecodeError:
                raise InputError(self.source, f"byte {at}", "expected a Perfetto packet, found other bytes") from None
            if packet.HasField("ftrace_events"):
                self._bundle(packet.ftrace_events)
            if len(self._rows) >= _CHUNK_EVENTS:
                yield self._chunk()
        if self._rows:
            yield self._chunk()
        if self.notes.events == 0:
            raise InputError(self.source, "", "expected ftrace events in this Perfetto trace, found none")

    def _chunk(self) -> EventChunk:
        values = np.array(self._rows, dtype=np.int64).T.copy()
        self.notes.events += len(self._rows)
        self._rows = []
        return EventChunk(values, self._texts)

    def _packets(self) -> Iterator[tuple[int, bytes]]:
        at = 0
        while tag := self._stream.read(1):
            if tag != b"\x0a":
                raise InputError(self.source, f"byte {at}", "expected a Perfetto packet, found other bytes")
            length, used = self._varint()
            if length > _LARGEST_PACKET:
                raise InputError(self.source, f"byte {at}", f"expected packets of at most {_LARGEST_PACKET} bytes")
            raw = self._stream.read(length)
            if used == 0 or len(raw) < length:
                self.notes.cut_off = True
                return
            yield at, raw
            at += 1 + used + length

    def _varint(self) -> tuple[int, int]:
        """Return (value, bytes it took); (0, 0) at the end of the file."""
        value = 0
        for used in range(10):
            byte = self._stream.read(1)
            if not byte:
                return 0, 0
            value |= (byte[0] & 0x7F) << (7 * used)
            if byte[0] < 0x80:
                return value, used + 1
        raise InputError(self.source, "", "expected a Perfetto packet's length, found other bytes")

    def _bundle(self, bundle: Any) -> None:
        """Take over what was drained from one CPU."""
        cpu = int(bundle.cpu)
        rows = [row for event in bundle.event if (row := self._event(cpu, event)) is not None]
        rows += self._compact(cpu, bundle.compact_sched)
        rows.sort(key=lambda row: row[0])
        if bundle.lost_events:
            self.notes.lost_markers += 1
            self._rows.append(self._row(max(self._last.get(cpu, 0), 0), cpu, LOST))
        for row in rows:
            back = self._last.get(cpu, row[0]) - row[0]
            self.notes.steps_back += back > 0
            self.notes.largest_step_back_ns = max(self.notes.largest_step_back_ns, back)
            self._last[cpu] = row[0]
        self._rows += rows

    def _row(self, time_ns: int, cpu: int, event: str, **more: int | str) -> list[int]:
        row = [MISSING] * len(COLUMNS)
        known: dict[str, int | str] = {"time_ns": time_ns, "cpu": cpu, "event": event, **more}
        for column, value in known.items():
            row[COLUMNS.index(column)] = self._stored(column, value)
        return row

    def _stored(self, column: str, value: int | str) -> int:
        if column in NAMED:
            text = str(value)
            if text not in self._names:
                self._names[text] = len(self._texts)
                self._texts.append(text)
            return self._names[text]
        if not isinstance(value, int):
            return MISSING
        return value if value < 2**63 else value - 2**64  # addresses

    def _event(self, cpu: int, event: Any) -> list[int] | None:
        name = event.WhichOneof("event")
        if name is None or event.timestamp >= 2**63:
            self.notes.skipped_lines += 1
            self.notes.first_skipped = self.notes.first_skipped or "an event that this version does not know"
            return None
        row = self._row(int(event.timestamp), cpu, name, pid=int(event.pid))
        body = getattr(event, name)
        for key, (column, _) in _FIELDS_OF.get(name, {}).items():
            if key in body.DESCRIPTOR.fields_by_name and body.HasField(key):
                value = getattr(body, key)
                row[column] = self._stored(COLUMNS[column], _state(value) if key == "prev_state" else value)
        return row

    def _compact(self, cpu: int, compact: Any) -> list[list[int]]:
        """Return switches and wake-ups stored as columns; times are differences, commands an index."""
        rows = []
        commands = compact.intern_table
        if any(not 0 <= i < len(commands) for i in (*compact.switch_next_comm_index, *compact.waking_comm_index)):
            raise InputError(self.source, "compact_sched", "expected indices into its table of commands")
        time_ns = 0
        for gap, state, pid, prio, comm in zip(
            compact.switch_timestamp, compact.switch_prev_state, compact.switch_next_pid, compact.switch_next_prio,
            compact.switch_next_comm_index, strict=False,
        ):  # fmt: skip
            time_ns += gap
            row = self._row(time_ns, cpu, "sched_switch", state=_state(state), other_pid=pid, other_prio=prio,
                            other_comm=commands[comm])  # fmt: skip
            if cpu in self._running:
                for column, value in zip(("pid", "prio", "comm"), self._running[cpu], strict=True):
                    row[COLUMNS.index(column)] = value
            self._running[cpu] = (pid, prio, self._stored("comm", commands[comm]))
            rows.append(row)
        time_ns = 0
        for gap, pid, target, prio, comm in zip(
            compact.waking_timestamp, compact.waking_pid, compact.waking_target_cpu, compact.waking_prio,
            compact.waking_comm_index, strict=False,
        ):  # fmt: skip
            time_ns += gap
            rows.append(self._row(time_ns, cpu, "sched_waking", other_pid=pid, other_cpu=target, other_prio=prio,
                                  other_comm=commands[comm]))  # fmt: skip
        if any(row[0] >= 2**63 for row in rows):
            raise InputError(self.source, "compact_sched", "expected times in nanoseconds")
        return rows


def _state(bits: int) -> str:
    """Return the letters that the kernel prints for a task's state."""
    letters = "|".join(letter for bit, letter in _STATES if bits & bit) or "R"
    return letters + ("+" if bits & _PREEMPTED else "")
