"""Threads of a core: how much longer work takes while a task has the sibling, and what is charged for it."""

from __future__ import annotations

import pytest

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder
from tests.engine.small import MS, US, Run, add_kernel, interrupt_at, job_at, machine, run
from tests.kvm.guests import add_guest

HALF = es.FULL_SPEED // 2


def core(cpus: int = 2, speed: int = HALF, **kernel: int) -> Builder:
    """A machine whose CPUs are the threads of one core."""
    b = machine(cpus, smt_speed=speed, **kernel)
    b.core(range(cpus))
    return b


def job(b: Builder, name: str, cpu: int, time_ns: int, work_ns: int) -> int:
    task = b.server(name, 0, [cpu], es.FIFO, 10)
    job_at(b, task, time_ns, work_ns)
    return task


def ends(done: Run, name: str) -> int:
    (end,) = done.times(es.TR_BLOCK, name)
    return end


def test_work_beside_a_busy_sibling_takes_as_much_longer_as_it_overlaps() -> None:
    """100 us on CPU 0; from 20 us on CPU 1 works too, at half the speed both, until its own 30 us are done."""
    b = core()
    job(b, "a", 0, MS, 100 * US)
    job(b, "b", 1, MS + 20 * US, 30 * US)
    done = run(b, 2 * MS)
    assert ends(done, "b") == MS + 20 * US + 60 * US
    assert ends(done, "a") == MS + 20 * US + 60 * US + 50 * US


def test_cpus_of_other_cores_do_not_slow_down() -> None:
    b = machine(2, smt_speed=HALF)
    job(b, "a", 0, MS, 100 * US)
    job(b, "b", 1, MS + 20 * US, 30 * US)
    assert ends(run(b, 2 * MS), "a") == MS + 100 * US


def test_of_four_threads_one_other_is_enough() -> None:
    b = core(4)
    job(b, "a", 0, MS, 100 * US)
    for cpu in (1, 2, 3):
        job(b, f"b{cpu}", cpu, MS, 200 * US)
    assert ends(run(b, 2 * MS), "a") == MS + 200 * US


def test_interrupts_are_slower_too_and_stalls_are_not() -> None:
    for kind, length in ((es.NOISE_IRQ, 20 * US), (es.NOISE_HARDWARE, 10 * US)):
        b = core()
        b.hog("busy", 0, [1], es.OTHER, 0)
        job(b, "a", 0, MS, 100 * US)
        interrupt_at(b, 0, MS + 50 * US, 10 * US, kind)
        assert ends(run(b, 2 * MS), "a") == MS + 200 * US + length


def test_a_guest_is_as_fast_as_the_cpu_it_runs_on() -> None:
    b = core()
    guest = add_guest(b, [[0]], [0])
    inside = b.server("inside", guest.kernel, [0], es.FIFO, 10)
    job_at(b, inside, MS, 100 * US)
    job(b, "b", 1, MS + 20 * US, 30 * US)
    done = run(b, 2 * MS)
    assert ends(done, "inside") == MS + 130 * US


def test_what_is_lost_is_charged_as_smt() -> None:
    b = core(context_switch=2 * US, irq_entry=1 * US)
    b.hog("busy", 0, [1], es.OTHER, 0)
    task = b.periodic("task", 0, [0], es.FIFO, 10, period_ns=MS, first_ns=MS, work=b.constant(US), slack_ns=0)
    done = run(b, 2 * MS - 10 * US, [task])
    assert done.samples("task") == [2 * (2 * US + 1 * US)]
    assert done.causes("task") == {"irq": 1 * US, "switch": 2 * US, "smt": 3 * US}


@pytest.mark.parametrize("speed", [635, 1024])
def test_two_hogs_together_do_what_the_speed_says(speed: int) -> None:
    """The gain of a second thread: 2 * speed of the work that one does alone."""
    b = core(speed=speed)
    for cpu in (0, 1):
        task = b.server(f"hog{cpu}", 0, [cpu], es.FIFO, 10)
        for number in range(100):
            job_at(b, task, MS + number, 200 * US)
    done = run(b, 21 * MS)
    jobs = sum(int(done.task(f"hog{cpu}")["job_head"]) for cpu in (0, 1))
    assert jobs == pytest.approx(2 * 100 * speed / es.FULL_SPEED, abs=2)


def test_what_a_task_loses_to_its_core_is_kept_apart_from_its_cpu_time() -> None:
    """100 us of work on CPU 0, beside which CPU 1 is busy for 60 us: 130 us on the CPU, of which 30 are lost."""
    b = core()
    job(b, "a", 0, MS, 100 * US)
    job(b, "b", 1, MS + 20 * US, 30 * US)
    done = run(b, 2 * MS)
    for name, on_cpu, lost in (("a", 130 * US, 30 * US), ("b", 60 * US, 30 * US)):
        assert (int(done.task(name)["cpu_ns"]), int(done.task(name)["smt_ns"])) == (on_cpu, lost)


def test_a_vcpu_loses_what_its_guest_does() -> None:
    b = core()
    guest = add_guest(b, [[0]], [0])
    inside = b.server("inside", guest.kernel, [0], es.FIFO, 10)
    job_at(b, inside, MS, 100 * US)
    job(b, "b", 1, MS + 20 * US, 30 * US)
    done = run(b, 2 * MS)
    assert int(done.task("inside")["smt_ns"]) == int(done.task("vcpu0")["smt_ns"]) == 30 * US


# ---- frequencies ----------------------------------------------------------------------------------------------------


def clocked(frequency: float, *, busy: bool) -> Run:
    """100 us of work on CPU 0, which runs at `frequency`, from 1 ms on; its sibling may be busy."""
    b = Builder()
    add_kernel(b, 2, smt_speed=HALF)
    for cpu in range(2):
        b.cpu(f"host/cpu{cpu}", 0, frequency=frequency)
    b.core(range(2))
    job(b, "a", 0, MS, 100 * US)
    if busy:
        job(b, "b", 1, MS, 1_000 * US)
    return run(b, 3 * MS)


@pytest.mark.parametrize(("busy", "factor"), [(False, 2), (True, 4)])
def test_a_cpu_of_half_the_frequency_takes_twice_as_long(busy: bool, factor: int) -> None:
    assert ends(clocked(0.5, busy=busy), "a") == MS + factor * 100 * US


def test_a_guest_is_as_fast_as_the_cpu_that_it_is_on() -> None:
    b = Builder()
    add_kernel(b, 1)
    b.cpu("host/cpu0", 0, frequency=0.5)
    guest = add_guest(b, [[0]], [0])
    task = b.periodic(
        "task", guest.kernel, [0], es.FIFO, 95, period_ns=10 * MS, first_ns=MS, work=b.constant(100 * US), slack_ns=0
    )
    done = run(b, 2 * MS, [task])
    assert int(done.task("task")["cpu_ns"]) == 200 * US
    assert done.causes("task") == {}  # the frequency is no sibling's doing
