"""Pages that a guest misses: an exit for each, the host's work on the vCPU's time, sleep while one is read."""

from __future__ import annotations

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder
from tests.engine.small import MS, US, fault_at, job_at, machine, run
from tests.kvm.guests import Guest, add_guest, cyclictest

ENTRY, EPT = 500, 1_500


def host() -> tuple[Builder, Guest]:
    """The emulator on CPU 0, a FIFO vCPU on CPU 1 whose guest runs a cyclictest."""
    b = machine(cpus=2, vm_entry=ENTRY, vm_exit=(700, 900, 800, 1_200, EPT))
    return b, add_guest(b, [[1]], [0])


def test_a_page_that_is_missed_while_the_guest_computes_costs_an_exit_and_the_hosts_work() -> None:
    b, guest = host()
    b.hog("guest hog", guest.kernel, [0], es.OTHER, 0)
    fault_at(b, guest.vcpus[0], 10 * MS + 100 * US, 40 * US)
    done = run(b, 12 * MS)
    (left,) = [row[0] for row in done.records(es.TR_VM_EXIT) if row[4] == es.EXIT_EPT]
    back = next(time for time in done.times(es.TR_VM_ENTRY) if time > left)
    assert left == 10 * MS + 100 * US
    assert back == left + EPT + 40 * US + ENTRY


def test_a_page_taken_from_a_halted_vcpu_delays_the_task_that_wakes_next() -> None:
    b, guest = host()
    task = cyclictest(b, guest.kernel)
    fault_at(b, guest.vcpus[0], 10 * MS + 500 * US, 40 * US)
    done = run(b, 12 * MS - 1, [task], observe_from_ns=10 * MS + 1)
    assert done.causes("cyclictest") == {"vm_entry": 2 * ENTRY, "memory": EPT + 40 * US}


def test_a_page_that_only_running_code_touches_is_nothing_to_a_halted_vcpu() -> None:
    b, guest = host()
    task = cyclictest(b, guest.kernel)
    fault_at(b, guest.vcpus[0], 10 * MS + 500 * US, 40 * US, lasting=False)
    done = run(b, 12 * MS - 1, [task], observe_from_ns=10 * MS + 1)
    assert done.causes("cyclictest") == {"vm_entry": ENTRY}


def test_pages_missed_meanwhile_are_found_one_after_the_other() -> None:
    b, guest = host()
    task = cyclictest(b, guest.kernel)
    for duration_us in (10, 20, 60):
        fault_at(b, guest.vcpus[0], 10 * MS + 500 * US, duration_us * US)
    done = run(b, 12 * MS - 1, [task], observe_from_ns=10 * MS + 1)
    assert done.causes("cyclictest") == {"vm_entry": 4 * ENTRY, "memory": 3 * EPT + 90 * US}


def test_while_a_page_is_read_from_disk_others_have_the_cpu() -> None:
    """The page takes 200 us to read; a thread that computes on that CPU meanwhile is not what the guest waits for."""
    b, guest = host()
    task = cyclictest(b, guest.kernel)
    worker = b.server("worker", 0, [1], es.OTHER, 0)
    fault_at(b, guest.vcpus[0], 10 * MS + 500 * US, 200 * US, on_disk=True)
    job_at(b, worker, 11 * MS + 50 * US, 100 * US)
    done = run(b, 12 * MS - 1, [task], observe_from_ns=10 * MS + 1)
    assert done.causes("cyclictest") == {"vm_entry": 2 * ENTRY, "memory": EPT + 200 * US}
    assert done.task("worker")["cpu_ns"] == 100 * US


def test_after_the_page_is_there_the_vcpu_waits_for_its_cpu_like_any_thread() -> None:
    b, guest = host()
    task = cyclictest(b, guest.kernel)
    strong = b.server("strong", 0, [1], es.FIFO, 50)
    fault_at(b, guest.vcpus[0], 10 * MS + 500 * US, 200 * US, on_disk=True)
    job_at(b, strong, 11 * MS + 150 * US, 300 * US)
    done = run(b, 12 * MS - 1, [task], observe_from_ns=10 * MS + 1)
    asleep = EPT + ENTRY + 200 * US
    waits = 150 * US + 300 * US - asleep
    assert done.causes("cyclictest") == {"vm_entry": 2 * ENTRY, "memory": asleep - ENTRY, "thread:strong": waits}
