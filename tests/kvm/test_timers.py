"""When a guest's timer fires on the host, what wakes a halted vCPU, and what programming a timer costs the guest."""

from __future__ import annotations

import pytest

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder
from tests.engine.small import MS, US, Run, add_kernel, interrupt_at, machine, run
from tests.kvm.guests import Guest, add_guest, cyclictest

EXITS = (700, 900, 800, 1_200)
ENTRY = 500


def busy_guest(*, advance: int, **kernel: int) -> tuple[Builder, Guest, int]:
    """A guest that never halts, with a cyclictest, whose timers fire `advance` ns early at first."""
    b = machine(vm_exit=EXITS, vm_entry=ENTRY, **kernel)
    guest = add_guest(b, [[0]], [0], timer_advance=advance)
    b.hog("guest hog", guest.kernel, [0], es.OTHER, 0)
    return b, guest, cyclictest(b, guest.kernel)


def exits(done: Run, reason: int) -> list[int]:
    return [time for time, _, _, _, value in done.records(es.TR_VM_EXIT) if value == reason]


def test_a_timer_that_fires_early_is_waited_for_before_the_entry() -> None:
    b, _, task = busy_guest(advance=1_000)
    done = run(b, 2 * MS - 2_000, [task])
    assert exits(done, es.EXIT_TIMER) == [MS - 1_000]
    assert [time for time in done.times(es.TR_VM_ENTRY) if time > 1_000] == [MS + ENTRY]  # ready 300 ns before
    assert done.samples("cyclictest") == [ENTRY]


def test_what_the_advance_does_not_cover_is_late() -> None:
    b, _, task = busy_guest(advance=200)
    assert run(b, 2 * MS - 2_000, [task]).samples("cyclictest") == [700 - 200 + ENTRY]


def test_a_timer_found_by_another_ones_interrupt_before_it_expires_has_waited_since_its_release() -> None:
    """KVM's timer has fired for it too, and its sample was to begin at its hard expiry."""
    b, guest, first = busy_guest(advance=1_000)
    second = b.periodic(
        "second", guest.kernel, [0], es.FIFO, 90, period_ns=10 * MS, first_ns=MS - 200, work=b.constant(US),
        slack_ns=800,
    )  # fmt: skip
    done = run(b, 2 * MS - 2_000, [first, second])
    assert done.samples("second") == [200 + ENTRY + US]
    assert done.causes("second") == {"guest/timer_slack": 200 + ENTRY, "thread:cyclictest": US}


