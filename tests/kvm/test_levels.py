"""Host and guest are the same code: a guest alone on idle CPUs that cost nothing is a bare machine."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder
from tests.engine.small import COSTS, MS, US, add_kernel, machine, run

CPUS = 2

costs = st.integers(0, 5 * US)
kernels = st.fixed_dictionaries(
    # leaving idle is the host's affair when the guest's idle is a halt
    {name: costs for name in COSTS if name not in ("idle_exit", "vm_entry")}
    | {"fair": st.sampled_from([es.CFS, es.EEVDF])}
)
tasks = st.lists(
    st.fixed_dictionaries(
        {
            "policy": st.sampled_from([es.FIFO, es.RR, es.OTHER, es.BATCH]),
            "priority": st.integers(1, 19),
            "cpus": st.sets(st.integers(0, CPUS - 1), min_size=1).map(sorted),
            "period_ns": st.integers(100 * US, 2 * MS),
            "first_ns": st.integers(1, MS),
            "work": st.integers(1, MS),
            "slack_ns": st.sampled_from([0, 50 * US]),
        }
    ),
    min_size=1,
    max_size=4,
)


def add_tasks(b: Builder, kernel: int, specs: list[dict[str, Any]]) -> list[int]:
    return [
        b.periodic(f"task{n}", kernel, **{**spec, "work": b.constant(spec["work"])}) for n, spec in enumerate(specs)
    ]


def same_phase(b: Builder) -> Builder:
    """Let the balancing passes of all CPUs begin alike: the seed draws their phases by the names of CPUs."""
    b.balance_phase = lambda cpu, level, ticks: 0  # type: ignore[method-assign]
    return b


def story(b: Builder, first_cpu: int, watched: list[int]) -> tuple[Any, ...]:
    """Return switches, samples and accounts of the CPUs from `first_cpu` on."""
    done = run(b, 20 * MS, watched)
    switches = [done.switches(first_cpu + cpu) for cpu in range(CPUS)]
    accounts = [[int(row[name]) for name in ("task_ns", "irq_ns", "softirq_ns")] for row in done.state.cpus[first_cpu:]]
    return switches, [done.samples(done.names.tasks[task]) for task in watched], accounts


@settings(max_examples=100, deadline=None)
@given(kernel=kernels, specs=tasks)
def test_a_guest_alone_gives_the_trace_of_bare_metal(kernel: dict[str, Any], specs: list[dict[str, Any]]) -> None:
    bare = same_phase(machine(CPUS, **kernel))
    expected = story(bare, 0, add_tasks(bare, 0, specs))
    b = same_phase(machine(CPUS))
    lock = b.lock()
    vcpus = [b.vcpu(f"vcpu{cpu}", 0, [cpu], es.FIFO, 1, lock=lock) for cpu in range(CPUS)]
    guest = add_kernel(b, CPUS, **kernel)
    for cpu, vcpu in enumerate(vcpus):
        b.cpu(f"guest/cpu{cpu}", guest, carrier=vcpu)
    assert story(b, CPUS, add_tasks(b, guest, specs)) == expected
