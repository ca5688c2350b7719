"""The command line as the kernel reads it, and what it isolates."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtsim.inputs.errors import InputError
from rtsim.kernel import CommandLine, Isolation


def isolation(text, n_cpus=8):
    return Isolation.of(CommandLine(text), range(n_cpus))


def test_what_comes_later_wins():
    line = CommandLine("nohz_full=1 quiet nohz_full=2-3")
    assert line.value("nohz_full") == "2-3"
    assert line.has("quiet")
    assert not line.has("splash")


def test_dashes_and_underscores_are_the_same():
    assert CommandLine("nohz-full=1").value("nohz_full") == "1"


def test_quotes_protect_blanks():
    line = CommandLine('a="b c" "d=e f" g')
    assert line.arguments == {"a": "b c", "d": "e f", "g": None}


def test_the_rest_is_for_init():
    assert CommandLine("quiet -- isolcpus=1").isolcpus is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", None),
        ("isolcpus=2-7", (("domain",), "2-7")),
        ("isolcpus=nohz,domain,managed_irq,2-7,9", (("nohz", "domain", "managed_irq"), "2-7,9")),
        ("isolcpus=managed_irq,4-N", (("managed_irq",), "4-N")),
    ],
)
def test_flags_of_isolcpus(text, found):
    assert CommandLine(text).isolcpus == found


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("", None),
        ("idle=poll processor.max_cstate=6", 0),
        ("idle=halt", 1),
        ("processor.max_cstate=6 intel_idle.max_cstate=1", 1),
        ("intel_idle.max_cstate=0 processor.max_cstate=1", 1),
        ("intel_idle.max_cstate=0", None),
    ],
)
def test_idle_limits(text, limit):
    assert CommandLine(text).max_cstate == limit


def test_switches():
    line = CommandLine("threadirqs skew_tick=1 nosmt=force preempt=full")
    assert (line.threadirqs, line.skew_tick, line.nosmt, line.preempt) == (True, True, True, "full")
    line = CommandLine("skew_tick=0")
    assert (line.threadirqs, line.skew_tick, line.nosmt, line.preempt) == (False, False, False, None)


def test_a_tuned_host():
    found = isolation("isolcpus=managed_irq,domain,2-7 nohz_full=2-7 rcu_nocbs=2-7 irqaffinity=0-1")
    assert found.domain == found.nohz_full == found.rcu_nocbs == found.managed_irq == found.isolated == set(range(2, 8))
    assert found.housekeeping == found.irq_affinity == found.kthread_cpus == {0, 1}


def test_nothing_isolated():
    found = isolation("quiet")
    assert found.isolated == found.domain == found.nohz_full == found.rcu_nocbs == set()
    assert found.housekeeping == found.irq_affinity == found.kthread_cpus == found.cpus == set(range(8))


def test_isolcpus_stops_neither_tick_nor_callbacks():
    found = isolation("isolcpus=2-3")
    assert found.isolated == {2, 3}
    assert found.nohz_full == found.rcu_nocbs == set()


def test_nohz_full_offloads_callbacks_and_keeps_balancing():
    found = isolation("nohz_full=2-3 rcu_nocbs=4")
    assert found.rcu_nocbs == {2, 3, 4}
    assert found.domain == set()
    assert found.isolated == {2, 3}


def test_isolcpus_nohz_stops_the_tick_and_offloads_callbacks():
    # rcu_init_nohz takes the mask of the CPUs whose tick may stop, whichever argument set it
    found = isolation("isolcpus=nohz,3")
    assert (found.nohz_full, found.rcu_nocbs, found.domain) == ({3}, {3}, set())


def test_cpus_need_not_be_consecutive():
    assert Isolation.of(CommandLine("isolcpus=5,N"), [0, 5, 9]).housekeeping == {0}


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("isolcpus=4-N", {4, 5, 6, 7}), ("isolcpus=1-7:1/2", {1, 3, 5, 7}), ("nohz_full=N", {7}), ("rcu_nocbs", set())],
)
def test_lists_of_the_kernel(text, cpus):
    assert isolation(text).isolated == cpus


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("isolcpus=2-9", "cmdline: isolcpus: expected CPUs of 0-7, found 8-9"),
        ("nohz_full=8", "cmdline: nohz_full: expected CPUs of 0-7, found 8"),
        ("rcu_nocbs=all,9", "cmdline: rcu_nocbs: expected CPUs of 0-7, found 9"),
        ("irqaffinity=12", "cmdline: irqaffinity: expected CPUs of 0-7, found 12"),
        (
            "isolcpus=0-7",
            "cmdline: isolcpus: expected a CPU left for housekeeping, the kernel says: "
            "Housekeeping: must include one present CPU, using boot CPU:0",
        ),
        (
            "isolcpus=0-3 nohz_full=4-7",
            "cmdline: expected a CPU left for housekeeping, 0-7 are isolated; the kernel says: "
            "Housekeeping: must include one present CPU neither in nohz_full= nor in isolcpus=domain",
        ),
        (
            "isolcpus=domian,2",
            "cmdline: isolcpus: expected CPUs, or the flags domain, managed_irq, nohz before them, found 'domian'",
        ),
        ("isolcpus=", "cmdline: isolcpus: expected CPUs such as 2-7 or 4-N, found ''"),
        ("isolcpus=1,,2", "cmdline: isolcpus: expected CPUs such as 2-7 or 4-N, found '1,,2'"),
        ("isolcpus=1-4,^2", "cmdline: isolcpus: expected CPUs such as 2-7 or 4-N, found '1-4,^2'"),
        ("isolcpus=3-1", "cmdline: isolcpus: expected a range from low to high, found '3-1'"),
        ("isolcpus=0-7:3", "cmdline: isolcpus: expected USED/SIZE after the colon, found '3'"),
        (
            "nohz_full=2 isolcpus=nohz,3",
            "cmdline: nohz_full: the kernel says: Housekeeping: nohz_full= must match isolcpus=",
        ),
    ],
)
def test_refused(text, message):
    with pytest.raises(InputError) as refused:
        isolation(text)
    assert str(refused.value) == message


def test_a_limit_that_is_no_number():
    with pytest.raises(InputError, match=r"processor.max_cstate: expected a number, found 'one'"):
        CommandLine("processor.max_cstate=one").check()


@pytest.mark.parametrize(
    ("argument", "cpus"),
    [
        ("nohz_full", {4, 5}),
        ("rcu_nocbs", {4, 5, 6}),
        ("isolcpus", {6, 7}),
        ("isolcpus=managed_irq", {6, 7}),
        ("irqaffinity", {2, 3, 4, 5, 6, 7}),
        ("kthread_cpus", {1, 2, 3, 4, 5, 6, 7}),
        ("nowatchdog", set(range(8))),
        ("nmi_watchdog=0", set(range(8))),
        ("nmi_watchdog=1", set()),
        ("nosoftlockup", set()),
    ],
)
def test_which_cpus_an_argument_frees(argument, cpus):
    found = isolation(
        "nohz_full=4-5 rcu_nocbs=6 isolcpus=domain,managed_irq,6-7 irqaffinity=0-1 kthread_cpus=0 "
        "nowatchdog nmi_watchdog=0"
    )
    assert found.removed_by(argument) == cpus


def test_kthread_cpus_not_given_frees_nothing():
    assert isolation("isolcpus=2").removed_by("kthread_cpus") == set()


@given(st.text(alphabet='isolcpu=nhz_fr,:/-0123456789N "^', max_size=40))
def test_any_text_is_read_or_refused(text):
    with suppress(InputError):
        found = isolation(f"isolcpus={text}")
        assert found.housekeeping
        assert found.housekeeping | found.isolated == found.cpus
