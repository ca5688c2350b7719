"""Events of a trace in one tidy form, whichever tool wrote them.

A row is one event. ftrace, trace-cmd, perf and Perfetto print the same events in different words; here each has the
same columns, and what an event does not tell is missing:

| event | columns it fills beside time_ns, cpu, event, pid, comm |
|---|---|
| sched_switch | pid, comm, prio, state: who leaves; other_pid, other_comm, other_prio: who comes |
| sched_waking, sched_wakeup, sched_wakeup_new | other_*: who is woken, other_cpu: where to |
| sched_migrate_task | other_*: who, number: from CPU, other_cpu: to CPU |
| sched_stat_runtime | other_*: who, value_ns: runtime, number: vruntime |
| sched_pi_setprio | other_*: who (its new priority), prio: its old one |
| irq_handler_entry, irq_handler_exit | number: the IRQ, name: the handler (entry only) |
| softirq_raise, softirq_entry, softirq_exit | number: the vector, name: the action |
| hrtimer_*, timer_* | number: the timer's address, name: its function, value_ns: now or expires (hrtimers) |
| \\*_entry, \\*_exit of irq_vectors | number: the vector |
| cpu_idle | number: the state that is entered, `RUNNING` where one is left, other_cpu: which CPU |
| ipi_* | other_cpu: the target where there is one |
| irq_noise, softirq_noise, nmi_noise, thread_noise | name or other_*: the source, number: its vector, start_ns, value_ns: the duration |
| sample_threshold | start_ns, value_ns: the duration, number: interferences |
| kvm_entry, kvm_exit | number: the vCPU, name: the reason (exit) |
| workqueue_execute_start, workqueue_execute_end | name: the function, number: the work's address |
| function | name: the function (function tracer) |
| lost_events | number: how many, where the marker says |

All others have only the first five columns. pid and comm are of the task that ran on the CPU.
"""  # noqa: E501 - a table

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

__all__ = ["COLUMNS", "LOST", "MISSING", "RUNNING", "EventChunk", "TraceNotes"]

Integers = npt.NDArray[np.int64]

COLUMNS: Final = (
    "time_ns", "cpu", "event", "pid", "comm", "prio", "state", "other_pid", "other_comm", "other_prio", "other_cpu",
    "number", "name", "value_ns", "start_ns",
)  # fmt: skip
"""In this order they are the rows of `EventChunk.values`."""

NAMED: Final = ("event", "comm", "state", "other_comm", "name")
"""Columns that hold an index into `EventChunk.names`."""

MISSING: Final = -(2**63)
"""What stands where an event does not tell."""

LOST: Final = "lost_events"

RUNNING: Final = 2**32 - 1
"""State of a CPU that leaves its idle state (PWR_EVENT_EXIT)."""

_ALWAYS = ("time_ns", "cpu", "event")


@dataclass(eq=False)
class TraceNotes:
    """What a reader met besides events; filled while it reads, complete after the last chunk.

    Parameters
    ----------
    events
        Rows read, markers of lost events not counted.
    lost_markers, lost_events
        Places where the tool says that events were lost, and the sum of those that say how many.
    overwritten
        Events that the ring buffer had dropped before the first one here; ftrace's header tells.
    skipped_lines, first_skipped
        Lines that are no event, and the first of them as ``line 12: ...``.
    steps_back, largest_step_back_ns
        Events earlier than the one before them.
    gaps, largest_gap_ns
        Silences of 10 s and more, a jump of the clock or a pause of tracing.
    in_order
        Events are in order of time over all CPUs; else for each CPU only.
    cut_off
        The file ends within a line or a packet.
    """

    events: int = 0
    lost_markers: int = 0
    lost_events: int = 0
    overwritten: int = 0
    skipped_lines: int = 0
    first_skipped: str = ""
    steps_back: int = 0
    largest_step_back_ns: int = 0
    gaps: int = 0
    largest_gap_ns: int = 0
    in_order: bool = True
    cut_off: bool = False
    more: list[str] = field(default_factory=list)

    def warnings(self) -> list[str]:
        """Return one sentence for each thing that makes the events incomplete or doubtful; empty if none does."""
        found = [
            (self.lost_markers, f"events were lost in {self.lost_markers} places, {self.lost_events} or more of them"),
            (self.overwritten, f"{self.overwritten} events before the first one were overwritten"),
            (self.skipped_lines, f"{self.skipped_lines} lines are no events, the first: {self.first_skipped}"),
            (self.steps_back, f"time steps back {self.steps_back} times, by up to {self.largest_step_back_ns} ns"),
            (self.gaps, f"{self.gaps} silences of 10 s or more, the longest {self.largest_gap_ns / 1e9:.1f} s"),
            (self.cut_off, "the end is cut off"),
        ]
        return [text for met, text in found if met] + self.more


@dataclass(frozen=True, eq=False)
class EventChunk:
    """Some consecutive events.

    Parameters
    ----------
    values
        Shape (len(`COLUMNS`), events): what is known, else `MISSING`.
    names
        Texts that the columns in `NAMED` point into; the same list for all chunks of a reader, growing.
    """

    values: Integers
    names: list[str]

    def __len__(self) -> int:
        return int(self.values.shape[1])

    def column(self, name: str) -> Integers:
        """Return one column, shape (events,)."""
        column: Integers = self.values[COLUMNS.index(name)]
        return column

    def of(self, *events: str) -> EventChunk:
        """Return the chunk's events of these names only."""
        codes = [self.names.index(event) for event in events if event in self.names]
        return EventChunk(self.values[:, np.isin(self.column("event"), codes)], self.names)

    def frame(self) -> pd.DataFrame:
        """Return a frame, one row an event: times and numbers as integers, texts as categories, missing where missing.

        Columns: `COLUMNS`; units are in their names.
        """
        # from_codes checks them for duplicates and keeps the order of first appearance
        texts = pd.Index(self.names, dtype=object)
        made = {name: self._shown(name, self.column(name), texts) for name in COLUMNS}
        return pd.DataFrame(made, copy=False)

    @staticmethod
    def _shown(name: str, values: Integers, texts: pd.Index) -> object:
        if name in NAMED:
            codes = np.where(values == MISSING, -1, values).astype(np.int32)
            return pd.Categorical.from_codes(codes, categories=texts, validate=False)
        if name in _ALWAYS:
            return values
        return pd.arrays.IntegerArray(values, values == MISSING)
