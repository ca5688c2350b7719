"""What each mechanism of isolation takes from the CPUs it names, and what it leaves: one row a mechanism."""

import pytest

from rtsim.inputs.errors import InputError
from rtsim.kernel import CommandLine, Isolation, Masks, partitions_of

CPUS = frozenset(range(8))
KINDS = (
    "balancing", "tasks", "kernel threads", "unbound workers", "tick", "RCU callbacks", "timers", "managed interrupts",
    "device interrupts",
)  # fmt: skip


def isolation(text="", *, series=(6, 1), cpusets=None, **masks):
    made = partitions_of({path: (frozenset(own), kind) for path, (own, kind) in (cpusets or {}).items()}, CPUS)
    return Isolation.of(CommandLine(text), CPUS, series=series, masks=Masks(cpusets=made, **masks))


def freed(found):
    """Return for each kind of disturbance the CPUs that are free of it."""
    sets = (
        found.domain, CPUS - found.task_cpus, CPUS - found.kthread_cpus, CPUS - found.worker_cpus, found.nohz_full,
        found.rcu_nocbs, found.timers_leave, found.managed_irq, CPUS - found.irq_affinity,
    )  # fmt: skip
    return {kind: set(cpus) for kind, cpus in zip(KINDS, sets, strict=True) if cpus}


def rows(cpus, *kinds):
    return dict.fromkeys(kinds, cpus)


NOHZ_FULL = ("kernel threads", "unbound workers", "tick", "RCU callbacks", "timers")
ISOLCPUS = ("balancing", "tasks", "kernel threads", "unbound workers")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("isolcpus=6-7", rows({6, 7}, *ISOLCPUS)),
        ("isolcpus=domain,6-7", rows({6, 7}, *ISOLCPUS)),
        ("isolcpus=managed_irq,6-7", rows({6, 7}, "managed interrupts")),
        ("isolcpus=managed_irq,domain,6-7", rows({6, 7}, *ISOLCPUS, "managed interrupts")),
        ("isolcpus=nohz,6-7", rows({6, 7}, "tick", "RCU callbacks")),
        ("nohz_full=6-7", rows({6, 7}, *NOHZ_FULL)),
        ("rcu_nocbs=6-7", rows({6, 7}, "RCU callbacks")),
        ("irqaffinity=0-5", rows({6, 7}, "device interrupts")),
        ("irqaffinity=4-5", rows({1, 2, 3, 6, 7}, "device interrupts")),  # the boot CPU is always added
        ("kthread_cpus=0-5", rows({6, 7}, "kernel threads")),
        ("workqueue.unbound_cpus=0-5", {}),  # 6.1 does not know it
        ("nowatchdog", {}),
    ],
)
def test_kernel_arguments(text, expected):
    assert freed(isolation(text)) == expected


@pytest.mark.parametrize(
    ("text", "series", "expected"),
    [
        ("isolcpus=nohz,6-7", (6, 13), rows({6, 7}, "tick", "RCU callbacks")),
        ("isolcpus=nohz,6-7", (6, 14), rows({6, 7}, *NOHZ_FULL)),
        ("workqueue.unbound_cpus=0-5", (6, 5), {}),
        ("workqueue.unbound_cpus=0-5", (6, 6), rows({6, 7}, "unbound workers")),
    ],
)
def test_what_releases_changed(text, series, expected):
    assert freed(isolation(text, series=series)) == expected


@pytest.mark.parametrize(
    ("kind", "series", "expected"),
    [
        ("member", (6, 12), {}),
        ("root", (6, 12), rows({6, 7}, "tasks", "kernel threads")),
        ("isolated", (6, 12), rows({6, 7}, "balancing", "tasks", "kernel threads", "unbound workers")),
        ("isolated", (6, 1), rows({6, 7}, "balancing", "tasks", "kernel threads")),
    ],
)
def test_cpusets(kind, series, expected):
    assert freed(isolation(series=series, cpusets={"/rt": ({6, 7}, kind)})) == expected


@pytest.mark.parametrize(
    ("masks", "expected"),
    [
        ({"workqueue": frozenset(range(6))}, rows({6, 7}, "unbound workers")),
        ({"irq": frozenset(range(6))}, rows({6, 7}, "device interrupts")),
        ({"tasks": frozenset(range(6))}, rows({6, 7}, "tasks", "kernel threads")),
    ],
)
def test_masks_written_after_boot(masks, expected):
    assert freed(isolation(**masks)) == expected


