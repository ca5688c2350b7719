"""Small machines with known costs (zero unless given) and what happened on them, for tests on exact traces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder, Names
from rtsim.engine.clock import run_until
from rtsim.engine.fields import KERNEL
from rtsim.engine.state import State
from rtsim.engine.trace import recorded

US = 1_000
MS = 1_000_000
SECOND = 1_000_000_000
TICK = 4 * MS
"""HZ=250."""

BIG_CFS = {"fair": es.CFS, "sched_latency": 24 * MS, "min_granularity": 3 * MS, "wakeup_granularity": 4 * MS}
"""CFS as a kernel with 8 CPUs or more scales it."""


def add_kernel(b: Builder, cpus: int, *, vm_exit: Sequence[int] = (), **fields: int) -> int:
    """Add a kernel with HZ=250; costs (fields that name a table) are given in ns and constant."""
    tables = {name: b.constant(ns) for name, ns in fields.items() if name in COSTS}
    rules = {name: value for name, value in fields.items() if name not in COSTS}
    return b.kernel(
        cpus,
        **{"tick_ns": TICK, "rr_ticks": 25, "base_slice": 2_800_000, **BIG_CFS, **rules},
        **{name: b.constant(0) for name in COSTS} | tables,
        vm_exit=[b.constant(ns) for ns in (*vm_exit, *NO_EXITS)[: len(NO_EXITS)]],
    )  # fmt: skip


NO_EXITS = (0,) * KERNEL["vm_exit"].shape[0]
"""By reason: timer, hlt, external, io, ept, doorbell, pause, kick, arm."""
COSTS = (
    "context_switch", "syscall_exit", "irq_entry", "timer_irq", "tick", "wake", "ipi", "softirq_entry", "idle_exit",
    "preempt_off", "vm_entry", "schedule", "preempt_fair", "put_fair", "cgroup_level", "hrtimer_program",
    "clock_program", "irq_thread_hard", "ktimers", "softirq_exit", "sched_softirq", "enqueue_remote",
)  # fmt: skip


def machine(cpus: int = 1, *, seed: int = 0, trace_length: int = 1 << 14, **kernel: Any) -> Builder:
    """Return a builder with one host kernel, row 0, and its CPUs."""
    b = Builder(seed=seed, trace_length=trace_length)
    add_kernel(b, cpus, **kernel)
    for cpu in range(cpus):
        b.cpu(f"host/cpu{cpu}", 0)
    return b


def job_at(b: Builder, task: int, time_ns: int, duration_ns: int, *, locked: bool = False) -> None:
    """Give `task`, a server, one job at `time_ns`."""
    _once(b, es.NOISE_THREAD, time_ns, duration_ns, task=task, locked=locked)


def interrupt_at(b: Builder, cpu: int, time_ns: int, duration_ns: int, kind: int = es.NOISE_IRQ) -> None:
    """Let noise of `kind` strike `cpu` once."""
    _once(b, kind, time_ns, duration_ns, cpu=cpu)


def exit_at(b: Builder, vcpu: int, time_ns: int, duration_ns: int) -> None:
    """Let `vcpu`, if it is in the guest then, exit to QEMU for `duration_ns` of work under the lock."""
    _once(b, es.NOISE_EXIT, time_ns, duration_ns, task=vcpu)


def fault_at(
    b: Builder, vcpu: int, time_ns: int, duration_ns: int, *, lasting: bool = True, on_disk: bool = False
) -> None:
    """Let `vcpu` miss a page from `time_ns` on, for which the host computes, or the disk takes, `duration_ns`."""
    _once(b, es.NOISE_FAULT, time_ns, duration_ns, task=vcpu, lasting=lasting, on_disk=on_disk)


def _once(b: Builder, kind: int, time_ns: int, duration_ns: int, **target: Any) -> None:
    b.source(
        f"once{len(b.sources)}", kind, duration=b.constant(duration_ns), period_ns=1_000 * SECOND, phase_ns=time_ns,
        **target,
    )  # fmt: skip


@dataclass(frozen=True)
class Run:
    """A state that has run, seen through its names."""

    state: State
    names: Names

    def task(self, name: str) -> Any:
        """Return the row of a task."""
        return self.state.tasks[self.names.tasks.index(name)]

    def switches(self, cpu: int = 0, after_ns: int = -1) -> list[tuple[int, str]]:
        """Return (time, task switched to) on `cpu` in order; ``idle`` is nobody."""
        rows = self.records(es.TR_SWITCH)
        return [(row[0], self._name(row[3])) for row in rows if row[2] == cpu and row[0] > after_ns]

    def stretches(self, name: str, until_ns: int, cpu: int = 0) -> list[tuple[int, int]]:
        """Return (begin, length) of a task's stretches on `cpu` before `until_ns`."""
        switches = [*(switch for switch in self.switches(cpu) if switch[0] < until_ns), (until_ns, "")]
        return [(begin, end - begin) for (begin, who), (end, _) in pairwise(switches) if who == name]

    def samples(self, name: str) -> list[int]:
        """Return the latencies of a task's samples in order, ns."""
        task = self.names.tasks.index(name)
        return [row[4] for row in self.records(es.TR_SAMPLE) if row[3] == task]

    def times(self, kind: int, name: str | None = None) -> list[int]:
        """Return when records of `kind` were written, for one task or all."""
        return [row[0] for row in self.records(kind) if name is None or self._name(row[3]) == name]

    def records(self, *kinds: int) -> list[tuple[int, int, int, int, int]]:
        """Return the records of `kinds` (all: none given) as (time, kind, cpu, task, value)."""
        assert int(self.state.m[0]["trace_next"]) <= len(self.state.trace), "the trace is longer than its ring"
        rows: list[tuple[int, int, int, int, int]] = recorded(self.state).tolist()
        return [row for row in rows if not kinds or row[1] in kinds]

    def causes(self, name: str) -> dict[str, int]:
        """Return what a task's samples waited for, ns in total, without zeros."""
        watch = int(self.task(name)["watch"])
        totals = zip(self.names.causes(), self.state.cause_totals[watch], strict=True)
        return {cause: int(ns) for cause, ns in totals if ns}

    def _name(self, task: int) -> str:
        return self.names.tasks[task] if task >= 0 else "idle"


def run(b: Builder, until_ns: int, watched: Sequence[int] = (), observe_from_ns: int = 0) -> Run:
    """Build and run; the model's own checks (causes sum to latencies, no job lost) hold."""
    return run_state(*b.build(watched, observe_from_ns), until_ns)


def run_state(state: State, names: Names, until_ns: int) -> Run:
    """Run a state; the model's own checks hold."""
    run_until(state, until_ns)
    assert int(state.m[0]["broken_causes"]) == 0
    assert int(state.m[0]["lost_jobs"]) == 0
    return Run(state, names)
