"""Spinlocks in a guest: vCPUs that spin, pause-loop exits, directed yield, waiters that halt until they are kicked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder, Op
from rtsim.engine.clock import run_until
from rtsim.engine.state import State
from rtsim.engine.trace import recorded
from rtsim.kvm import ple
from tests.engine.called import called
from tests.engine.small import MS, US, Run, job_at, machine, run
from tests.kvm.guests import Guest, add_guest, cyclictest

grow_window = called(ple.grow_window)
window_ns = called(ple.window_ns)
on_spin = called(ple.on_spin)

ENTRY, PAUSE, KICK, HLT, EXTERNAL = 500, 1_100, 1_300, 900, 800
EXITS = (700, HLT, EXTERNAL, 1_200, 0, 0, PAUSE, KICK)
PLE = {"ple_window": 5_000, "ple_window_grow": 2, "ple_window_shrink": 0, "ple_window_max": 2**32 - 1}
"""2 us at first."""


def locking(b: Builder, guest: Guest, cpu: int, lock: int, *, first_ns: int, work_ns: int) -> int:
    """Add a task of `guest` that takes the lock once, at `first_ns`, for `work_ns`, and then computes for ever."""
    ops = [
        Op(es.OP_START), Op(es.OP_BLOCK), Op(es.OP_SPIN_LOCK, lock), Op(es.OP_RUN, b.constant(work_ns)),
        Op(es.OP_SPIN_UNLOCK, lock), Op(es.OP_RUN, b.constant(US)), Op(es.OP_EXIT),
    ]  # fmt: skip
    return b.program(f"locking{cpu}", guest.kernel, [cpu], es.FIFO, 1, ops, first=first_ns)


def two(
    kind: int, *, pins: tuple[int, int] = (0, 1), cpus: int = 2, policy: int = es.OTHER, **host: int
) -> tuple[Builder, Guest]:
    """A guest with two vCPUs, each of which computes for ever beside what is added."""
    b = machine(cpus, vm_exit=EXITS, vm_entry=ENTRY, **host)
    guest = add_guest(
        b, [[pin] for pin in pins], [0], policy=policy, spinlocks=kind, spin_threshold=50 * US,
        ple_window=host.get("ple_window", 0),
    )  # fmt: skip
    for n in range(2):
        b.hog(f"guest hog{n}", guest.kernel, [n], es.OTHER, 0)
    return b, guest


def exits(done: Run, reason: int, vcpu: str | None = None) -> list[int]:
    rows = done.records(es.TR_VM_EXIT)
    return [row[0] for row in rows if row[4] == reason and vcpu in (None, done.names.tasks[row[3]])]


def freed(done: Run, task: str) -> int:
    """Return when `task`, the last of its guest CPU's two, was over: 1 us after it freed the lock."""
    cpu = done.names.cpus.index(f"guest/cpu{task[-1]}")
    begun = next(n for n, (_, who) in enumerate(done.switches(cpu)) if who == task)
    return done.switches(cpu)[begun + 1][0] - US


@pytest.mark.parametrize("kind", [es.SPIN_NATIVE, es.SPIN_VIRT, es.SPIN_PV])
def test_a_waiter_takes_the_lock_the_moment_it_is_freed(kind: int) -> None:
    b, guest = two(kind)
    lock = b.lock()
    locking(b, guest, 0, lock, first_ns=MS, work_ns=30 * US)
    locking(b, guest, 1, lock, first_ns=MS + 10 * US, work_ns=20 * US)
    done = run(b, 2 * MS)
    begun = next(time for time, who in done.switches(2, MS - 1) if who == "locking0")
    assert freed(done, "locking0") == begun + 30 * US
    assert freed(done, "locking1") == begun + 50 * US
    assert exits(done, es.EXIT_PAUSE) == []


def test_a_guest_that_spins_leaves_it_ever_later() -> None:
    """The holder runs on another CPU, and nobody waits for one: the exits are for nothing."""
    b, guest = two(es.SPIN_NATIVE, **PLE)
    lock = b.lock()
    locking(b, guest, 0, lock, first_ns=MS, work_ns=30 * US)
    locking(b, guest, 1, lock, first_ns=MS + 10 * US, work_ns=20 * US)
    done = run(b, 2 * MS)
    (begun,) = done.times(es.TR_LOCK_WAIT)
    first, second, third = exits(done, es.EXIT_PAUSE, "vcpu1")
    assert first == begun + 2 * US
    assert second == first + PAUSE + ENTRY + 4 * US
    assert third == second + PAUSE + ENTRY + 8 * US
    assert done.times(es.TR_YIELD_TO) == []
    assert int(done.state.tasks[guest.vcpus[1]]["ple_window"]) == 8 * 5_000


