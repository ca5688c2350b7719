"""The emulator's lock, and the inversion it brings: a realtime vCPU waits for an ordinary thread that does not run."""

from __future__ import annotations

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder
from tests.engine.small import MS, US, Run, exit_at, job_at, machine, run
from tests.kvm.guests import Guest, add_guest, cyclictest


def host(vcpus: int = 1) -> tuple[Builder, Guest]:
    """The emulator on CPU 0, a FIFO vCPU on each of the next, which never halts."""
    b = machine(cpus=1 + vcpus, vm_entry=500, vm_exit=(700, 900, 800, 1_200))
    guest = add_guest(b, [[1 + n] for n in range(vcpus)], [0])
    for n in range(vcpus):
        b.hog(f"guest hog{n}", guest.kernel, [n], es.OTHER, 0)
    return b, guest


def back_in(done: Run, vcpu: str, after_ns: int) -> int:
    """Return when `vcpu` next enters the guest."""
    return next(time for time in done.times(es.TR_VM_ENTRY, vcpu) if time > after_ns)


def test_a_free_lock_costs_the_work_in_qemu_alone() -> None:
    b, guest = host()
    exit_at(b, guest.vcpus[0], 10 * MS + 500 * US, 20 * US)
    done = run(b, 12 * MS)
    assert back_in(done, "vcpu0", 10 * MS + 500 * US) == 10 * MS + 500 * US + 1_200 + 20 * US + 500
    assert done.times(es.TR_LOCK_WAIT) == []


def test_the_vcpu_waits_for_the_emulators_work_under_the_lock() -> None:
    b, guest = host()
    job_at(b, guest.emulator, 10 * MS, 1 * MS, locked=True)
    exit_at(b, guest.vcpus[0], 10 * MS + 500 * US, 20 * US)
    done = run(b, 12 * MS)
    assert done.times(es.TR_LOCK_WAIT, "vcpu0") == [10 * MS + 500 * US + 1_200]
    assert back_in(done, "vcpu0", 10 * MS + 500 * US) == 11 * MS + 20 * US + 500


def test_work_of_the_emulator_without_the_lock_holds_nobody_up() -> None:
    b, guest = host()
    job_at(b, guest.emulator, 10 * MS, 1 * MS, locked=False)
    exit_at(b, guest.vcpus[0], 10 * MS + 500 * US, 20 * US)
    assert run(b, 12 * MS).times(es.TR_LOCK_WAIT) == []


def test_inversion_a_realtime_vcpu_waits_for_whoever_preempts_the_emulator() -> None:
    """The emulator holds the lock for 1 ms of work, but a hog has its CPU for 5 ms of that time."""
    b, guest = host()
    task = cyclictest(b, guest.kernel)
    job_at(b, guest.emulator, 10 * MS + 100 * US, 1 * MS, locked=True)
    job_at(b, b.server("hog", 0, [0], es.FIFO, 1), 10 * MS + 200 * US, 5 * MS)
    exit_at(b, guest.vcpus[0], 10 * MS + 300 * US, 20 * US)
    done = run(b, 16 * MS + 900 * US, [task], observe_from_ns=10 * MS + 1)
    freed = 16 * MS + 100 * US
    assert done.samples("cyclictest")[10] == freed + 20 * US + 500 - 11 * MS  # released at 11 ms, served at 16.1 ms
    assert done.causes("cyclictest") == {"emulator": freed + 20 * US - 11 * MS, "vm_entry": 500}


def test_the_emulator_waits_for_a_vcpu_too() -> None:
    b, guest = host()
    exit_at(b, guest.vcpus[0], 10 * MS, 1 * MS)
    job_at(b, guest.emulator, 10 * MS + 100 * US, 50 * US, locked=True)
    done = run(b, 12 * MS, [guest.emulator])
    assert done.times(es.TR_LOCK_WAIT, "emulator") == [10 * MS + 100 * US]
    watch = done.state.watches[0]
    assert int(watch["total"][es.H_RESPONSE]) == 1 * MS + 1_200 + 50 * US - 100 * US


def test_waiters_get_the_lock_in_order_of_arrival() -> None:
    b, guest = host(vcpus=3)
    job_at(b, guest.emulator, 10 * MS, 1 * MS, locked=True)
    for n, vcpu in enumerate((2, 0, 1)):
        exit_at(b, guest.vcpus[vcpu], 10 * MS + (100 + n) * US, 20 * US)
    done = run(b, 12 * MS)
    entries = [back_in(done, f"vcpu{n}", 10 * MS + 110 * US) for n in (2, 0, 1)]
    assert entries == [11 * MS + (n + 1) * 20 * US + 500 for n in range(3)]


def test_a_guest_that_waits_for_the_lock_keeps_its_timers() -> None:
    """The release during the wait is served after it; the next one on time."""
    b, guest = host()
    task = cyclictest(b, guest.kernel)
    job_at(b, guest.emulator, 10 * MS + 100 * US, 1 * MS + 300 * US, locked=True)
    exit_at(b, guest.vcpus[0], 10 * MS + 500 * US, 20 * US)
    done = run(b, 12 * MS + 900 * US, [task])
    assert done.samples("cyclictest")[10:12] == [400 * US + 20 * US + 500, 800 + 500]  # with the host's tick of 12 ms
