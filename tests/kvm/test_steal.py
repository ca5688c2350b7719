"""Steal: time in which a vCPU waits for a CPU. What the guest runs and idles is exactly the rest."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder
from tests.engine.small import COSTS, MS, TICK, US, Run, machine, run
from tests.kvm.guests import add_guest

END = 60 * MS

policies = st.sampled_from([es.FIFO, es.RR, es.OTHER, es.BATCH])
works = st.lists(st.tuples(st.integers(200 * US, 5 * MS), st.integers(1, 3 * MS), policies), min_size=1, max_size=3)
guest_costs = st.fixed_dictionaries({name: st.integers(0, 3 * US) for name in COSTS})


def periodic(b: Builder, name: str, kernel: int, cpu: int, period_ns: int, work_ns: int, policy: int) -> int:
    return b.periodic(
        name, kernel, [cpu], policy, 1, period_ns=period_ns, first_ns=period_ns, work=b.constant(work_ns), slack_ns=0
    )


@settings(max_examples=60, deadline=None)
@given(
    fair=st.sampled_from([es.CFS, es.EEVDF]), policy=policies, floats=st.booleans(),
    poll_ns=st.sampled_from([0, 50 * US]),
    host=works, guest=works, costs=guest_costs,
)  # fmt: skip
def test_what_a_guest_runs_and_idles_is_the_time_less_the_steal(
    fair: int, policy: int, floats: bool, poll_ns: int, host: Any, guest: Any, costs: dict[str, int]
) -> None:
    """A host that costs nothing: what it adds to a guest's time is nothing but steal."""
    b = machine(2, fair=fair, halt_poll_ns=poll_ns, halt_poll_grow=2, halt_poll_grow_start=10 * US)
    masks = [[0, 1], [0, 1]] if floats else [[0], [1]]
    found = add_guest(b, masks, [0], policy=policy, fair=fair, **costs)
    for number, (period_ns, work_ns, task_policy) in enumerate(host):
        periodic(b, f"host{number}", 0, number % 2, period_ns, work_ns, task_policy)
    for number, (period_ns, work_ns, task_policy) in enumerate(guest):
        periodic(b, f"guest{number}", found.kernel, number % 2, period_ns, work_ns, task_policy)
    done = run(b, END)
    for row in found.vcpus:
        vcpu = done.state.tasks[row]
        waited, slept = times_off(vcpu)
        assert int(vcpu["cpu_ns"]) + waited + slept == END
        inside = done.state.cpus[vcpu["guest_cpu"]]
        ran = sum(int(inside[name]) for name in ("task_ns", "irq_ns", "softirq_ns", "idle_ns"))
        assert ran + slept + polled(done, row) == END - waited


def polled(done: Run, row: int) -> int:
    """Return how long a vCPU has had a CPU while it was halted, by the trace, ns."""
    total, since = 0, None
    for time, kind, _, task, value in done.records(es.TR_VM_EXIT, es.TR_VM_ENTRY, es.TR_SWITCH):
        if kind == es.TR_VM_EXIT and task == row and value == es.EXIT_HLT:
            since = time
        elif since is not None and row == (value if kind == es.TR_SWITCH else task):
            total, since = total + time - since, None
    return total if since is None else total + END - since


def times_off(task: Any) -> tuple[int, int]:
    """Return how long a task has waited and slept, up to the end, ns."""
    last = END - int(task["off_at"]) if int(task["off_at"]) >= 0 else 0
    waits = int(task["state"]) == es.RUNNABLE
    return int(task["run_delay"]) + last * waits, int(task["slept"]) + last * (not waits)


@pytest.mark.parametrize(("accounts", "charged"), [(0, 30 * MS), (1, 20 * MS)])
def test_a_guest_that_accounts_for_steal_does_not_charge_it(accounts: int, charged: int) -> None:
    """A stronger host task has the CPU from 5 to 15 ms; the guest's hog is charged for 30 ms, or for 20."""
    b = machine()
    guest = add_guest(b, [[0]], [0], steal_accounting=accounts)
    hog = b.hog("guest hog", guest.kernel, [0], es.OTHER, 0)
    strong = b.server("strong", 0, [0], es.FIFO, 50)
    b.source("job", es.NOISE_THREAD, task=strong, duration=b.constant(10 * MS), period_ns=1000 * MS, phase_ns=5 * MS)
    done = run(b, 7 * TICK + 2 * MS)
    assert int(done.task("guest hog")["cpu_ns"]) == 20 * MS
    assert int(done.state.entities[hog]["sum_exec"]) == charged - 2 * MS  # up to the last tick
    assert steal(done) == 10 * MS


def steal(done: Run) -> int:
    return int(done.task("vcpu0")["run_delay"])