@pytest.mark.parametrize(
    ("grow", "shrink", "windows"),
    [(2, 0, [10_000, 20_000, 5_000]), (0, 0, [5_000, 5_000, 5_000]), (7_000, 2, [12_000, 19_000, 9_500])],
)
def test_the_window_grows_and_shrinks_by_kvms_parameters(grow: int, shrink: int, windows: list[int]) -> None:
    b, guest = two(es.SPIN_NATIVE, **{**PLE, "ple_window_grow": grow, "ple_window_shrink": shrink})
    state, _ = b.build([])
    vcpu = guest.vcpus[0]
    found = []
    for _ in range(2):
        grow_window(state, vcpu)
        found.append(int(state.tasks[vcpu]["ple_window"]))
    state.tasks[vcpu]["involuntary"] += 1  # it has come back to a CPU
    window_ns(state, vcpu)
    assert [*found, int(state.tasks[vcpu]["ple_window"])] == windows


def preempted_holder(kind: int, policy: int = es.OTHER, **host: int) -> Run:
    """Two vCPUs share CPU 0: the first one's turn ends while its guest holds the lock, the second wants it."""
    slices = {"sched_latency": 8 * MS, "min_granularity": 1 * MS, "wakeup_granularity": 10 * MS, "rr_ticks": 2}
    b, guest = two(kind, pins=(0, 0), policy=policy, **slices, **host)
    lock = b.lock()
    locking(b, guest, 0, lock, first_ns=6 * MS, work_ns=9 * MS)
    locking(b, guest, 1, lock, first_ns=11 * MS, work_ns=20 * US)
    return run(b, 40 * MS)


def test_a_preempted_holder_is_spun_for_in_vain_without_pause_loop_exits() -> None:
    done = preempted_holder(es.SPIN_NATIVE)
    waited = done.times(es.TR_LOCK_WAIT)[0]
    assert waited == 12 * MS + EXTERNAL + ENTRY
    assert done.task("locking1")["cpu_ns"] > 7 * MS
    assert freed(done, "locking1") > 28 * MS


def test_a_preempted_holder_gets_the_time_of_the_one_that_spins() -> None:
    done = preempted_holder(es.SPIN_NATIVE, **PLE)
    waited = done.times(es.TR_LOCK_WAIT)[0]
    yields = done.records(es.TR_YIELD_TO)
    assert {(done.names.tasks[row[3]], done.names.tasks[row[4]]) for row in yields} == {("vcpu1", "vcpu0")}
    assert yields[0][0] == exits(done, es.EXIT_PAUSE)[0] + PAUSE == waited + 2 * US + PAUSE
    assert done.switches(0, yields[0][0] - 1)[0] == (yields[0][0], "vcpu0")
    assert done.task("locking1")["cpu_ns"] < 50 * US
    assert freed(done, "locking1") < 21 * MS


def test_realtime_vcpus_yield_to_nobody() -> None:
    done = preempted_holder(es.SPIN_NATIVE, es.RR, **PLE)
    assert len(exits(done, es.EXIT_PAUSE)) > 3
    assert done.times(es.TR_YIELD_TO) == []


def test_a_waiter_that_spins_for_long_halts_and_is_kicked() -> None:
    b, guest = two(es.SPIN_PV)
    lock = b.lock()
    locking(b, guest, 0, lock, first_ns=MS, work_ns=200 * US)
    locking(b, guest, 1, lock, first_ns=MS + 10 * US, work_ns=20 * US)
    done = run(b, 2 * MS)
    (waited,) = done.times(es.TR_LOCK_WAIT)
    (halted,) = exits(done, es.EXIT_HLT, "vcpu1")
    (kicked,) = exits(done, es.EXIT_KICK, "vcpu0")
    assert halted == waited + 50 * US
    assert kicked == freed(done, "locking0") - KICK - ENTRY
    assert [time for time in done.times(es.TR_WAKING, "vcpu1") if time > MS] == [kicked + KICK]
    assert freed(done, "locking1") == kicked + KICK + ENTRY + 20 * US


