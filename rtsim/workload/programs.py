"""From rt-app's tasks to the engine's programs: loops, phases and events become operations, names become rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from rtsim.engine.builder import Builder, Op
from rtsim.engine.constants import (
    NONE,
    OP_AFFINITY,
    OP_BARRIER,
    OP_BLOCK,
    OP_BROADCAST,
    OP_EXIT,
    OP_JUMP,
    OP_LEAVE,
    OP_LOCK,
    OP_LOOP,
    OP_RUN,
    OP_RUNTIME,
    OP_SIGNAL,
    OP_SLEEP,
    OP_SPIN_LOCK,
    OP_SPIN_UNLOCK,
    OP_START,
    OP_TIMER,
    OP_UNLOCK,
    OP_WAIT,
    OP_YIELD,
)
from rtsim.workload.events import ConditionModel, Event, TimerModel
from rtsim.workload.policies import POLICIES, timer_slack_ns
from rtsim.workload.rtapp import PhaseModel, SchedPolicy, TaskModel

__all__ = ["Setting", "add_task", "instance_names"]

US = 1_000
RELEASES = ("timer", "sleep", "wait", "sync", "sig_and_wait", "suspend")
"""Events that end with a new activation."""


@dataclass
class Setting:
    """Where the tasks of one workload run, and what their names stand for.

    Parameters
    ----------
    prefix
        What the names of its threads begin with: ``GUEST/``, or nothing.
    kernel
        Row of the kernel.
    default_policy
        Of tasks that name none.
    clock_poll_ns
        Time between two readings of the CPU clock, of tasks that say nothing else; 0: none.
    activation
        Table of what an activation computes beside its work, NONE: nothing.
    memory_latency
        Of memory as it is here, over that of idle memory at hand.
    """

    builder: Builder
    tasks: Mapping[str, TaskModel]
    prefix: str
    kernel: int
    default_policy: SchedPolicy = "SCHED_OTHER"
    clock_poll_ns: int = 0
    activation: int = NONE
    memory_latency: float = 1.0
    _rows: dict[tuple[str, str], int] = field(default_factory=dict)

    def mutex(self, name: str) -> int:
        """Return the row of a mutex."""
        return self._row("mutex", name)

    def condition(self, name: str) -> int:
        """Return the row of a condition variable."""
        return self._row("condition", name)

    def spinlock(self, name: str) -> int:
        """Return the row of a spinlock."""
        return self._row("spinlock", name)

    def barrier(self, name: str) -> int:
        """Return the row of a barrier: every mention of it, in each instance, is one more that has to come."""
        key = ("barrier", name)
        if key not in self._rows:
            self._rows[key] = self.builder.lock(missing=self._users(name) - 1)
        return self._rows[key]

    def timer(self, thread: str, timer: TimerModel, task: TaskModel) -> int:
        """Return the row of a timer: the thread's own, or shared."""
        unique = timer.ref.startswith("unique")
        key = ("timer", f"{thread}/{timer.ref}" if unique else timer.ref)
        if key not in self._rows:
            among = [task] if unique else list(self.tasks.values())
            same = [each.value for each in _events(among, "timer") if each.value.ref == timer.ref]
            self._rows[key] = self.builder.timer(relative=all(each.mode == "relative" for each in same))
        return self._rows[key]

    def _row(self, kind: str, name: str) -> int:
        if (kind, name) not in self._rows:
            self._rows[kind, name] = self.builder.lock()
        return self._rows[kind, name]

    def _users(self, barrier: str) -> int:
        users: Counter[str] = Counter()
        for task in self.tasks.values():
            for event in _events([task], "barrier"):
                users[event.value] += task.instance
        return users[barrier]


def _events(tasks: list[TaskModel], kind: str) -> Iterator[Event]:
    for task in tasks:
        for phase in task.effective_phases():
            yield from (event for event in phase.events if event.kind == kind)


def instance_names(name: str, task: TaskModel) -> tuple[str, ...]:
    """Return the names of a task's threads: its own, or NAME-0, NAME-1, ... of several instances."""
    return (name,) if task.instance == 1 else tuple(f"{name}-{number}" for number in range(task.instance))


def add_task(setting: Setting, name: str, cpus: tuple[int, ...], *, group: int = NONE) -> dict[str, int]:
    """Add the threads of a task, on `cpus` where its phases say nothing else; return their rows by name."""
    task = setting.tasks[name]
    policy = task.effective_policy(setting.default_policy)
    runtime, deadline, period = task.deadline_ns() if policy == "deadline" else (0, 0, 0)
    threads = {}
    for thread in instance_names(setting.prefix + name, task):
        threads[thread] = setting.builder.program(
            thread, setting.kernel, task.effective_phases()[0].cpus or cpus, POLICIES[policy],
            task.effective_priority(setting.default_policy), _program(setting, thread, name, cpus),
            slack=timer_slack_ns(policy) if task.timer_slack is None else task.timer_slack,
            catch_up=int(task.overrun == "catch_up"), first=task.delay * US, group=group,
            slice=(task.slice or 0) * US, dl_runtime=runtime, dl_deadline=deadline, dl_period=period,
        )  # fmt: skip
    return threads


