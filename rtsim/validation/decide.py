"""The model's decisions beside those of a recorded kernel, one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rtsim.engine import state
from rtsim.engine.builder import Builder
from rtsim.kernel import Kernel
from rtsim.kernel.weights import NICE_0_WEIGHT
from rtsim.scenario.rules import scheduler_fields
from rtsim.sched.replay import KEEP, SWITCH, TICK, UNKNOWN, UNTRACED, WAKEUP, replay
from rtsim.traces.recording import Case, Recording
from rtsim.validation.replay import Decision, Thread, decisions
from rtsim.workload.policies import POLICIES

__all__ = ["Agreement", "Miss", "agreement"]

KINDS = {"wakeup": WAKEUP, "tick": TICK, "switch": SWITCH}
IDLE = NOBODY = -1
UNCHARGED = (-1, UNTRACED)
SAME_INTERRUPT_NS = 100_000
"""A switch, or another wake-up in the interrupt, follows a mark sooner than this."""


@dataclass(frozen=True)
class Miss:
    """A switch at which the model would have run somebody else."""

    time_ns: int
    leaving: str
    kernel: str
    model: str


@dataclass(frozen=True)
class Agreement:
    """How many of a recorded CPU's switches the model decides alike."""

    switches: int
    """Those that the trace tells enough about: not the first appearance of a thread that had been queued before."""
    misses: tuple[Miss, ...]

    @property
    def share(self) -> float:
        """Part of the switches decided alike."""
        return 1 - len(self.misses) / self.switches


def agreement(recording: Recording, case: Case, cpu: int = 3) -> Agreement:
    """Put every decision on `cpu` in the trace of `case` to the model.

    Up to 6.1 the running task's vruntime is the trace's after every decision; later kernels do not trace it, and the
    model keeps its own from the recorded run times.
    """
    found = _staying(list(decisions(case.repetitions[0].trace_text(), cpu)))
    threads = _threads(found)
    rows = {thread.pid: row for row, thread in enumerate(threads)}
    built, _ = _machine(recording, case, threads).build(watched=[])
    events = _events(found, rows)
    answers = np.zeros(len(events), np.int64)
    replay(built, events, answers)
    names = {IDLE: "idle", **{row: thread.name for row, thread in enumerate(threads)}}
    told = [row for row in range(len(events)) if events[row, 1] == SWITCH and answers[row] != UNKNOWN]
    misses = [
        Miss(int(events[row, 0]), *(names[int(number)] for number in (events[row, 2], events[row, 7], answers[row])))
        for row in told
        if answers[row] != events[row, 7]
    ]
    return Agreement(len(told), tuple(misses))


def _staying(found: list[Decision]) -> list[Decision]:
    """Leave out wake-ups of threads that another CPU pulled away before they ran: only that CPU's trace shows it."""
    kept: list[Decision] = []
    runs: set[int] = set()
    """Threads that are next seen running, or leaving, looking back."""
    for decision in reversed(found):
        assert decision.thread is not None or decision.kind != "wakeup"
        if decision.kind != "wakeup":
            runs.update(thread.pid for thread in (decision.thread, decision.next) if thread is not None)
        elif decision.thread is not None:
            if decision.thread.pid not in runs:
                continue
            runs.discard(decision.thread.pid)
        kept.append(decision)
    return kept[::-1]


def _threads(found: Sequence[Decision]) -> list[Thread]:
    """Return who appears, once each: as it first appears, but realtime from the start if it turns realtime."""
    seen: dict[int, Thread] = {}
    for decision in found:
        for thread in (decision.thread, decision.next):
            if thread is not None and not thread.idle and (thread.pid not in seen or not thread.fair):
                seen[thread.pid] = thread
    return list(seen.values())


