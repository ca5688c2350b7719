"""cyclictest: one thread a CPU that sleeps to absolute times and takes its own lateness."""

from __future__ import annotations

from pydantic import Field

from rtsim.engine.builder import Builder, Op
from rtsim.engine.constants import OP_BLOCK, OP_JUMP, OP_RUN, OP_SLEEP, OTHER
from rtsim.engine.random import uniform_below
from rtsim.inputs.units import Duration
from rtsim.workload.policies import POLICIES, timer_slack_ns
from rtsim.workload.threads import ThreadsModel, thread_names

__all__ = ["CyclictestModel", "add_cyclictest"]

LOOP_NS = 2_000
"""What one loop computes: two clock readings and the statistics (assumed)."""

MAIN_SLEEP_NS = 10_000_000
"""``usleep(10000)`` in the main thread's loop, which watches the others."""
MAIN_LOOP_NS = 5_000
"""What one turn of that loop computes (assumed; it prints nothing with ``-q``)."""


class CyclictestModel(ThreadsModel):
    """Its options: ``-i``, ``-p`` with policy, ``-a``."""

    interval: Duration = Field(default=1_000_000, gt=0)


def add_cyclictest(
    builder: Builder, name: str, kernel: int, test: CyclictestModel, cpus: tuple[int, ...]
) -> dict[str, int]:
    """Add one thread a CPU of `kernel`, and the main thread on the same CPUs; return the measuring ones by name.

    They are released together, as cyclictest's distance is 0 with ``-h``. Missed releases are skipped.
    """
    first = test.interval + uniform_below(builder.seed, name, "start", test.interval)
    work = builder.constant(LOOP_NS)
    threads = {
        thread: builder.periodic(
            thread, kernel, [cpu], POLICIES[test.policy], test.effective_priority(), period_ns=test.interval,
            first_ns=first, work=work, slack_ns=timer_slack_ns(test.policy),
        )
        for cpu, thread in thread_names(name, cpus).items()
    }  # fmt: skip
    turn = [
        Op(OP_SLEEP, MAIN_SLEEP_NS), Op(OP_BLOCK), Op(OP_RUN, builder.constant(MAIN_LOOP_NS)),
        Op(OP_JUMP),
    ]  # fmt: skip
    builder.program(f"{name}-main", kernel, cpus, OTHER, 0, turn, slack=timer_slack_ns("other"))
    return threads