def test_a_kick_ends_the_polling_of_a_halted_vcpu() -> None:
    b, guest = two(es.SPIN_PV)
    for vcpu in guest.vcpus:
        b.tasks[vcpu]["halt_poll_ns"] = 500 * US
    lock = b.lock()
    locking(b, guest, 0, lock, first_ns=MS, work_ns=200 * US)
    locking(b, guest, 1, lock, first_ns=MS + 10 * US, work_ns=20 * US)
    done = run(b, 2 * MS)
    (kicked,) = exits(done, es.EXIT_KICK, "vcpu0")
    assert [time for time in done.times(es.TR_WAKING, "vcpu1") if time > MS] == []
    assert freed(done, "locking1") == kicked + KICK + ENTRY + 20 * US


def test_a_kick_that_comes_before_the_vcpu_sleeps_is_not_lost() -> None:
    b, guest = two(es.SPIN_PV)
    lock = b.lock()
    locking(b, guest, 0, lock, first_ns=MS, work_ns=60 * US + 200)
    locking(b, guest, 1, lock, first_ns=MS + 10 * US, work_ns=20 * US)
    b.kernels[0]["vm_exit"] = [b.constant(ns) for ns in (700, 5 * US, *EXITS[2:], 0)]
    done = run(b, 2 * MS)
    (halted,) = exits(done, es.EXIT_HLT, "vcpu1")
    (kicked,) = exits(done, es.EXIT_KICK, "vcpu0")
    assert halted < kicked + KICK < halted + 5 * US
    assert freed(done, "locking1") == halted + 5 * US + ENTRY + 20 * US


def test_a_halted_waiter_can_be_passed_by() -> None:
    """PV locks are queued, but for those that come while the first of the queue is halted."""
    b, guest = two(es.SPIN_PV, context_switch=1_000)
    lock = b.lock()
    again = [
        Op(es.OP_START), Op(es.OP_BLOCK),
        *[Op(es.OP_SPIN_LOCK, lock), Op(es.OP_RUN, b.constant(200 * US)), Op(es.OP_SPIN_UNLOCK, lock)] * 2,
        Op(es.OP_RUN, b.constant(US)), Op(es.OP_EXIT),
    ]  # fmt: skip
    b.program("locking0", guest.kernel, [0], es.FIFO, 1, again, first=MS)
    locking(b, guest, 1, lock, first_ns=MS + 10 * US, work_ns=20 * US)
    done = run(b, 3 * MS)
    assert len(exits(done, es.EXIT_KICK)) == 2  # the first kick was for nothing
    assert freed(done, "locking1") > freed(done, "locking0")


@pytest.mark.parametrize(("kind", "passes"), [(es.SPIN_NATIVE, False), (es.SPIN_VIRT, True)])
def test_a_queued_lock_waits_for_a_waiter_without_a_cpu(kind: int, passes: bool) -> None:
    b = machine(3, vm_exit=EXITS, vm_entry=ENTRY)
    guest = add_guest(b, [[0], [1], [2]], [0], policy=es.OTHER, spinlocks=kind)
    for n in range(3):
        b.hog(f"guest hog{n}", guest.kernel, [n], es.OTHER, 0)
    lock = b.lock()
    locking(b, guest, 0, lock, first_ns=MS, work_ns=500 * US)
    locking(b, guest, 1, lock, first_ns=MS + 100 * US, work_ns=20 * US)
    locking(b, guest, 2, lock, first_ns=MS + 200 * US, work_ns=20 * US)
    job_at(b, b.server("strong", 0, [1], es.FIFO, 50), MS + 300 * US, 2 * MS)  # takes the first waiter's CPU
    done = run(b, 8 * MS)
    assert (freed(done, "locking2") < freed(done, "locking1")) == passes
    assert freed(done, "locking1") > MS + 2_300 * US


def test_nobody_is_preempted_with_a_spinlock_by_its_own_kernel() -> None:
    b = machine(1, vm_exit=EXITS, vm_entry=ENTRY)
    guest = add_guest(b, [[0]], [0])
    locking(b, guest, 0, b.lock(), first_ns=MS - 100 * US, work_ns=300 * US)
    task = cyclictest(b, guest.kernel)
    done = run(b, 2 * MS - 10 * US, [task])
    assert done.samples("cyclictest")[0] == freed(done, "locking0") + US - MS  # it is preempted as it frees it
    assert done.causes("cyclictest")["guest/preempt_off"] > 190 * US


