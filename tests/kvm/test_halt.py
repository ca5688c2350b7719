"""Halt polling: how long, how it adapts by release, and who ends it; guests that poll themselves."""

from __future__ import annotations

import pytest

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder, Op
from rtsim.kernel import Kernel
from rtsim.scenario.virtualisation import guest_fields, host_fields
from tests.engine.small import MS, US, Run, interrupt_at, job_at, machine, run
from tests.kvm.guests import Guest, add_guest, cyclictest


def host(release: str, cmdline: str = "") -> dict[str, int]:
    return host_fields(Kernel.of(release, cmdline=cmdline))


def guest_woken_after(
    waits: list[int], fields: dict[str, int], *, poll_ns: int = 0, guest: dict[str, int] | None = None, **costs: int
) -> tuple[Builder, Guest]:
    """A guest that halts at once and is interrupted after each of `waits` (ns); nothing costs anything but `costs`."""
    b = machine(**fields, **costs)
    found = add_guest(b, [[0]], [0], halt_poll_ns=poll_ns, **(guest or {}))
    at = 0
    for wait in waits:
        at += wait
        interrupt_at(b, 1, at, 1)
    return b, found


def polls_after(waits: list[int], fields: dict[str, int], poll_ns: int = 0) -> list[int]:
    """Return how long the vCPU polls, after each of `waits`; the guest works for 1 ns between them."""
    found = []
    for number in range(1, len(waits) + 1):
        some = waits[:number]
        b, guest = guest_woken_after(some, fields, poll_ns=poll_ns)
        done = run(b, sum(some) + 1)
        found.append(int(done.state.tasks[guest.vcpus[0]]["halt_poll_ns"]))
    return found


def test_short_halts_make_the_poll_grow_until_it_catches_them() -> None:
    assert polls_after([50 * US] * 5, host("6.12")) == [10 * US, 20 * US, 40 * US, 80 * US, 80 * US]


def test_halts_longer_than_any_poll_leave_it_at_nothing() -> None:
    assert polls_after([1 * MS] * 3, host("6.12")) == [0, 0, 0]


@pytest.mark.parametrize(("release", "shrunk", "grown"), [("6.12", 40 * US, 80 * US), ("6.1", 0, 10 * US)])
def test_a_long_halt_shrinks_the_poll_by_release(release: str, shrunk: int, grown: int) -> None:
    assert polls_after([1 * MS, 50 * US], host(release), poll_ns=80 * US) == [shrunk, grown]


def test_module_parameters_come_from_the_command_line() -> None:
    fields = host("6.12", "kvm.halt_poll_ns=30000 kvm.halt_poll_ns_grow=3 kvm.halt_poll_ns_grow_start=5000")
    assert polls_after([25 * US] * 4, fields) == [5 * US, 15 * US, 30 * US, 30 * US]
    assert polls_after([25 * US] * 2, host("6.12", "kvm.halt_poll_ns=0")) == [0, 0]


def switches(done: Run) -> list[tuple[int, str]]:
    return done.switches(0, after_ns=0)


def test_a_poll_that_catches_the_interrupt_needs_no_wake_up() -> None:
    b, _ = guest_woken_after([50 * US], host("6.12"), poll_ns=80 * US, vm_entry=500, context_switch=1_600)
    done = run(b, 60 * US)
    begun = 1_600 + 500
    assert switches(done) == []
    assert [time for time in done.times(es.TR_VM_ENTRY) if time > begun] == [50 * US + 500]


def test_a_poll_in_vain_ends_in_sleep() -> None:
    b, _ = guest_woken_after([500 * US], host("6.12"), poll_ns=80 * US)
    done = run(b, 400 * US)
    assert done.times(es.TR_BLOCK, "vcpu0") == [80 * US]
    assert int(done.task("vcpu0")["cpu_ns"]) == 80 * US


def test_a_second_task_ends_the_poll_at_once() -> None:
    """A SCHED_OTHER thread does not preempt the FIFO vCPU: it gets the CPU because that stops polling."""
    b, guest = guest_woken_after([500 * US], host("6.12"), poll_ns=80 * US)
    job_at(b, guest.emulator, 20 * US, 5 * US)
    done = run(b, 400 * US)
    assert done.times(es.TR_BLOCK, "vcpu0") == [20 * US]
    assert switches(done) == [(20 * US, "emulator"), (25 * US, "idle")]


