"""What cyclictest, oslat and timerlat have in common: one thread a CPU, all of one policy and priority."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import model_validator

from rtsim.inputs.models import StrictModel
from rtsim.workload.policies import REALTIME, Cpus, Policy, check_priority

__all__ = ["ThreadsModel", "thread_names"]


class ThreadsModel(StrictModel):
    """Policy, priority and CPUs of the threads."""

    PRIORITY: ClassVar[int] = 95
    """Of realtime policies, where none is given."""

    policy: Policy = "fifo"
    priority: int | None = None
    """By default 95 for realtime policies and nice 0 for the others."""
    cpus: Literal["rt"] | Cpus = "rt"
    """A thread on each; ``rt``: a guest's realtime vCPUs (all where it has none), all CPUs of a host."""

    @model_validator(mode="after")
    def _priority_of_policy(self) -> Self:
        check_priority(self.policy, self.priority)
        return self

    def effective_priority(self) -> int:
        """Return the priority or nice value in force."""
        if self.priority is not None:
            return self.priority
        return self.PRIORITY if self.policy in REALTIME else 0


def thread_names(name: str, cpus: tuple[int, ...]) -> dict[int, str]:
    """Return the name of each CPU's thread: `name` itself, or ``name/CPU`` each of several."""
    return {cpu: name if len(cpus) == 1 else f"{name}/{cpu}" for cpu in cpus}