def test_what_a_waiter_for_a_spinlock_keeps_from_running_is_told() -> None:
    """The waiter first spins, then its vCPU sleeps; a task that its timer wakes meanwhile waits for the lock too."""
    for kind in (es.SPIN_VIRT, es.SPIN_PV):
        b, guest = two(kind)
        lock = b.lock()
        locking(b, guest, 0, lock, first_ns=MS + 800 * US, work_ns=500 * US)
        locking(b, guest, 1, lock, first_ns=MS + 900 * US, work_ns=20 * US)
        task = b.periodic(
            "cyclictest", guest.kernel, [1], es.FIFO, 95, period_ns=MS, first_ns=MS, work=b.constant(US), slack_ns=0
        )
        done = run(b, 3 * MS - 10 * US, [task])
        assert done.causes("cyclictest")["guest/spinlock"] > 190 * US
        assert done.causes("cyclictest")["guest/preempt_off"] == 20 * US


@dataclass(frozen=True)
class Choice:
    """Four vCPUs that want one CPU: one has it, and spins; the others, in turn after it, are to be asked."""

    state: State
    guest: Guest
    others: list[int]
    hog: int
    """A task in user space."""

    def ready(self, other: int, **fields: int) -> None:
        """Let one of the others have been preempted in its guest's kernel, but for `fields`."""
        task = self.state.tasks[self.others[other]]
        task["mode"] = es.IN_HOST
        for name, value in fields.items():
            task[name] = value
        self.guest_cpu(other)["bottom"], self.guest_cpu(other)["curr"] = es.SCHEDULE, self.hog

    def guest_cpu(self, other: int) -> Any:
        return self.state.cpus[self.state.tasks[self.others[other]]["guest_cpu"]]

    def boosted(self) -> int | None:
        """Return which of the others a pause-loop exit yields to."""
        before = int(self.state.m[0]["trace_next"])
        on_spin(self.state, 0)
        records = [row for row in recorded(self.state)[before:] if row["kind"] == es.TR_YIELD_TO]
        return self.others.index(records[0]["value"]) if records else None


@pytest.fixture
def choice() -> Choice:
    b = machine(1, **PLE)
    guest = add_guest(b, [[0]] * 4, [0], policy=es.OTHER, ple_window=5_000)
    hog, *_ = [b.hog(f"guest hog{n}", guest.kernel, [n], es.OTHER, 0) for n in range(4)]
    state, _ = b.build([])
    run_until(state, 10 * US)
    spins = guest.vcpus.index(state.cpus[0]["curr"])
    state.kernels[guest.kernel]["last_boosted"] = spins
    others = [guest.vcpus[(spins + n) % 4] for n in (1, 2, 3)]
    for other in others:
        state.tasks[other]["mode"] = es.IN_QEMU
    return Choice(state, guest, others, hog)


def test_a_preempted_vcpu_is_boosted_if_it_was_in_its_guests_kernel(choice: Choice) -> None:
    choice.ready(1)
    assert choice.boosted() == 1
    choice.guest_cpu(1)["bottom"] = es.TASK_RUNS
    assert choice.boosted() is None
    choice.guest_cpu(1)["irq_pending"] = es.IRQ_NOISE
    assert choice.boosted() == 1


def test_vcpus_are_boosted_in_turn(choice: Choice) -> None:
    for other in (2, 0, 1):
        choice.ready(other)
    assert [choice.boosted() for _ in range(4)] == [0, 1, 2, 0]


@pytest.mark.parametrize(
    "fields",
    [
        {"mode": es.IN_FAULT, "fresh": 1},  # woken by something else than KVM: its page is there
        {"mode": es.IN_QEMU},
        {"policy": es.FIFO},
    ],
)
def test_vcpus_that_do_not_want_a_cpu_of_kvm_are_not_boosted(choice: Choice, fields: dict[str, int]) -> None:
    choice.ready(0, **fields)
    assert choice.boosted() is None


def test_a_halted_vcpu_that_has_been_woken_is_boosted_whatever_it_did(choice: Choice) -> None:
    choice.ready(0, fresh=1, mode=es.HALTED)
    choice.guest_cpu(0)["bottom"] = es.TASK_RUNS
    assert choice.boosted() == 0


def test_one_that_yields_itself_is_boosted_every_second_time(choice: Choice) -> None:
    choice.ready(0, mode=es.ON_SPIN)
    assert [choice.boosted() for _ in range(4)] == [None, 0, None, 0]
