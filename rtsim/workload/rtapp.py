"""Tasks in rt-app's words: one run a period, or one run without end. Times are in us, as rt-app has them."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from rtsim.engine.builder import Builder
from rtsim.inputs.models import StrictModel
from rtsim.workload.policies import POLICIES, REALTIME, Cpus, check_priority, timer_slack_ns

__all__ = ["TaskModel", "add_task"]

US = 1_000
SCHED_POLICIES = {f"SCHED_{name.upper()}": name for name in ("fifo", "rr", "other", "batch", "idle")}


class TimerModel(StrictModel):
    """rt-app's timer: an absolute period."""

    ref: str = "unique"
    period: int = Field(gt=0)
    mode: Literal["absolute"] = "absolute"


class TaskModel(StrictModel):
    """One task; `overrun` and `timer_slack` (ns) are rtsim's own."""

    policy: Literal["SCHED_FIFO", "SCHED_RR", "SCHED_OTHER", "SCHED_BATCH", "SCHED_IDLE"] = "SCHED_OTHER"
    priority: int | None = None
    cpus: Cpus | None = None
    loop: Literal[-1] = -1
    run: int = Field(ge=-1)
    timer: TimerModel | None = None
    delay: int = Field(default=0, ge=0)
    overrun: Literal["catch_up", "skip"] = "catch_up"
    timer_slack: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check_priority(SCHED_POLICIES[self.policy], self.priority)
        if self.run == -1 and (self.timer is not None or self.delay):
            raise ValueError("expected neither timer nor delay with run: -1, which never ends")
        if self.run != -1 and self.timer is None:
            raise ValueError("expected a timer with a run that ends")
        return self


def add_task(builder: Builder, name: str, kernel: int, task: TaskModel, cpus: tuple[int, ...]) -> int:
    """Add the task on `cpus` of `kernel`; return its row."""
    policy = SCHED_POLICIES[task.policy]
    priority = task.priority if task.priority is not None else 10 if policy in REALTIME else 0
    if task.timer is None:
        return builder.hog(name, kernel, cpus, POLICIES[policy], priority)
    return builder.periodic(
        name,
        kernel,
        cpus,
        POLICIES[policy],
        priority,
        period_ns=task.timer.period * US,
        first_ns=task.delay * US,
        work=builder.constant(task.run * US),
        slack_ns=timer_slack_ns(policy) if task.timer_slack is None else task.timer_slack,
        catch_up=task.overrun == "catch_up",
    )
