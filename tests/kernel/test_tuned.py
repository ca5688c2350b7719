"""Profiles of tuned: parents, variables, functions, and what they make of the kernel."""

from pathlib import Path

import pytest

from rtsim.inputs.errors import InputError
from rtsim.kernel import Isolation, Kernel
from rtsim.kernel.tuned import read_tuned
from rtsim.kernel.tuned_variables import Variables, parse_cpumask
from rtsim.topology import Topology

MACHINE = Topology.regular(sockets=2, cores=4)
INSTALLED = Path("/usr/lib/tuned")

LATENCY = """
[main]
summary=Short latencies
[sysctl]
kernel.numa_balancing=0
vm.swappiness=10
[bootloader]
cmdline_latency=skew_tick=1
"""
QUIET = r"""
[main]
include = latency
[variables]
include = /etc/tuned/quiet-variables.conf
check = \\${isolated_cores}
isolated_cores = ${isolated_cores}
assert1=${f:assertion_non_equal:isolated_cores are set:${isolated_cores}:${check}}
expanded=${f:cpulist_unpack:${isolated_cores}}
online=${f:cpulist_online:${isolated_cores}}
others=${f:cpulist2hex_invert:${isolated_cores}}
assert2=${f:assertion:isolated_cores contains online CPU(s):${expanded}:${online}}
isolate_managed_irq = ${isolate_managed_irq}
managed_irq=${f:regex_search_ternary:${isolate_managed_irq}:\b[y,Y,1,t,T]\b:managed_irq,domain,:}
[sysctl]
kernel.sched_rt_runtime_us = -1   # no throttling
[sysfs]
/sys/devices/virtual/workqueue/cpumask = ${others}
[bootloader]
cmdline_quiet=+isolcpus=${managed_irq}${isolated_cores} nosoftlockup
[scheduler]
isolated_cores=${isolated_cores}
"""
HOST = r"""
[main]
include=quiet
[variables]
non_isolated=${f:cpulist_invert:${isolated_cores}}
[scheduler]
group.ktimers=1:f:3:*:^\[ktimers
group.ksoftirqd=0:f:2:*:^\[ksoftirqd
[bootloader]
cmdline_host=+nohz_full=${isolated_cores} irqaffinity=${non_isolated}
"""


@pytest.fixture
def profiles(tmp_path):
    """Write profiles under usr/lib/tuned, and variables under etc/tuned."""

    def write(variables="isolated_cores=2-3\n", **texts):
        for name, text in {"latency": LATENCY, "quiet": QUIET, "host": HOST, **texts}.items():
            folder = tmp_path / "usr/lib/tuned" / name
            folder.mkdir(parents=True)
            (folder / "tuned.conf").write_text(text)
        etc = tmp_path / "etc/tuned"
        etc.mkdir(parents=True)
        (etc / "quiet-variables.conf").write_text(variables)
        return tmp_path / "usr/lib/tuned"

    return write


def test_a_profile_and_its_parents(profiles):
    found = read_tuned(profiles() / "host", MACHINE)
    assert found.name == "host"
    assert [Path(file).parent.name for file in found.files] == ["latency", "quiet", "host"]
    assert found.cmdline == "skew_tick=1 isolcpus=2-3 nosoftlockup nohz_full=2-3 irqaffinity=0,1,4,5,6,7"
    assert found.sysctl["vm.swappiness"] == "10"
    assert found.kernel_sysctl() == {"numa_balancing": 0, "sched_rt_runtime_us": -1}
    assert found.masks.workqueue == found.masks.irq == found.masks.tasks == {0, 1, 4, 5, 6, 7}


def test_what_it_makes_of_the_kernel(profiles):
    found = read_tuned(profiles() / "host", MACHINE, {"isolated_cores": "6-7", "isolate_managed_irq": "Y"})
    kernel = Kernel.of("6.1", cmdline=found.cmdline, sysctl=found.kernel_sysctl())
    isolation = kernel.isolation(MACHINE.cpu_ids, found.masks)
    assert isinstance(isolation, Isolation)
    for free in (isolation.domain, isolation.nohz_full, isolation.rcu_nocbs, isolation.managed_irq):
        assert free == {6, 7}
    for left in (isolation.worker_cpus, isolation.irq_affinity, isolation.task_cpus, isolation.kthread_cpus):
        assert left == set(range(6))
    assert kernel.rt_runtime_ns is None


def test_the_conf_itself_may_be_named(profiles):
    folder = profiles()
    assert read_tuned(folder / "host/tuned.conf", MACHINE) == read_tuned(folder / "host", MACHINE)


def test_profiles_that_include_each_other(profiles):
    folder = profiles(
        a="[main]\ninclude=b\n[bootloader]\ncmdline_a=a\n", b="[main]\ninclude=a\n[bootloader]\ncmdline_b=b\n"
    )
    assert read_tuned(folder / "a", MACHINE).cmdline == "b a"


def test_a_conf_in_the_folder_one_is_in(profiles, monkeypatch):
    monkeypatch.chdir(profiles() / "host")
    assert read_tuned("tuned.conf", MACHINE).name == "host"


def test_groups_give_threads_their_priority(profiles):
    first, second = read_tuned(profiles() / "host", MACHINE).threads
    assert (first.policy, first.priority, first.matches("ksoftirqd/3")) == ("fifo", 2, True)
    assert (second.priority, second.matches("ktimers/3"), second.matches("ksoftirqd/3")) == (3, True, False)


