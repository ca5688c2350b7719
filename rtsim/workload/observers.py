"""oslat and timerlat: threads that look for the time they do not get, and for how late they wake."""

from __future__ import annotations

from pydantic import Field

from rtsim.engine.builder import Builder, Op
from rtsim.engine.constants import NONE, OP_RUN
from rtsim.engine.random import uniform_below
from rtsim.inputs.units import Duration
from rtsim.workload.policies import POLICIES, Policy
from rtsim.workload.threads import ThreadsModel, thread_names

__all__ = ["OslatModel", "TimerlatModel", "add_oslat", "add_timerlat"]

TIMERLAT_NS = 1_000
"""What one activation of timerlat's thread computes (assumed)."""


class OslatModel(ThreadsModel):
    """oslat: one thread a CPU reads the clock all the time; its latencies are the gaps between two readings."""

    policy: Policy = "other"


class TimerlatModel(ThreadsModel):
    """timerlat: one kernel thread a CPU sleeps to absolute times (rtla's ``-p``)."""

    period: Duration = Field(default=1_000_000, ge=100_000, le=1_000_000_000)


def add_oslat(builder: Builder, name: str, kernel: int, test: OslatModel, cpus: tuple[int, ...]) -> dict[str, int]:
    """Add one polling thread a CPU of `kernel`; return the threads by name."""
    return {
        thread: builder.program(
            thread, kernel, [cpu], POLICIES[test.policy], test.effective_priority(), [Op(OP_RUN, NONE)],
            polls=1,
        )
        for cpu, thread in thread_names(name, cpus).items()
    }  # fmt: skip


def add_timerlat(
    builder: Builder, name: str, kernel: int, test: TimerlatModel, cpus: tuple[int, ...]
) -> dict[str, int]:
    """Add one kernel thread a CPU of `kernel`; return the threads by name. Missed releases are skipped."""
    first = test.period + uniform_below(builder.seed, name, "start", test.period)
    work = builder.constant(TIMERLAT_NS)
    return {
        thread: builder.periodic(
            thread, kernel, [cpu], POLICIES[test.policy], test.effective_priority(), period_ns=test.period,
            first_ns=first, work=work, slack_ns=0, kthread=1,
        )
        for cpu, thread in thread_names(name, cpus).items()
    }  # fmt: skip
