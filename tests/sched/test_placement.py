"""Where floating tasks run on a small machine: on their CPU if it idles, else on an idle one; idle CPUs pull."""

from __future__ import annotations

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder
from tests.engine.small import MS, US, Run, add_kernel, job_at, machine, run


def floating(b: Builder, cpus: list[int], policy: int = es.OTHER, name: str = "task", first_ns: int = MS) -> int:
    return b.periodic(name, 0, cpus, policy, 1, period_ns=MS, first_ns=first_ns, work=b.constant(100 * US), slack_ns=0)


def occupy(b: Builder, *cpus: int) -> None:
    """Keep CPUs busy with a strong thread, from just after 0 on."""
    for cpu in cpus:
        job_at(b, b.server(f"busy{cpu}", 0, [cpu], es.FIFO, 50), 1, 1_000 * MS)


def cpus_of(done: Run, name: str = "task") -> list[int]:
    """Return the CPUs a task was switched to, in order."""
    task = done.names.tasks.index(name)
    return [row[2] for row in done.records(es.TR_SWITCH) if row[3] == task and row[0] > 0]


def test_a_task_stays_on_its_idle_cpu() -> None:
    b = machine(cpus=3)
    floating(b, [0, 1, 2])
    done = run(b, 10 * MS)
    assert set(cpus_of(done)) == {0}


def test_with_its_cpu_busy_it_takes_the_next_idle_one_and_stays_there() -> None:
    b = machine(cpus=4)
    floating(b, [0, 1, 2, 3], es.FIFO)
    occupy(b, 0, 1)
    assert set(cpus_of(run(b, 10 * MS))) == {2}


def test_the_affinity_mask_is_kept() -> None:
    b = machine(cpus=4)
    floating(b, [0, 3], es.FIFO)
    occupy(b, 0)
    assert set(cpus_of(run(b, 10 * MS))) == {3}


def test_with_no_idle_cpu_it_queues_where_it_was() -> None:
    b = machine(cpus=2)
    task = floating(b, [0, 1], es.OTHER)
    for cpu in (0, 1):
        job_at(b, b.server(f"busy{cpu}", 0, [cpu], es.FIFO, 50), MS - 10 * US, 300 * US + cpu * 1_000 * US)
    done = run(b, 2 * MS - 1, [task])
    assert cpus_of(done)[-1] == 0
    assert done.samples("task") == [290 * US]


def test_a_cpu_that_a_realtime_task_leaves_pulls_the_strongest_that_waits() -> None:
    b = machine(cpus=2)
    weak = floating(b, [0, 1], es.FIFO, "weak")
    strong = b.periodic(
        "strong", 0, [0, 1], es.FIFO, 2, period_ns=MS, first_ns=MS, work=b.constant(100 * US), slack_ns=0
    )
    job_at(b, b.server("long", 0, [0], es.FIFO, 50), MS - 10 * US, 900 * US)
    job_at(b, b.server("short", 0, [1], es.FIFO, 50), MS - 10 * US, 30 * US)
    done = run(b, 2 * MS - 1, [weak, strong])
    assert done.samples("strong") == [20 * US]
    assert done.samples("weak") == [120 * US]
    assert [name for _, name in done.switches(1, after_ns=0)] == ["short", "strong", "weak", "idle"]
    # the samples' time is charged to whoever held the task up where it waited: there since it was pushed at the start
    assert done.causes("weak") == {"thread:short": 20 * US, "thread:strong": 100 * US}


def test_a_fair_task_behind_a_realtime_one_is_taken_when_its_cpu_has_seen_what_is_left_of_it() -> None:
    b = machine(cpus=2)
    fair = b.hog("fair", 0, [0, 1], es.OTHER, 0)
    job_at(b, b.server("long", 0, [0], es.FIFO, 50), 50 * MS, 900 * MS)
    done = run(b, 1_000 * MS, [fair])
    # Each tick has the idle CPU balance, but of a CPU with one fair task it takes that only if other classes leave it
    # less capacity, which the CPU itself works out when it balances: busy, 16 intervals of 2 ms less a tick later.
    assert done.times(es.TR_MIGRATE, "fair") == [80 * MS]
    assert int(done.state.cpus[0]["capacity"]) * 117 < 1_024 * 100


def test_pinned_tasks_are_not_pulled() -> None:
    b = machine(cpus=2)
    task = floating(b, [0], es.OTHER)
    job_at(b, b.server("long", 0, [0], es.FIFO, 50), MS - 10 * US, 210 * US)
    job_at(b, b.server("short", 0, [1], es.FIFO, 50), MS - 10 * US, 30 * US)
    done = run(b, 2 * MS - 1, [task])
    assert done.samples("task") == [200 * US]
    assert set(cpus_of(done)) == {0}


def test_isolated_cpus_neither_pull_nor_attract() -> None:
    b = Builder(trace_length=1 << 14)
    add_kernel(b, 3)
    for cpu in range(3):
        b.cpu(f"host/cpu{cpu}", 0, isolated=cpu == 1)
    floating(b, [0, 1, 2], es.FIFO)
    occupy(b, 0)
    assert set(cpus_of(run(b, 10 * MS))) == {2}


def test_more_hogs_than_cpus_keep_every_cpu_busy() -> None:
    b = machine(cpus=3)
    for number in range(4):
        b.hog(f"hog{number}", 0, [0, 1, 2], es.OTHER, 0)
    done = run(b, 100 * MS)
    assert [int(cpu["idle_ns"]) for cpu in done.state.cpus] == [0, 0, 0]
    assert sum(int(task["cpu_ns"]) for task in done.state.tasks) == 300 * MS


def test_a_floating_task_does_not_begin_behind_a_stronger_pinned_one_while_a_cpu_idles() -> None:
    b = machine(cpus=2)
    b.hog("pinned", 0, [0], es.FIFO, 50)
    b.hog("floating", 0, [0, 1], es.OTHER, 0)
    assert int(run(b, 100 * MS).task("floating")["cpu_ns"]) == 100 * MS


def test_an_idle_cpu_pulls_who_is_preempted_elsewhere() -> None:
    b = machine(cpus=2)
    b.hog("floating", 0, [0, 1], es.OTHER, 0)
    job_at(b, b.server("thread", 0, [0], es.FIFO, 50), 50 * MS, 500 * MS)
    assert int(run(b, 1_000 * MS).task("floating")["cpu_ns"]) > 900 * MS
