"""What bounds are computed from, on machines with known costs: sections, and the buckets of interruptions."""

from __future__ import annotations

from bisect import bisect_left

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder, Op
from rtsim.measure.bounds import least_of
from rtsim.scenario.bounds import Bound, bounds_of, buckets_of
from tests.engine.small import MS, US, Run, job_at, machine, run
from tests.kvm.guests import add_guest

PERIOD = 100 * MS


def probe(b: Builder, first_ns: int, name: str = "probe", priority: int = 90, work_ns: int = 10 * US) -> int:
    return b.periodic(
        name, 0, [0], es.FIFO, priority, period_ns=PERIOD, first_ns=first_ns, work=b.constant(work_ns), slack_ns=0
    )


def bound(done: Run, name: str = "probe") -> Bound:
    return bounds_of(done.state, done.names)[name]


def server_with_job(b: Builder, time_ns: int, duration_ns: int) -> None:
    job_at(b, b.server("kthread", 0, [0], es.OTHER, 0, kthread=1), time_ns, duration_ns)


def test_a_kernel_section_and_the_switch_bound_the_latency() -> None:
    b = machine(
        preempt_off=30_000, schedule=300, context_switch=1_000, syscall_exit=100, irq_entry=500, timer_irq=500, wake=200
    )
    server_with_job(b, 1_900 * US, 500 * US)
    done = run(b, 3 * MS, [probe(b, 2 * MS)])
    assert done.samples("probe") == [1_200 + 30_000 + 1_400]
    found = bound(done)
    assert found.rtsl_ns == 30_000 + 1_400 + found.parts["interruptions_ns"]
    assert {name: found.parts[name] for name in ("poid_ns", "paie_ns", "psd_ns", "dst_ns", "timer_ns")} == {
        "poid_ns": 30_000, "paie_ns": 0, "psd_ns": 1_400, "dst_ns": 1_400, "timer_ns": 0,
    }  # fmt: skip
    assert 1_200 <= found.parts["interruptions_ns"] <= 2_400  # one interrupt, and what the bucket allows beyond it


def test_interrupts_are_off_from_a_vm_entry_to_the_end_of_the_exit_it_is_followed_by() -> None:
    b = machine(vm_exit=(700, 900, 800, 1_200), vm_entry=500)
    guest = add_guest(b, [[0]], [0], policy=es.OTHER)
    b.hog("guest hog", guest.kernel, [0], es.OTHER, 0)
    done = run(b, MS, [probe(b, 200)])
    assert done.samples("probe") == [300 + 800]
    assert bound(done).rtsl_ns == 500 + 800


def test_leaving_idle_is_a_section() -> None:
    b = machine(idle_exit=5_000)
    done = run(b, 3 * MS, [probe(b, 2 * MS)])
    assert done.samples("probe") == [5_000]
    assert bound(done).rtsl_ns == 5_000


def test_the_flight_of_the_interrupt_that_another_cpu_sends_counts() -> None:
    b = machine(2, ipi=700)
    mutex, condition = b.lock(), b.lock()
    take = Op(es.OP_LOCK, mutex)
    ops = [take, Op(es.OP_WAIT, condition, mutex), take, Op(es.OP_UNLOCK, mutex), Op(es.OP_JUMP, 0)]
    waiter = b.program("waiter", 0, [0], es.FIFO, 90, ops)
    b.hog("hog", 0, [0], es.OTHER, 0)
    signals = [Op(es.OP_SLEEP, MS), Op(es.OP_BLOCK), Op(es.OP_SIGNAL, condition), Op(es.OP_JUMP, 0)]
    b.program("signaller", 0, [1], es.FIFO, 50, signals)
    done = run(b, 3_500 * US, [waiter])
    assert done.samples("waiter") == [700] * 3
    assert bound(done, "waiter") == Bound(
        700, None, {"poid_ns": 0, "paie_ns": 700, "psd_ns": 0, "dst_ns": 0, "interruptions_ns": 0, "timer_ns": 0}
    )