@pytest.mark.parametrize(
    ("at_first", "after"),
    [
        (1_000, 1_000 - 300 // 8),  # 300 ns too early
        (300, 300 + 400 // 8),  # 400 ns too late
        (690, 690),  # 10 ns: less than 100 cycles
    ],
)
def test_the_advance_follows_an_eighth_of_the_error(at_first: int, after: int) -> None:
    b, guest, task = busy_guest(advance=at_first, timer_advance_adapts=1)
    assert int(run(b, 2 * MS - 10 * US, [task]).state.tasks[guest.vcpus[0]]["timer_advance"]) == after


def test_the_advance_settles_where_the_guest_is_entered_on_time() -> None:
    b, guest, task = busy_guest(advance=1_000, timer_advance_adapts=1)
    done = run(b, 200 * MS, [task])
    # cyclictest's timers and the guest's ticks; at every fourth the host's own tick comes in between
    assert 700 <= int(done.state.tasks[guest.vcpus[0]]["timer_advance"]) <= 740
    assert done.samples("cyclictest")[101] == ENTRY


def test_large_errors_change_nothing() -> None:
    """More than 10,000 cycles: the host was busy with something else."""
    b, guest, task = busy_guest(advance=1_000, timer_advance_adapts=1)
    b.source("stall", es.NOISE_HARDWARE, cpu=0, duration=b.constant(20 * US), period_ns=1000 * MS, phase_ns=MS - 5 * US)
    done = run(b, 2 * MS - 10 * US, [task])
    assert int(done.state.tasks[guest.vcpus[0]]["timer_advance"]) == 1_000


def test_without_the_preemption_timer_an_interrupt_of_the_host_ends_guest_mode() -> None:
    b, _, task = busy_guest(advance=0, preemption_timer=0, irq_entry=600, timer_irq=400)
    done = run(b, 2 * MS - 10 * US, [task])
    assert exits(done, es.EXIT_TIMER) == []
    assert exits(done, es.EXIT_EXTERNAL) == [MS]
    assert done.samples("cyclictest") == [800 + 600 + 400 + ENTRY]


def test_a_halted_guest_is_woken_early_and_entered_on_time() -> None:
    b = machine(vm_exit=EXITS, vm_entry=ENTRY, idle_exit=300, wake=200, context_switch=400)
    guest = add_guest(b, [[0]], [0], timer_advance=1_000)
    task = cyclictest(b, guest.kernel)
    done = run(b, 2 * MS - 10 * US, [task])
    assert done.times(es.TR_WAKING, "vcpu0") == [MS - 1_000 + 300]
    assert done.samples("cyclictest") == [ENTRY]
    assert done.causes("cyclictest") == {"vm_entry": ENTRY}


def test_programming_a_timer_is_an_exit_too() -> None:
    """Each interrupt of the timer ends with one, before the woken task runs; arming a sleep is another."""
    b = machine(vm_exit=EXITS, vm_entry=ENTRY)
    guest = add_guest(b, [[0]], [0], clock_program=700 + ENTRY, hrtimer_program=700 + ENTRY)
    task = cyclictest(b, guest.kernel)
    done = run(b, 2 * MS - 10 * US, [task])
    assert done.samples("cyclictest") == [ENTRY + 700 + ENTRY]
    woken, halted = done.times(es.TR_SWITCH, "cyclictest")[-1], exits(done, es.EXIT_HLT)[-1]
    assert halted - woken == US + 700 + ENTRY


def test_timers_that_expire_while_the_clock_would_be_programmed_come_in_an_interrupt_of_their_own() -> None:
    """One that expires while the first task is woken still comes in the same interrupt."""
    b = machine()
    guest = add_guest(b, [[0]], [0], wake=2_000, clock_program=1_000)
    for number, after in enumerate((0, 1_500, 4_500)):
        b.periodic(
            f"task{number}", guest.kernel, [0], es.FIFO, 50, period_ns=10 * MS, first_ns=MS + after,
            work=b.constant(US), slack_ns=0,
        )  # fmt: skip
    done = run(b, 2 * MS)
    assert [time - MS for time in done.times(es.TR_TIMER)] == [0, 2_000, 5_000]
    cpu = len(done.state.cpus) - 1
    entered = [time - MS for time, _, where, _, _ in done.records(es.TR_IRQ) if where == cpu]
    assert entered == [0, 5_000]
    assert [time - MS for time, name in done.switches(cpu) if time > MS and name != "idle"] == [8_000, 9_000, 10_000]


def nohz_guest(*, expiry_there_ns: int, **kernel: int) -> tuple[Builder, Guest, int]:
    """A halted guest on the nohz_full CPU 1, beside a housekeeping CPU whose own timer expires at `expiry_there_ns`."""
    b = Builder(trace_length=1 << 14)
    add_kernel(b, 2, timer_migration=1, ipi=2_000, **kernel)
    b.cpu("host/cpu0", 0)
    b.cpu("host/cpu1", 0, nohz_full=True, isolated=True)
    guest = add_guest(b, [[1]], [0])
    b.periodic(
        "other", 0, [0], es.FIFO, 1, period_ns=100 * MS, first_ns=expiry_there_ns, work=b.constant(US), slack_ns=0
    )
    return b, guest, cyclictest(b, guest.kernel)


def test_the_timer_of_a_halted_vcpu_on_a_nohz_full_cpu_expires_on_a_housekeeping_one() -> None:
    b, _, task = nohz_guest(expiry_there_ns=900 * US)
    done = run(b, 2 * MS - 10 * US, [task])
    (first,) = [row for row in done.records(es.TR_TIMER) if row[3] == done.names.tasks.index("vcpu0")]
    assert (first[0], first[2]) == (MS, 0)
    assert done.samples("cyclictest") == [2_000]  # the interrupt that tells CPU 1


def test_it_stays_where_it_would_be_the_first_to_expire_there() -> None:
    b, _, task = nohz_guest(expiry_there_ns=50 * MS)
    assert run(b, 2 * MS - 10 * US, [task]).samples("cyclictest") == [0]


@pytest.mark.parametrize("ttwu_queue", [0, 1])
def test_an_idle_cpu_that_nobody_has_told_yet_is_not_throttled(ttwu_queue: int) -> None:
    b, _, task = nohz_guest(expiry_there_ns=900 * US, timer_irq=3_000, ttwu_queue=ttwu_queue)
    done = run(b, 2 * MS - 10 * US, [task])
    assert done.causes("cyclictest") == {"idle_exit": 5_000}


def test_a_vcpu_that_an_interrupt_wakes_waits_for_its_own_cpu_though_its_timer_is_on_another() -> None:
    b, guest, _ = nohz_guest(expiry_there_ns=900 * US, context_switch=1_500)
    interrupt_at(b, 2, MS // 2, 3_000)  # the guest CPU; the timer of 1 ms is on CPU 0 by then
    done = run(b, MS - 10 * US, [guest.vcpus[0]])
    assert done.samples("vcpu0") == [1_500]
    assert done.causes("vcpu0") == {"switch": 1_500}
