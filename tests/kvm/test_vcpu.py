"""A vCPU's way through entries and exits, and what each part costs a cyclictest in the guest."""

from __future__ import annotations

from rtsim.engine import constants as es
from tests.engine.small import MS, US, Run, exit_at, interrupt_at, job_at, machine, run
from tests.kvm.guests import add_guest, cyclictest

EXITS = (700, 900, 800, 1_200)
"""ns of an exit for the timer, for HLT, for an interrupt of the host, for QEMU."""
ENTRY = 500


def story(done: Run, after_ns: int = 0) -> list[tuple[int, str, int]]:
    """Return (time, record, value) of entries, exits, switches and blocks on CPU 0 of the host; switches by task."""
    kinds = (es.TR_VM_ENTRY, es.TR_VM_EXIT, es.TR_SWITCH, es.TR_BLOCK, es.TR_LOCK_WAIT)
    return [
        (time, es.TR_NAMES[kind], task if kind == es.TR_SWITCH else value)
        for time, kind, cpu, task, value in done.records(*kinds)
        if cpu == 0 and time > after_ns
    ]


def test_a_guest_with_nothing_to_do_enters_once_and_halts() -> None:
    b = machine(vm_exit=EXITS, vm_entry=ENTRY)
    add_guest(b, [[0]], [0])
    done = run(b, 10 * MS)
    assert story(done, after_ns=-1) == [
        (0, "sched_switch", 0),
        (ENTRY, "kvm_entry", 0),
        (ENTRY, "kvm_exit", es.EXIT_HLT),
        (ENTRY + 900, "block", es.SLEEPING),
        (ENTRY + 900, "sched_switch", es.NONE),
    ]


def test_a_timer_of_a_running_guest_is_an_exit_and_an_entry() -> None:
    b = machine(vm_exit=EXITS, vm_entry=ENTRY)
    guest = add_guest(b, [[0]], [0])
    b.hog("guest hog", guest.kernel, [0], es.OTHER, 0)
    task = cyclictest(b, guest.kernel)
    done = run(b, 2 * MS - 1, [task])
    assert story(done, after_ns=MS - 1) == [(MS, "kvm_exit", es.EXIT_TIMER), (MS + 700 + ENTRY, "kvm_entry", 0)]
    assert done.samples("cyclictest") == [700 + ENTRY]
    assert done.causes("cyclictest") == {"vm_exit": 700, "vm_entry": ENTRY}


def test_a_timer_of_a_halted_guest_takes_the_whole_way_through_the_host() -> None:
    b = machine(
        vm_exit=EXITS, vm_entry=ENTRY, idle_exit=5_000, irq_entry=600, timer_irq=400, wake=1_000, context_switch=1_600,
        syscall_exit=200,
    )  # fmt: skip
    guest = add_guest(b, [[0]], [0])
    task = cyclictest(b, guest.kernel)
    done = run(b, 2 * MS - 1, [task])
    latency = 5_000 + 2_000 + 1_600 + ENTRY  # a vCPU thread does not return to user space before it enters
    assert done.samples("cyclictest") == [latency]
    assert done.causes("cyclictest") == {"idle_exit": 5_000, "irq": 2_000, "switch": 1_600, "vm_entry": ENTRY}
    assert story(done, after_ns=MS) == [
        (MS + 7_000, "sched_switch", guest.vcpus[0]),
        (MS + latency, "kvm_entry", 0),
        (MS + latency + US, "kvm_exit", es.EXIT_HLT),
        (MS + latency + US + 900, "block", es.SLEEPING),
        (MS + latency + US + 900, "sched_switch", es.NONE),
    ]


def test_the_vcpu_threads_own_sample_runs_from_the_interrupt_to_the_cpu() -> None:
    b = machine(vm_entry=ENTRY, idle_exit=5_000, irq_entry=600, context_switch=1_600)
    guest = add_guest(b, [[0]], [0])
    cyclictest(b, guest.kernel)
    done = run(b, 2 * MS - 1, guest.vcpus)
    assert done.samples("vcpu0") == [5_000 + 600 + 1_600]


def test_a_timer_that_expires_during_the_exit_for_hlt_is_not_lost() -> None:
    b = machine(vm_exit=(0, 50 * US, 0, 0), vm_entry=ENTRY)
    guest = add_guest(b, [[0]], [0])
    task = b.periodic(
        "cyclictest", guest.kernel, [0], es.FIFO, 95, period_ns=20 * US, first_ns=MS, work=b.constant(US), slack_ns=0
    )
    done = run(b, MS + 60 * US, [task])
    # released at 1.02 ms, while the exit that began at 1.0015 ms goes on to 1.0515 ms; then straight back in
    assert done.samples("cyclictest")[:2] == [ENTRY, 1_000_000 + ENTRY + US + 50 * US + ENTRY - 1_020_000]
    assert es.TR_BLOCK not in [row[1] for row in done.records() if row[2] == 0 and row[0] >= MS]