def test_a_stronger_task_finds_the_poller_asleep_not_preempted() -> None:
    b, _ = guest_woken_after([500 * US], host("6.12"), poll_ns=80 * US)
    job_at(b, b.server("strong", 0, [0], es.FIFO, 50), 20 * US, 5 * US)
    done = run(b, 400 * US)
    assert (int(done.task("vcpu0")["involuntary"]), int(done.task("vcpu0")["voluntary"])) == (0, 1)


def test_a_guest_with_idle_poll_never_halts() -> None:
    fields = guest_fields(Kernel.of("6.1", cmdline="idle=poll"), "emulator")
    b, _ = guest_woken_after([50 * US, 3 * MS], host("6.12"), guest=fields)
    done = run(b, 3 * MS)
    assert [row for row in done.records(es.TR_VM_EXIT) if row[4] == es.EXIT_HLT] == []
    assert int(done.task("vcpu0")["cpu_ns"]) == 3 * MS


def test_haltpoll_polls_in_the_guest_and_keeps_kvm_from_polling() -> None:
    """After a first halt of 60 us it polls for 50 us, and halts then; KVM's own poll stays off."""
    fields = guest_fields(Kernel.of("6.1", cmdline="cpuidle_haltpoll.force=1"), "emulator")
    b, guest = guest_woken_after([60 * US, 130 * US], host("6.12"), guest=fields, poll_ns=80 * US)
    done = run(b, 180 * US)
    halts = [time for time, _, _, _, reason in done.records(es.TR_VM_EXIT) if reason == es.EXIT_HLT]
    assert halts == [0, 60 * US + 1 + 50 * US]
    assert done.times(es.TR_BLOCK, "vcpu0") == halts
    assert int(done.state.cpus[done.state.tasks[guest.vcpus[0]]["guest_cpu"]]["poll_limit"]) == 50 * US


def test_haltpoll_grows_and_shrinks_with_the_halts() -> None:
    fields = guest_fields(Kernel.of("6.1", cmdline="cpuidle_haltpoll.force=1"), "emulator")

    def limit(waits: list[int]) -> int:
        b, guest = guest_woken_after(waits, host("6.12"), guest=fields)
        done = run(b, sum(waits) + 1)
        return int(done.state.cpus[done.state.tasks[guest.vcpus[0]]["guest_cpu"]]["poll_limit"])

    assert limit([60 * US]) == 50 * US
    assert limit([60 * US, 130 * US]) == 100 * US  # 50 us polled, 80 us halted
    assert limit([60 * US, 130 * US, 1 * MS]) == 50 * US
    assert limit([60 * US, 1 * MS]) == 0  # half of 50 us is less than the first poll


def test_a_timer_of_the_guest_interrupts_the_poll_on_the_host() -> None:
    """While its vCPU is halted an hrtimer stands for it: asleep or polling, the host serves its interrupt first."""

    def latency(poll_ns: int) -> tuple[list[int], int]:
        b = machine(**host("6.12"), irq_entry=600, timer_irq=400)
        guest = add_guest(b, [[0]], [0], halt_poll_ns=poll_ns)
        done = run(b, 1_500 * US, [cyclictest(b, guest.kernel)])
        return done.samples("cyclictest"), len([time for time in done.times(es.TR_IRQ) if time >= MS])

    asleep, polling = latency(0), latency(2 * MS)
    assert asleep[0] == polling[0] == [1_000]
    assert polling[1] > 0


def test_a_guest_that_polls_sees_a_wake_up_without_an_interrupt() -> None:
    """As with idle=poll: cpuidle-haltpoll polls for the mark as well, until the vCPU halts."""

    def woken(cmdline: str, poll_limit: int) -> int:
        fields = guest_fields(Kernel.of("6.1", cmdline=cmdline), "emulator")
        b = machine(cpus=2, **host("6.12"))
        guest = add_guest(b, [[0], [1]], [0], ipi=2_000, irq_entry=500, **fields)
        b.cpus[-1]["poll_limit"] = poll_limit
        lock, wait = b.lock(), [Op(es.OP_START), Op(es.OP_BLOCK)]
        held = [Op(es.OP_LOCK, lock), Op(es.OP_RUN, b.constant(50 * US)), Op(es.OP_UNLOCK, lock), Op(es.OP_EXIT)]
        b.program("holder", guest.kernel, [0], es.OTHER, 0, held)
        b.program("waiter", guest.kernel, [1], es.OTHER, 0, [*wait, *held], first=10 * US)
        done = run(b, 100 * US)
        return next(time for time, name in done.switches(3) if name == "waiter" and time >= 50 * US) - 50 * US

    assert woken("idle=poll", 0) == woken("cpuidle_haltpoll.force=1", 200 * US) < 2_000 <= woken("", 0)
