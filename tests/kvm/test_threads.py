"""Requests of a guest to the threads of its process: doorbell, work, and the interrupt at the end."""

from __future__ import annotations

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder
from tests.engine.small import MS, US, Run, machine, run
from tests.kvm.guests import Guest, add_guest

EXITS = (700, 900, 800, 1_200, 0, 300)
ENTRY = 500
ASKED = 2 * MS
WORK, ANSWER = 40 * US, 5 * US


def asking_guest(vhost_cpu: int, *, busy: bool = True, **kernel: int) -> tuple[Builder, Guest]:
    """A FIFO vCPU on CPU 0 of 2 that asks for 40 us of work at 2 ms; the answer takes 5 us."""
    b = machine(2, vm_exit=EXITS, vm_entry=ENTRY, **kernel)
    guest = add_guest(b, [[0]], [1])
    vhost = b.server("vhost", 0, [vhost_cpu], es.OTHER, 0)
    if busy:
        b.hog("guest hog", guest.kernel, [0], es.OTHER, 0)
    b.source(
        "net", es.NOISE_DOORBELL, task=guest.vcpus[0], server=vhost, duration=b.constant(WORK),
        answer=b.constant(ANSWER), period_ns=1000 * MS, phase_ns=ASKED,
    )  # fmt: skip
    return b, guest


def guest_interrupts(done: Run) -> list[int]:
    return [time for time, _, cpu, _, value in done.records(es.TR_IRQ) if cpu == 2 and value & es.IRQ_NOISE]


def test_a_request_is_a_short_exit_and_wakes_the_thread_elsewhere() -> None:
    b, _ = asking_guest(1, ipi=2 * US)
    done = run(b, 3 * MS)
    assert [(t, v) for t, _, _, _, v in done.records(es.TR_VM_EXIT)][-1] == (ASKED, es.EXIT_DOORBELL)
    assert [time for time in done.times(es.TR_VM_ENTRY) if time > ASKED] == [ASKED + 300 + ENTRY]
    assert done.times(es.TR_SWITCH, "vhost") == [ASKED + 2 * US]
    assert guest_interrupts(done) == [ASKED + 2 * US + WORK]  # posted: a running guest is interrupted without an exit
    assert int(done.state.cpus[2]["irq_ns"]) == ANSWER


def test_a_thread_on_the_cpu_of_its_busy_fifo_vcpu_starves() -> None:
    b, _ = asking_guest(0)
    done = run(b, 100 * MS)
    assert done.times(es.TR_WAKING, "vhost") == [ASKED]
    assert done.times(es.TR_SWITCH, "vhost") == []
    assert guest_interrupts(done) == []


def test_throttling_lets_it_run_at_last() -> None:
    b, _ = asking_guest(0, rt_runtime=950 * MS)
    done = run(b, 1000 * MS)
    (began,) = done.times(es.TR_SWITCH, "vhost")
    assert 950 * MS <= began <= 954 * MS


def test_a_halted_guest_is_woken_by_the_answer() -> None:
    b, guest = asking_guest(1, busy=False)
    worker = b.server("worker", guest.kernel, [0], es.OTHER, 0)
    b.source(
        "work", es.NOISE_THREAD, task=worker, duration=b.constant(10 * US), period_ns=MS * 1000, phase_ns=ASKED - 5 * US
    )
    done = run(b, 3 * MS)
    assert done.times(es.TR_WAKING, "vcpu0") == [ASKED - 5 * US, ASKED + WORK]
    assert guest_interrupts(done) == [ASKED + WORK + ENTRY]


def test_a_guest_that_does_not_execute_asks_for_nothing() -> None:
    b, _ = asking_guest(1, busy=False)
    assert run(b, 3 * MS).times(es.TR_SWITCH, "vhost") == []