def test_an_interrupt_of_the_host_takes_the_guest_out_and_back() -> None:
    b = machine(vm_exit=EXITS, vm_entry=ENTRY)
    guest = add_guest(b, [[0]], [0])
    b.hog("guest hog", guest.kernel, [0], es.OTHER, 0)
    task = cyclictest(b, guest.kernel)
    interrupt_at(b, 0, MS - 10 * US, 30 * US)
    done = run(b, 2 * MS - 1, [task])
    assert story(done, after_ns=MS - 20 * US) == [
        (MS - 10 * US, "kvm_exit", es.EXIT_EXTERNAL),
        (MS - 10 * US + 800 + 30 * US + ENTRY, "kvm_entry", 0),
    ]
    assert done.causes("cyclictest") == {"irq": 20_800, "vm_entry": ENTRY}


def stopped_by(kind: int) -> Run:
    """A guest's CPU is struck for 30 us, 10 us before a timer of the guest expires."""
    b = machine(vm_exit=EXITS, vm_entry=ENTRY)
    guest = add_guest(b, [[0]], [0])
    b.hog("guest hog", guest.kernel, [0], es.OTHER, 0)
    task = cyclictest(b, guest.kernel)
    interrupt_at(b, 0, MS - 10 * US, 30 * US, kind)
    return run(b, 2 * MS - 1, [task])


def test_smis_stop_the_guest_without_an_exit() -> None:
    done = stopped_by(es.NOISE_HARDWARE)
    assert story(done, after_ns=10 * US) == []  # the timer that expired meanwhile is served where the guest stands
    assert done.causes("cyclictest") == {"hardware": 20 * US}


def test_nmis_take_the_guest_out_first() -> None:
    done = stopped_by(es.NOISE_NMI)
    assert story(done, after_ns=10 * US)[0] == (MS - 10 * US, "kvm_exit", es.EXIT_EXTERNAL)
    exit_ns = EXITS[es.EXIT_EXTERNAL]
    assert done.causes("cyclictest") == {"irq": 20 * US, "vm_exit": exit_ns, "vm_entry": ENTRY}


def test_exits_are_counted_by_reason() -> None:
    done = stopped_by(es.NOISE_NMI)
    exits = done.state.cpus[1]["exits"]
    story_counts = [len([row for row in done.records(es.TR_VM_EXIT) if row[4] == reason]) for reason in range(8)]
    assert list(exits[:8]) == story_counts
    assert exits[es.EXIT_EXTERNAL] == 1
    assert exits[es.EXIT_ARM] >= 2  # at the start, and for the next period


def test_a_stronger_host_task_is_named_as_the_cause_in_the_guest() -> None:
    b = machine(vm_exit=EXITS, vm_entry=ENTRY)
    guest = add_guest(b, [[0]], [0])
    b.hog("guest hog", guest.kernel, [0], es.OTHER, 0)
    task = cyclictest(b, guest.kernel)
    job_at(b, b.server("kworker", 0, [0], es.FIFO, 2), MS - 10 * US, 100 * US)
    done = run(b, 2 * MS - 1, [task])
    assert done.causes("cyclictest") == {"thread:kworker": 90 * US + 800, "vm_entry": ENTRY}


def test_work_left_in_the_guest_goes_on_where_it_stopped() -> None:
    """100 us of guest work, interrupted for the host twice, end when 100 us have been executed."""
    b = machine(vm_exit=EXITS, vm_entry=ENTRY)
    guest = add_guest(b, [[0]], [0])
    job_at(b, b.server("guest thread", guest.kernel, [0], es.FIFO, 5), MS, 100 * US)
    interrupt_at(b, 0, MS + 20 * US, 30 * US)
    interrupt_at(b, 0, MS + 70 * US, 7 * US)
    done = run(b, 2 * MS)
    (halted,) = [row[0] for row in done.records(es.TR_VM_EXIT) if row[4] == es.EXIT_HLT and row[0] > MS]
    assert halted == MS + ENTRY + 100 * US + (30 + 7) * US + 2 * (800 + ENTRY)
    assert int(done.task("guest thread")["cpu_ns"]) == 100 * US


def test_a_guest_that_does_not_execute_has_nothing_to_ask_of_qemu() -> None:
    b = machine(vm_exit=EXITS, vm_entry=ENTRY)
    guest = add_guest(b, [[0]], [0])
    exit_at(b, guest.vcpus[0], 5 * MS, 100 * US)
    assert story(run(b, 10 * MS), after_ns=MS) == []


def test_a_halted_guest_cpu_does_not_poll() -> None:
    """A resched mark of its kernel finds it halted: the vCPU is woken for the interrupt, whatever its idle driver."""
    b = machine(2)
    guest = add_guest(b, [[0], [1]], [0], idle_polls=1)
    lock = b.lock()
    first, second = (b.server(f"server{n}", guest.kernel, [n], es.FIFO, 50, lock=lock) for n in range(2))
    job_at(b, first, MS, 100 * US, locked=True)
    job_at(b, second, MS + 10 * US, 20 * US, locked=True)  # it waits for the lock, and its vCPU halts
    done = run(b, 2 * MS)
    cpu = done.names.cpus.index("guest/cpu1")
    assert (MS + 100 * US, "server1") in done.switches(cpu)
    assert int(done.task("server1")["cpu_ns"]) == 20 * US
