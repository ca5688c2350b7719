"""Without KVM: the emulator thread fires the timers of guests, and their vCPUs halt and wake under its lock."""

from __future__ import annotations

import pytest

from rtsim.engine import constants as es
from tests.engine.small import MS, US, Run, machine, run
from tests.kvm.guests import add_guest, cyclictest

WORK, RELEASE, REARM, HOLD = 20 * US, 5 * US, 8 * US, 2 * US


def fired(
    emulator_cpu: int, *, policy: int = es.FIFO, busy: bool = False, release_ns: int = RELEASE,
    hold_ns: int | None = None, also_ns: int = 0,
) -> Run:  # fmt: skip
    """A guest on CPU 0 whose timer expires at 1 ms: the emulator works for 20 us before the kick, and 5 us after it."""
    b = machine(2, fair=es.EEVDF)
    guest = add_guest(b, [[0]], [emulator_cpu], policy=policy)
    b.kernels[guest.kernel] |= {
        "timer_task": guest.emulator, "timer_work": b.constant(WORK), "lock_release": b.constant(release_ns),
    }  # fmt: skip
    if hold_ns is not None:
        b.kernels[guest.kernel]["timer_rearm"] = b.constant(REARM)
        b.emulated_timer("guest/timer0", len(b.cpus) - 1, hold=b.constant(hold_ns))
    if busy:
        b.hog("guest hog", guest.kernel, [0], es.OTHER, 0)
    if also_ns:
        b.periodic(
            "also", guest.kernel, [0], es.FIFO, 1, period_ns=2 * MS, first_ns=MS, work=b.constant(also_ns), slack_ns=0
        )
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


# ---- timers that vCPUs arm ----------------------------------------------------------------------------------------

ARMED = MS + WORK + RELEASE
"""The vCPU has the lock again, its guest leaves idle and arms the tick."""


def test_the_emulator_is_told_of_a_timer_and_waits_until_the_vcpu_frees_the_lock() -> None:
    done = fired(1, hold_ns=HOLD)
    assert done.times(es.TR_LOCK_WAIT, "emulator") == [ARMED]
    assert done.times(es.TR_WAKING, "emulator")[1:] == [MS, ARMED, ARMED + HOLD]


def test_on_the_cpu_of_the_vcpu_it_looks_when_that_sleeps() -> None:
    for policy in (es.OTHER, es.FIFO):
        done = fired(0, policy=policy, hold_ns=HOLD)
        assert done.switches(after_ns=ARMED)[0] == (ARMED + HOLD + US, "emulator")
        assert done.times(es.TR_LOCK_WAIT, "emulator") == []


def test_a_starved_emulator_looks_once_however_often_it_is_told() -> None:
    """As the tick is armed, and again as the first task sleeps to 2 ms while another one goes on."""
    done = fired(0, hold_ns=HOLD, also_ns=10 * US)
    asleep = ARMED + 2 * HOLD + 11 * US
    assert len(done.times(es.TR_VM_EXIT)) == 4
    assert done.switches(after_ns=ARMED)[:2] == [(asleep, "emulator"), (asleep + REARM, "idle")]