def _program(setting: Setting, thread: str, name: str, cpus: tuple[int, ...]) -> list[Op]:
    task = setting.tasks[name]
    ops = [Op(OP_START), Op(OP_BLOCK)] if task.delay else []
    start = len(ops)
    phases = task.effective_phases()
    moves = len({phase.cpus or cpus for phase in phases}) > 1
    for phase in phases:
        if moves:
            mask = phase.cpus or cpus
            ops.append(Op(OP_AFFINITY, setting.builder.mask(mask), len(mask)))
        _add_phase(ops, setting, thread, name, phase)
    _add_loop(ops, start, -1 if task.loop is None else task.loop)
    ops.append(Op(OP_EXIT))
    return ops


def _add_phase(ops: list[Op], setting: Setting, thread: str, name: str, phase: PhaseModel) -> None:
    start = len(ops)
    for event in phase.events:
        ops += _operations(setting, thread, name, event)
        if event.kind in RELEASES and setting.activation != NONE:
            ops.append(Op(OP_RUN, setting.activation))
    _add_loop(ops, start, phase.loop)


def _add_loop(ops: list[Op], start: int, times: int) -> None:
    if times < 0:
        ops.append(Op(OP_JUMP, start))
    elif times > 1:
        ops.append(Op(OP_LOOP, start, times))


def _operations(setting: Setting, thread: str, name: str, event: Event) -> list[Op]:
    """Return what rt-app does for an event (run_event in its rt-app.c)."""
    kind, value = event
    task = setting.tasks[name]
    if kind == "run":
        return _run(setting, task, value)
    if kind == "runtime":
        return [Op(OP_RUNTIME, value * US)]
    if kind == "sleep":
        return [Op(OP_SLEEP, value * US), Op(OP_BLOCK)]
    if kind == "timer":
        return [Op(OP_TIMER, setting.timer(thread, value, task), value.period * US), Op(OP_BLOCK)]
    if kind == "yield":
        return [Op(OP_YIELD)]
    return _synchronising(setting, kind, value or name)


def _run(setting: Setting, task: TaskModel, run_us: int) -> list[Op]:
    if run_us <= 0:
        return [Op(OP_RUN, NONE)] if run_us < 0 else []
    poll_ns = setting.clock_poll_ns if task.clock_poll is None else task.clock_poll * US
    work_ns = round(run_us * US * (1 + task.memory_share * (setting.memory_latency - 1)))
    return [Op(OP_RUN, setting.builder.constant(work_ns), poll_ns)]


def _synchronising(setting: Setting, kind: str, value: str | ConditionModel) -> list[Op]:
    if isinstance(value, ConditionModel):
        waiting = _wait(setting.condition(value.ref), setting.mutex(value.mutex))
        return waiting if kind == "wait" else [Op(OP_SIGNAL, setting.condition(value.ref)), *waiting]
    if kind == "lock":
        return [Op(OP_LOCK, setting.mutex(value))]
    if kind == "unlock":
        return [Op(OP_UNLOCK, setting.mutex(value))]
    if kind in ("spin_lock", "spin_unlock"):
        return [Op(OP_SPIN_LOCK if kind == "spin_lock" else OP_SPIN_UNLOCK, setting.spinlock(value))]
    if kind == "signal":
        return [Op(OP_SIGNAL, setting.condition(value))]
    if kind == "broad":
        return [Op(OP_BROADCAST, setting.condition(value))]
    if kind == "barrier":
        return _barrier(setting.barrier(value), setting.mutex(f"barrier {value}"))
    mutex, condition = setting.mutex(value), setting.condition(value)
    inside = _wait(condition, mutex) if kind == "suspend" else [Op(OP_BROADCAST, condition)]
    return [Op(OP_LOCK, mutex), *inside, Op(OP_UNLOCK, mutex)]


def _wait(condition: int, mutex: int) -> list[Op]:
    return [Op(OP_WAIT, condition, mutex), Op(OP_LOCK, mutex)]


def _barrier(barrier: int, mutex: int) -> list[Op]:
    return [
        Op(OP_LOCK, mutex), Op(OP_BARRIER, barrier, mutex), Op(OP_LOCK, mutex),
        Op(OP_LEAVE, barrier), Op(OP_UNLOCK, mutex),
    ]  # fmt: skip
