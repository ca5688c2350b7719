"""The model's decisions beside those of a recorded kernel, one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtsim.engine.builder import Builder, Op
from rtsim.engine.constants import FIFO, NEVER, NONE, OP_RUN, OTHER, SLEEPING, STOP
from rtsim.engine.state import State
from rtsim.kernel import Kernel
from rtsim.kernel.weights import NICE_0_WEIGHT
from rtsim.profile import load_profile
from rtsim.scenario.rules import scheduler_fields
from rtsim.sched.replay import AT, KIND, NEXT, RESCHED, SWITCH, TASK, UNKNOWN, replay
from rtsim.traces.recording import Case, Recording
from rtsim.traces.rtwl import RtwlTask
from rtsim.validation.decision_table import (
    NOBODY,
    decision_table,
    ends_of_throttling,
    phase_of,
    threads_of,
    with_remote_wakeups,
    without_pulled,
)
from rtsim.validation.replay import Decision, Thread, decisions, timer_expiries
from rtsim.validation.scenarios import LAB_PROFILE
from rtsim.workload.policies import POLICIES

__all__ = ["Agreement", "Miss", "agreement"]

IDLE_THREAD = Thread(0, "idle", 120)
RECORDED_CPU = 3


@dataclass(frozen=True)
class Miss:
    """A switch at which the model would have run somebody else."""

    time_ns: int
    leaving: Thread
    blocks: bool
    """Whether the one that leaves goes to sleep."""
    kernel: Thread
    model: Thread

    @property
    def rule(self) -> str:
        """The kind of rule that decided otherwise."""
        if _class(self.kernel) != _class(self.model):
            return "whether a class or a group may run"
        if self.leaving in (self.kernel, self.model):
            return "whether the running task goes on"
        return "who follows one that sleeps" if self.blocks else "who follows one that is put back"


@dataclass(frozen=True)
class Agreement:
    """How many of a recorded CPU's switches the model decides alike."""

    switches: int
    """Those that the trace tells enough about: not the first appearance of a thread that had been queued before."""
    misses: tuple[Miss, ...]

    @property
    def share(self) -> float:
        """Part of the switches decided alike; 1 if there are none."""
        return 1 - len(self.misses) / self.switches if self.switches else 1.0


def agreement(recording: Recording, case: Case, cpu: int = RECORDED_CPU) -> Agreement:
    """Put every decision on `cpu` in the trace of `case` to the model.

    Up to 6.6 the running task's vruntime is the trace's after every decision; later kernels do not trace it, and the
    model keeps its own from the recorded run times.

    Raises
    ------
    InputError
        The case has no trace.
    """
    text = case.repetitions[0].trace_text()
    found = without_pulled(list(decisions(text, cpu)))
    if recording.preempt == "rt":
        found = with_remote_wakeups(found, {task.name for task in case.tasks})
    threads = threads_of(found)
    machine, groups = _machine(recording, case, threads)
    _set_rt_periods(machine, found)
    _set_cfs_periods(machine, case, groups, found, timer_expiries(text, cpu, "sched_cfs_period_timer"))
    events = decision_table(found, {thread.pid: row for row, thread in enumerate(threads)})
    answers = np.full(len(events), UNKNOWN)
    replay(machine, events, answers)
    told = (events[:, KIND] == SWITCH) & (answers != UNKNOWN)
    who = {NOBODY: IDLE_THREAD, **dict(enumerate(threads))}
    misses = [
        Miss(int(row[AT]), who[row[TASK]], not row[RESCHED], who[row[NEXT]], who[answer])
        for row, answer in zip(events[told], answers[told], strict=True)
        if answer != row[NEXT]
    ]
    return Agreement(int(told.sum()), tuple(misses))


def _class(thread: Thread) -> str:
    if thread.idle:
        return "idle"
    return "fair" if thread.fair else "realtime"


def _machine(recording: Recording, case: Case, threads: Sequence[Thread]) -> tuple[State, Mapping[str, int]]:
    """Return one CPU of the recorded kernel with its threads, all asleep, and the rows of their cgroups by path."""
    kernel = Kernel.of(recording.release, preempt=recording.preempt, hz=recording.hz)
    n_cpus = int(recording.topology["sockets"] * recording.topology["cores"] * recording.topology["threads"])
    builder = Builder()
    builder.kernel(1, **scheduler_fields(kernel, n_cpus), ipi=builder.constant(0))
    builder.cpu("cpu", 0)
    groups = _add_groups(builder, case)
    tasks = {task.name: task for task in case.tasks}
    for thread in threads:
        _add_thread(builder, thread, tasks.get(thread.name), groups)
    return builder.build(watched=[])[0], groups


def _set_rt_periods(machine: State, found: Sequence[Decision]) -> None:
    """Let the periods of realtime throttling end when the recorded ones did: they began before the recording."""
    queue = machine.rt_rqs[0]
    if queue["rt_runtime"] == NEVER:
        return
    period_ns = int(queue["rt_period"])
    ends = ends_of_throttling(found, lambda thread: thread.realtime, lambda thread: not thread.realtime)
    phase = phase_of(ends, period_ns)
    if phase is not None:
        begin = found[0].time_ns
        machine.sched_timers[queue["rt_timer"]]["expiry"] = begin - (begin - phase) % period_ns


def _set_cfs_periods(
    machine: State, case: Case, groups: Mapping[str, int], found: Sequence[Decision], expiries: Sequence[int]
) -> None:
    """Do so with those of cpu.max. Where their timer is on another CPU, which the trace leaves out, idle times tell."""
    for path, row in groups.items():
        members = {task.name for task in case.tasks if f"{task.cgroup}/".startswith(f"{path}/")}
        shown = ends_of_throttling(found, lambda thread: thread.name in members, lambda thread: thread.idle)  # noqa: B023
        phase = phase_of(expiries or shown, int(machine.groups[row]["period"]))
        if machine.groups[row]["quota"] > 0 and phase is not None:
            machine.groups[row]["period_at"] = phase


def _add_thread(builder: Builder, thread: Thread, task: RtwlTask | None, groups: Mapping[str, int]) -> None:
    """Add a thread as its recorded task says, or as kernel threads are."""
    policy = POLICIES[task.policy] if task else _kernel_policy(thread)
    priority = thread.prio - 120 if thread.fair else 99 - thread.prio
    # What works for a time reads its own CPU clock to know when it is over; hogs do not.
    polls = load_profile(LAB_PROFILE).workload.clock_poll
    reads_ns = polls.constant if polls and task and task.kind != "hog" else 0
    builder.program(
        f"{thread.name}-{thread.pid}", 0, [0], policy, priority, [Op(OP_RUN, NONE, reads_ns)],
        state=SLEEPING, group=groups.get(task.cgroup, NONE) if task else NONE,
        slice=task.slice_us * 1_000 if task else 0,
    )  # fmt: skip


def _kernel_policy(thread: Thread) -> int:
    """Return the policy of a kernel thread."""
    if thread.name.startswith("migration/"):
        return STOP
    return OTHER if thread.fair else FIFO


def _add_groups(builder: Builder, case: Case) -> dict[str, int]:
    """Add the cgroups of the case's tasks and those above them; return their rows by path."""
    rows: dict[str, int] = {}
    for path in sorted({task.cgroup for task in case.tasks if task.cgroup}):
        parent = NONE
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