def test_the_boot_cpu_keeps_its_tick_whatever_nohz_full_says():
    found = isolation("nohz_full=0-3")
    assert found.nohz_full == found.rcu_nocbs == {1, 2, 3}
    assert found.timers_leave == {0, 1, 2, 3}


def test_a_workqueue_mask_written_later_overrides_the_one_from_boot():
    assert isolation("nohz_full=6-7", workqueue=CPUS).worker_cpus == CPUS


@pytest.mark.parametrize(
    ("text", "cpusets", "expected"),
    [
        ("", {}, [set(range(8))]),
        ("isolcpus=6-7", {}, [{0, 1, 2, 3, 4, 5}, {6, 7}]),
        ("nohz_full=6-7", {}, [set(range(8))]),
        ("", {"/a": ({4, 5}, "root"), "/b": ({6, 7}, "isolated")}, [{0, 1, 2, 3}, {4, 5}, {6, 7}]),
        ("", {"/a": ({4, 5}, "member")}, [set(range(8))]),
    ],
)
def test_root_domains(text, cpusets, expected):
    assert list(isolation(text, cpusets=cpusets).root_domains) == expected


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("isolcpus", rows({3}, *ISOLCPUS)),
        ("isolcpus=managed_irq", rows({3}, "managed interrupts")),
        ("nohz_full", rows({3}, *NOHZ_FULL)),
        ("rcu_nocbs", rows({3}, "RCU callbacks")),
        ("irqaffinity", rows({3}, "device interrupts")),
        ("kthread_cpus", rows({3}, "kernel threads")),
        ("workqueue", rows({3}, "unbound workers")),
        ("cpuset", rows({3}, "tasks", "kernel threads")),
        ("nowatchdog", {}),
    ],
)
def test_what_an_argument_would_free(argument, expected):
    found = isolation().with_argument(argument, 3)
    assert freed(found) == expected
    assert 3 in found.removed_by(argument)


def test_an_argument_comes_on_top_of_what_is_there():
    found = isolation("isolcpus=6-7 nohz_full=5").with_argument("isolcpus", 3)
    assert (found.domain, found.nohz_full) == ({3, 6, 7}, {5})


@pytest.mark.parametrize(
    ("text", "argument", "cpu"),
    [
        ("isolcpus=1-7", "isolcpus", 0),
        ("isolcpus=1-7", "nohz_full", 0),
        ("", "irqaffinity", 0),
        ("kthread_cpus=3", "kthread_cpus", 3),
    ],
)
def test_what_cannot_be_freed(text, argument, cpu):
    with pytest.raises(InputError, match="expected"):
        isolation(text).with_argument(argument, cpu)


@pytest.mark.parametrize(
    ("text", "series", "reason"),
    [
        ("workqueue.unbound_cpus=7 isolcpus=7", (6, 6), "workqueue.unbound_cpus leaves no CPU, ignoring"),
        ("isolcpus=nohz,all", (6, 1), "isolcpus: expected a CPU left for housekeeping"),
        ("isolcpus=managed_irq,all", (6, 1), "using boot CPU:0"),
        ("nohz_full=all", (6, 1), "nohz_full: expected a CPU left for housekeeping"),
    ],
)
def test_refused_in_the_kernels_words(text, series, reason):
    with pytest.raises(InputError) as refused:
        isolation(text, series=series)
    assert reason in str(refused.value)


def test_masks_that_leave_nothing():
    with pytest.raises(InputError, match="expected at least one CPU left for unbound workqueues, found none"):
        isolation(workqueue=frozenset())
    with pytest.raises(InputError, match="expected at least one CPU left for"):
        isolation("isolcpus=1-7", tasks=frozenset({5}))


@pytest.mark.parametrize(
    ("found", "apart", "why"),
    [
        (isolation(), set(), "all are balanced together"),
        (isolation("isolcpus=6-7"), {6, 7}, "CPUs without domain stay in the default root domain"),
        (isolation("nohz_full=6-7"), set(), "the tick alone changes no domain"),
        (isolation(cpusets={"/rt": ({6, 7}, "root")}), {6, 7}, "a partition root has its own"),
    ],
)
def test_cpus_of_one_root_domain_have_one_number(found, apart, why):
    roots = {cpu: found.root_domain_of(cpu) for cpu in found.cpus}
    assert {cpu for cpu in roots if roots[cpu] != roots[0]} == apart, why
    assert len({roots[cpu] for cpu in apart}) <= 1, why