def _machine(recording: Recording, case: Case, threads: Sequence[Thread]) -> Builder:
    """Return one CPU of the recorded kernel with its threads, all asleep, in their cgroups."""
    kernel = Kernel.of(recording.release, preempt=recording.preempt, hz=recording.hz)
    builder = Builder()
    builder.kernel(1, **scheduler_fields(kernel, _cpu_count(recording)), ipi=builder.constant(0))
    builder.cpu("cpu", 0)
    groups = _add_groups(builder, recording, case)
    tasks = {task.name: task for task in case.tasks}
    for thread in threads:
        task = tasks.get(thread.name)
        priority = thread.prio - 120 if thread.fair else 99 - thread.prio
        policy = POLICIES[task.policy] if task else _policy(thread)
        group = groups.get(task.cgroup, state.NONE) if task else state.NONE
        builder.hog(
            f"{thread.name}-{thread.pid}", 0, [0], policy, priority, state=state.SLEEPING, group=group,
            slice=task.slice_us * 1_000 if task else 0,
        )  # fmt: skip
    return builder


def _policy(thread: Thread) -> int:
    """Return the policy of a kernel thread."""
    if thread.name.startswith("migration/"):
        return state.STOP
    return state.OTHER if thread.fair else state.FIFO


def _cpu_count(recording: Recording) -> int:
    topology = recording.topology
    return int(topology["sockets"] * topology["cores"] * topology["threads"])


def _add_groups(builder: Builder, recording: Recording, case: Case) -> dict[str, int]:
    rows: dict[str, int] = {}
    for path in sorted({task.cgroup for task in case.tasks if task.cgroup}):
        parent = state.NONE
        parts = path.strip("/").split("/")
        for depth in range(1, len(parts) + 1):
            name = "/" + "/".join(parts[:depth])
            if name not in rows:
                rows[name] = builder.group(name, parent=parent, **_limits(case.cgroups.get(name, {})))
            parent = rows[name]
    return rows


def _limits(settings: Mapping[str, str]) -> dict[str, Any]:
    """Return a cgroup's settings as the builder takes them."""
    quota_us = int(settings.get("cpu.cfs_quota_us", -1))
    return {
        "shares": int(settings.get("cpu.shares", NICE_0_WEIGHT)),
        "quota_ns": max(quota_us, 0) * 1_000,
        "period_ns": int(settings.get("cpu.cfs_period_us", 100_000)) * 1_000,
    }


def _events(found: Sequence[Decision], rows: dict[int, int]) -> npt.NDArray[np.int64]:
    table = []
    weights = _running_weights(found)
    for number, (decision, weight) in enumerate(zip(found, weights, strict=True)):
        time_ns = decision.charges[-1].time_ns if decision.charges else decision.time_ns
        charged, vruntime = _charged(decision)
        thread, following = decision.thread, decision.next
        table.append(
            (
                time_ns, KINDS[decision.kind], rows.get(thread.pid, IDLE) if thread else IDLE, weight,
                charged, vruntime, int(decision.resched), rows.get(following.pid, IDLE) if following else IDLE,
            )
        )  # fmt: skip
        if decision.resched and decision.kind != "switch" and _kept(found, number):
            table.append((time_ns, KEEP, NOBODY, weight, *UNCHARGED, 0, NOBODY))
    return np.array(table, np.int64)


def _kept(found: Sequence[Decision], number: int) -> bool:
    """Tell whether the running task went on although its CPU was marked: nothing else follows at once."""
    following = found[number + 1] if number + 1 < len(found) else None
    return following is None or following.time_ns - found[number].time_ns > SAME_INTERRUPT_NS


def _running_weights(found: Sequence[Decision]) -> list[int]:
    """Return the weight of the task that runs before each decision: its priority shows when it leaves."""
    weights = []
    running: Thread | None = None
    for decision in reversed(found):
        if decision.kind == "switch":
            running = decision.thread
        weights.append(running.weight if running is not None and running.fair else 0)
    return weights[::-1]


def _charged(decision: Decision) -> tuple[int, int]:
    """Return what the running task is seen charged up to this decision (ns), and its vruntime then."""
    if not decision.charges:
        return UNCHARGED
    vruntime = decision.charges[-1].vruntime_ns
    if vruntime is None:
        vruntime = UNTRACED
    elif vruntime >= 2**63:  # traced without its sign
        vruntime -= 2**64
    return sum(charge.runtime_ns for charge in decision.charges), vruntime