@pytest.mark.parametrize(
    ("cmdline", "expected"),
    [
        ("cmdline_host=-nosoftlockup", "skew_tick=1 isolcpus=2-3"),
        ("cmdline_quiet=+quiet", "skew_tick=1 quiet"),
        ("cmdline=plain words", "skew_tick=1 isolcpus=2-3 nosoftlockup plain words"),
        (r"cmdline_a=\+plus", "skew_tick=1 isolcpus=2-3 nosoftlockup plus"),
    ],
)
def test_arguments_add_take_away_and_replace(profiles, cmdline, expected):
    folder = profiles(own=f"[main]\ninclude=quiet\n[bootloader]\n{cmdline}\n")
    assert read_tuned(folder / "own", MACHINE).cmdline == expected


def test_a_section_may_replace_its_parents(profiles):
    folder = profiles(own="[main]\ninclude=quiet\n[bootloader]\nreplace=True\ncmdline=x\n")
    assert read_tuned(folder / "own", MACHINE).cmdline == "x"


@pytest.mark.parametrize(
    ("scheduler", "irq"),
    [("default_irq_smp_affinity=ignore", None), ("default_irq_smp_affinity=0,4", {0, 4}), ("", {0, 1, 4, 5, 6, 7})],
)
def test_where_it_sends_interrupts(profiles, scheduler, irq):
    folder = profiles(own=f"[main]\ninclude=quiet\n[scheduler]\n{scheduler}\n")
    assert read_tuned(folder / "own", MACHINE).masks.irq == irq


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${a}-${b}", "1-3-${b}"),
        (r"\${a}", "${a}"),
        ("${f:cpulist_unpack:${a},6}", "1,2,3,6"),
        ("${f:cpulist_pack:1,2,3,6}", "1-3,6"),
        ("${f:cpulist2hex:0,33}", "00000002,00000001"),
        ("${f:hex2cpulist:2,00000001}", "0,33"),
        ("${f:cpulist2hex_invert:${a}}", "000000f1"),
        ("${f:cpulist_online:6-9}", "6,7"),
        ("${f:calc_isolated_cores:1}", "1,2,3,5,6,7"),
        ("${f:calc_isolated_cores:3}", "3,7"),
        ("${f:cpulist_unpack:${f:strip: 1-2 }}", "1,2"),
        ("${f:regex_search_ternary:${a}:[0-9]: isolcpus=${a}:}", " isolcpus=1-3"),
        ("${f:cpulist_unpack:${b}}", ""),
        ("x${f:exec:rm:-rf:/}y", "xy"),
        (r"${f:strip:a\:b}", "a:b"),
        ("a } b", "a } b"),
    ],
)
def test_variables_and_functions(text, expected):
    variables = Variables(MACHINE, "tuned.conf")
    variables.define("a", "1-3")
    assert variables.expand(text, "x") == expected


@pytest.mark.parametrize(
    ("variables", "texts", "reason"),
    [
        ("", {}, "assert1: expected isolated_cores are set; tuned says: Assertion"),
        ("isolated_cores=6-9\n", {}, "isolated_cores contains online CPU(s)"),
        ("isolated_cores=x\n", {}, "expected a CPU list"),
        ("isolated_cores=1\n", {"quiet": "[main]\ninclude=nowhere\n"}, "nowhere/tuned.conf: expected a readable file"),
        ("isolated_cores=1\n", {"quiet": "x=1\n"}, "quiet/tuned.conf: line 1: expected [sections]"),
        ("isolated_cores=1\n", {"quiet": "[variables]\na=${f:nonsense:1}\n"}, "found 'nonsense'"),
        (
            "isolated_cores=1\n",
            {"quiet": "[variables]\na=${f:assertion:x}\n"},
            "a: expected 3 arguments of assertion, found 1",
        ),
        ("isolated_cores=1\n", {"quiet": "[scheduler]\nisolated_cores=9\n"}, "expected CPUs of 0-7, found 9"),
        ("isolated_cores=1\n", {"quiet": "[scheduler]\ngroup.a=f:1\n"}, "expected RULE_PRIORITY:POLICY"),
        ("isolated_cores=1\n", {"quiet": "[scheduler]\ngroup.a=0:z:1:*:x\n"}, "expected a policy of f, r, o, b"),
        ("isolated_cores=1\n", {"quiet": "[scheduler]\ngroup.a=0:f:1:*:(\n"}, "expected a regular expression"),
        (
            "isolated_cores=1\n",
            {"quiet": "[sysfs]\n/sys/devices/virtual/workqueue/cpumask=none\n"},
            "expected a hexadecimal CPU mask, found 'none'",
        ),
    ],
)
def test_refused(profiles, variables, texts, reason):
    folder = profiles(variables, **{**texts, "host": "[main]\ninclude=quiet\n"})
    with pytest.raises(InputError) as refused:
        read_tuned(folder / "host", MACHINE)
    assert reason in str(refused.value)


def test_a_tunable_that_is_no_number(profiles):
    folder = profiles(own="[sysctl]\nkernel.watchdog=never\n")
    with pytest.raises(InputError, match=r"\[sysctl\] kernel.watchdog: expected a number, found 'never'"):
        read_tuned(folder / "own", MACHINE).kernel_sysctl()


def test_masks():
    assert parse_cpumask("0x5") == {0, 2}
    assert parse_cpumask("1,00000002") == {1, 32}


@pytest.mark.skipif(not INSTALLED.is_dir(), reason="tuned is not installed")
@pytest.mark.parametrize("name", ["realtime", "realtime-virtual-host", "realtime-virtual-guest", "cpu-partitioning"])
def test_profiles_as_tuned_installs_them(name):
    found = read_tuned(INSTALLED / name, MACHINE, {"isolated_cores": "2-3"})
    assert found.masks.workqueue == {0, 1, 4, 5, 6, 7}
    assert "skew_tick=1" in found.cmdline
