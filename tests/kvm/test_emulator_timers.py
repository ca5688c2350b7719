"""Without KVM: the emulator thread fires the timers of guests, and their vCPUs halt and wake under its lock."""

from __future__ import annotations

import pytest

from rtsim.engine import constants as es
from tests.engine.small import MS, US, Run, machine, run
from tests.kvm.guests import add_guest, cyclictest

WORK, RELEASE = 20 * US, 5 * US


def fired(emulator_cpu: int, *, policy: int = es.FIFO, busy: bool = False, release_ns: int = RELEASE) -> Run:
    """A guest on CPU 0 whose timer expires at 1 ms: the emulator works for 20 us before the kick, and 5 us after it."""
    b = machine(2, fair=es.EEVDF)
    guest = add_guest(b, [[0]], [emulator_cpu], policy=policy)
    b.kernels[guest.kernel] |= {
        "timer_task": guest.emulator, "timer_work": b.constant(WORK), "lock_release": b.constant(release_ns),
    }  # fmt: skip
    if busy:
        b.hog("guest hog", guest.kernel, [0], es.OTHER, 0)
    return run(b, 2 * MS - 10 * US, [cyclictest(b, guest.kernel)])


def test_a_fifo_vcpu_preempts_the_emulator_that_kicks_it_and_has_to_wait_for_its_lock() -> None:
    done = fired(0)
    assert done.switches(after_ns=MS - 1)[:4] == [
        (MS, "emulator"), (MS + WORK, "vcpu0"), (MS + WORK, "emulator"), (MS + WORK + RELEASE, "vcpu0"),
    ]  # fmt: skip
    assert done.samples("cyclictest") == [WORK + RELEASE]
    assert done.causes("cyclictest") == {"thread:emulator": WORK, "emulator": RELEASE}


def test_a_fair_vcpu_waits_until_the_emulator_sleeps() -> None:
    done = fired(0, policy=es.OTHER)
    assert done.switches(after_ns=MS - 1)[:2] == [(MS, "emulator"), (MS + WORK + RELEASE, "vcpu0")]


@pytest.mark.parametrize("busy", [False, True])
def test_on_another_cpu_it_waits_for_the_lock_too_halted_or_not(busy: bool) -> None:
    done = fired(1, busy=busy)
    assert done.times(es.TR_LOCK_WAIT, "vcpu0") == [MS + WORK]
    assert done.samples("cyclictest") == [WORK + RELEASE]


def test_without_work_after_the_kick_nobody_waits() -> None:
    done = fired(1, release_ns=0)
    assert done.times(es.TR_LOCK_WAIT) == []
    assert done.samples("cyclictest") == [WORK]
