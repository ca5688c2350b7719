"""Workloads in rt-app's words: tasks of phases of events, as in its JSON files. Times are in us, as rt-app has them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from rtsim.inputs.errors import shown
from rtsim.inputs.models import StrictModel
from rtsim.workload.events import EVENTS, LONGEST_US, Event, check_spinlocks, split_events, takes_time
from rtsim.workload.policies import REALTIME, Cpus, check_deadline, check_priority

__all__ = ["GlobalModel", "PhaseModel", "ResourceModel", "RtAppModel", "TaskModel"]

SchedPolicy = Literal["SCHED_FIFO", "SCHED_RR", "SCHED_OTHER", "SCHED_BATCH", "SCHED_IDLE", "SCHED_DEADLINE"]
SCHED_POLICIES = {f"SCHED_{name.upper()}": name for name in ("fifo", "rr", "other", "batch", "idle", "deadline")}
MOST_INSTANCES = 1000


def _checked_loop(value: int | None) -> int | None:
    if value == 0:
        raise ValueError("expected -1 (for ever) or a number of times from 1, found 0")
    return value


class EventfulModel(StrictModel):
    """A model whose keys may be events as well as fields."""

    events: tuple[Event, ...] = Field(default=(), exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _split(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
            return data
        rest, events = split_events(data, set(super().known_keys()) - {"events"})
        return {**rest, "events": events} if events else rest

    @classmethod
    def known_keys(cls) -> list[str]:
        """Return the keys that may be written, events included."""
        return [*(key for key in super().known_keys() if key != "events"), *EVENTS]


class PhaseModel(EventfulModel):
    """One phase: its events in order, `loop` times. What else it names has to be as the task has it."""

    loop: int = Field(default=1, ge=-1, le=LONGEST_US)
    """How often its events are gone through before the next phase; -1: for ever."""
    cpus: Cpus | None = None
    """By default those of the task."""
    policy: SchedPolicy | None = None
    priority: int | None = None
    taskgroup: str | None = None
    _loop = field_validator("loop")(_checked_loop)

    @model_validator(mode="after")
    def _some_event(self) -> Self:
        if not self.events:
            raise ValueError(f"expected at least one event: {', '.join(EVENTS)}")
        if self.loop == -1 and not any(map(takes_time, self.events)):
            raise ValueError("expected an event that takes time in what loops for ever: run, sleep, timer, ...")
        check_spinlocks(self.events)
        return self


class TaskModel(EventfulModel):
    """One task, or `instance` copies NAME-0, NAME-1, ...; with events of its own, or with `phases` of them.

    `session`, `overrun`, `slice`, `timer_slack`, `clock_poll` and `memory_share` are rtsim's own.
    """

    policy: SchedPolicy | None = None
    """By default `default_policy` of `global`."""
    priority: int | None = None
    """Of SCHED_FIFO and SCHED_RR, by default 10; the nice value of the others, by default 0."""
    dl_runtime: int = Field(default=0, ge=0, le=LONGEST_US, alias="dl-runtime")
    """Of SCHED_DEADLINE: what it may compute in each period."""
    dl_period: int | None = Field(default=None, ge=0, le=LONGEST_US, alias="dl-period")
    """By default as `dl-runtime`."""
    dl_deadline: int | None = Field(default=None, ge=0, le=LONGEST_US, alias="dl-deadline")
    """By default as `dl-period`."""
    cpus: Cpus | None = None
    """By default all, or those of its cgroup's cpuset."""
    taskgroup: str | None = None
    """A path of `cgroups`."""
    session: str | None = Field(default=None, min_length=1)
    """Its session (setsid), such as a login shell's: without a `taskgroup` it shares the autogroup of that session's
    tasks, where sysctl sched_autogroup_enabled is 1. By default none, as kernel threads: it is in the root group."""
    instance: int = Field(default=1, ge=1, le=MOST_INSTANCES)
    """Copies, named NAME-0, NAME-1, ..."""
    delay: int = Field(default=0, ge=0, le=LONGEST_US)
    """When it starts, and where its timers begin to count."""
    loop: int | None = Field(default=None, ge=-1, le=LONGEST_US)
    """How often it goes through its phases; by default, and with -1, for ever."""
    phases: dict[str, PhaseModel] | None = Field(default=None, min_length=1)
    """One after the other, in the order written."""
    overrun: Literal["catch_up", "skip"] = "catch_up"
    """What becomes of releases of absolute timers that are missed: served late, or left out."""
    slice: int | None = Field(default=None, ge=1, le=LONGEST_US)
    """In us: the slice it asks EEVDF for (sched_setattr; fair policies, from 6.12 on)."""
    timer_slack: int | None = Field(default=None, ge=0, le=10**12)
    """In ns: how late its timers may go off; by default 50 us, 0 for realtime and deadline policies."""
    clock_poll: int | None = Field(default=None, ge=0, le=LONGEST_US)
    """In us: time between two readings of the CPU clock (CLOCK_THREAD_CPUTIME_ID) while it computes; 0: it reads none.
    By default the profile's."""
    memory_share: float = Field(default=0.0, ge=0, le=1)
    """Of what it computes (`run`), the share that waits for memory, where that is idle and at hand: remote or contended
    memory makes it longer."""
    _loop = field_validator("loop")(_checked_loop)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_events()
        if self.policy is not None:
            self.check_policy(self.policy)
        if self.overrun == "skip" and not self._has_absolute_timer():
            raise ValueError("expected a timer of mode absolute with overrun: skip")
        return self

    def _check_events(self) -> None:
        if bool(self.events) == bool(self.phases):
            raise ValueError(f"expected either phases or events ({', '.join(EVENTS)})")
        check_spinlocks(self.events)
        everything = [event for phase in self.effective_phases() for event in phase.events]
        if self.loop in (None, -1) and not any(map(takes_time, everything)):
            raise ValueError("expected an event that takes time in what loops for ever: run, sleep, timer, ...")

    def _has_absolute_timer(self) -> bool:
        events = [event for phase in self.effective_phases() for event in phase.events]
        return any(event.kind == "timer" and event.value.mode == "absolute" for event in events)

    def effective_phases(self) -> tuple[PhaseModel, ...]:
        """Return its phases; events of its own are the only one."""
        if self.phases:
            return tuple(self.phases.values())
        return (PhaseModel.model_construct(events=self.events),)

    def check_policy(self, default: SchedPolicy) -> None:
        """Raise ValueError unless the kernel accepts its policy, by default `default`, with its parameters."""
        policy = self.effective_policy(default)
        check_priority(policy, self.priority)
        if policy == "deadline":
            check_deadline(*(ns // 1000 for ns in self.deadline_ns()))
        elif self.dl_runtime or self.dl_period is not None or self.dl_deadline is not None:
            raise ValueError("expected dl-runtime, dl-period and dl-deadline with SCHED_DEADLINE only")
        if self.slice is not None and policy in (*REALTIME, "deadline"):
            raise ValueError(f"expected a slice with fair policies only, found it with {policy}")
        for phase in self.effective_phases():
            self._check_phase(phase, policy, default)

    def _check_phase(self, phase: PhaseModel, policy: str, default: SchedPolicy) -> None:
        own = phase.policy is not None and SCHED_POLICIES[phase.policy] != policy
        if own or phase.priority not in (None, self.effective_priority(default)):
            raise ValueError("expected each phase with the policy and priority of its task: changes are not modelled")
        if phase.taskgroup not in (None, self.taskgroup):
            raise ValueError("expected each phase in the taskgroup of its task: changes are not modelled")

    def effective_policy(self, default: SchedPolicy) -> str:
        """Return its policy, by default `default`."""
        return SCHED_POLICIES[self.policy or default]

    def effective_priority(self, default: SchedPolicy) -> int:
        """Return its priority or nice value; rt-app's default for realtime policies is 10."""
        if self.priority is not None:
            return self.priority
        return 10 if self.effective_policy(default) in REALTIME else 0

    def deadline_ns(self) -> tuple[int, int, int]:
        """Return runtime, deadline and period of SCHED_DEADLINE, completed as rt-app does."""
        period = self.dl_runtime if self.dl_period is None else self.dl_period
        deadline = period if self.dl_deadline is None else self.dl_deadline
        return self.dl_runtime * 1000, deadline * 1000, period * 1000


class ResourceModel(StrictModel):
    """An entry of rt-app's `resources`. They are made where events name them; declaring one changes nothing."""

    type: str = "run"
    target: str | None = None


class GlobalModel(StrictModel):
    """rt-app's `global`: what has no influence on scheduling is accepted and left alone."""

    default_policy: SchedPolicy = "SCHED_OTHER"
    duration: int = Field(default=-1, ge=-1, le=LONGEST_US)
    """In s; the scenario's duration counts, which has to be no longer."""
    pi_enabled: bool = False
    """Mutexes with priority inheritance; refused."""
    lock_pages: bool = False
    calibration: str | int = "CPU0"
    ftrace: bool | str = False
    gnuplot: bool = False
    logdir: str = "./"
    log_basename: str = "rt-app"
    log_size: str | int = "file"
    io_device: str = "/dev/null"
    mem_buffer_size: int = 4194304
    cumulative_slack: bool = False
    frag: int = 1

    @field_validator("pi_enabled")
    @classmethod
    def _no_inheritance(cls, value: bool) -> bool:
        if value:
            raise ValueError("expected false, found true: mutexes with priority inheritance are not modelled")
        return value


class RtAppModel(StrictModel):
    """What an rt-app file holds."""

    tasks: dict[str, TaskModel] = Field(default_factory=dict)
    resources: dict[str, ResourceModel] = Field(default_factory=dict)
    settings: GlobalModel = Field(default=GlobalModel(), alias="global")
    sessions: dict[str, Annotated[int, Field(ge=-20, le=19)]] = Field(default_factory=dict)
    """Nice values of the autogroups of sessions (/proc/PID/autogroup), by default 0; rtsim's own."""

    @model_validator(mode="after")
    def _sessions_of_tasks(self) -> Self:
        unknown = sorted(set(self.sessions) - {task.session for task in self.tasks.values()})
        if unknown:
            raise ValueError(f"expected sessions of tasks, no task has session {shown(unknown[0])}")
        return self

    @model_validator(mode="after")
    def _policies_by_default(self) -> Self:
        for name, task in self.tasks.items():
            if task.policy is None:
                try:
                    task.check_policy(self.settings.default_policy)
                except ValueError as error:
                    raise ValueError(f"{error} (task {name})") from None
        return self