def test_a_kernel_thread_that_was_just_switched_to_is_at_a_preemption_point() -> None:
    b = machine(preempt_off=30 * US, context_switch=20 * US)
    server_with_job(b, MS, 5 * MS)
    first = probe(b, 2 * MS, "first", priority=50, work_ns=100 * US)
    second = probe(b, 2_160 * US)  # in the switch back to the kernel thread, which ends 10 us later
    done = run(b, 3 * MS, [first, second])
    assert done.samples("first") == [50 * US]
    assert done.samples("probe") == [30 * US]
    assert bound(done).rtsl_ns == 50 * US


def test_the_strongest_task_of_a_cpu_has_a_bound_and_weaker_ones_a_response_time() -> None:
    b = machine()
    rows = [probe(b, MS, "weak", priority=10, work_ns=MS), probe(b, MS, "strong", work_ns=2 * MS)]
    done = run(b, 10 * MS, rows)
    found = bounds_of(done.state, done.names)
    assert (found["strong"].rtsl_ns, found["strong"].rta_ns) == (0, 2 * MS)
    assert (found["weak"].rtsl_ns, found["weak"].rta_ns) == (None, 3 * MS)


def test_there_is_no_bound_where_realtime_tasks_are_throttled() -> None:
    b = machine(rt_runtime=950 * MS, rt_period=1_000 * MS)
    b.hog("hog", 0, [0], es.FIFO, 50)
    done = run(b, 1_100 * MS, [probe(b, 60 * MS)])  # the release at 960 ms waits for the period's end at a second
    assert max(done.samples("probe")) >= 40 * MS
    assert (bound(done).rtsl_ns, bound(done).rta_ns) == (None, None)


def test_there_is_no_bound_for_a_task_that_is_released_while_busy() -> None:
    b = machine()
    late = b.periodic(
        "late", 0, [0], es.FIFO, 90, period_ns=MS, first_ns=MS, work=b.constant(3 * MS), slack_ns=0, catch_up=True
    )
    done = run(b, 20 * MS, [late])
    assert max(done.samples("late")) > 2 * MS
    assert (bound(done, "late").rtsl_ns, bound(done, "late").rta_ns) == (None, None)


def noisy(seed: int) -> Run:
    b = machine(seed=seed, irq_entry=400, tick=1_500)
    b.hog("hog", 0, [0], es.OTHER, 0)
    for number, (shortest, longest) in enumerate([(20 * US, 90 * US), (50 * US, 2 * MS), (5 * US, 400 * US)]):
        b.source(
            f"irq{number}", es.NOISE_IRQ, cpu=0, duration=uniform(b, 500, 9_000), interval=uniform(b, shortest, longest)
        )
    return run(b, 12 * MS)


def uniform(b: Builder, low: int, high: int) -> int:
    return b.table([low + (high - low) * i // 2048 for i in range(2049)])


def most_within(stretches: list[tuple[int, int]], window: int) -> int:
    """Return the most time that `stretches` (begin, end), in order, take of a window that begins with one of them."""
    begins = [begin for begin, _ in stretches]
    most = 0
    for first, begin in enumerate(begins):
        inside = stretches[first : bisect_left(begins, begin + window)]
        most = max(most, sum(min(end, begin + window) - start for start, end in inside))
    return most


def test_no_window_holds_more_interruptions_than_the_buckets_allow() -> None:
    for seed in range(2):
        done = noisy(seed)
        begins, ends = done.times(es.TR_IRQ), done.times(es.TR_IRQ_EXIT)
        stretches = list(zip(begins, ends, strict=False))
        allowed = least_of(buckets_of(done.state, 0))
        for window in (1, 3 * US, 10 * US, 40 * US, 150 * US, 600 * US, 4 * MS):
            most = most_within(stretches, window)
            assert most <= allowed(window), window
            assert allowed(window) <= 2 * most + 3 * US, window  # and they allow little more
