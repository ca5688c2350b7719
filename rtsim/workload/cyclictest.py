"""cyclictest: one thread a CPU that sleeps to absolute times and takes its own lateness."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from rtsim.engine.builder import Builder
from rtsim.engine.random import uniform_below
from rtsim.inputs.models import StrictModel
from rtsim.inputs.units import Duration
from rtsim.workload.policies import POLICIES, REALTIME, Cpus, Policy, check_priority, timer_slack_ns

__all__ = ["CyclictestModel", "add_cyclictest"]

LOOP_NS = 2_000
"""What one loop computes: two clock readings and the statistics (assumed)."""


class CyclictestModel(StrictModel):
    """Its options: ``-i``, ``-p`` with policy, ``-a``."""

    interval: Duration = Field(default=1_000_000, gt=0)
    policy: Policy = "fifo"
    priority: int | None = None
    """By default 95 for realtime policies and nice 0 for the others."""
    cpus: Literal["rt"] | Cpus = "rt"

    @model_validator(mode="after")
    def _priority_of_policy(self) -> Self:
        check_priority(self.policy, self.priority)
        return self

    def effective_priority(self) -> int:
        """Return the priority or nice value in force."""
        if self.priority is not None:
            return self.priority
        return 95 if self.policy in REALTIME else 0


def add_cyclictest(
    builder: Builder, name: str, kernel: int, test: CyclictestModel, cpus: tuple[int, ...]
) -> dict[str, int]:
    """Add one thread a CPU of `kernel`; all are released together, as cyclictest's distance is 0 with ``-h``.

    Missed releases are skipped. Returns the tasks by name: `name` itself, or ``name/CPU`` each of several.
    """
    first = test.interval + uniform_below(builder.seed, name, "start", test.interval)
    work = builder.constant(LOOP_NS)
    threads = {}
    for cpu in cpus:
        thread = name if len(cpus) == 1 else f"{name}/{cpu}"
        threads[thread] = builder.periodic(
            thread,
            kernel,
            [cpu],
            POLICIES[test.policy],
            test.effective_priority(),
            period_ns=test.interval,
            first_ns=first,
            work=work,
            slack_ns=timer_slack_ns(test.policy),
        )
    return threads
