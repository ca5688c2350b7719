"""Who can take a CPU from a thread: sources, verdicts, what removes them, and warnings."""

import json
from pathlib import Path

import pytest

from rtsim.inputs.errors import InputError
from rtsim.scenario import Scenario, read_host, simulate
from rtsim.scenario.cpu_sources import HostTask
from rtsim.scenario.host import Host
from rtsim.scenario.schema import HostModel

MACHINE = {"sockets": 1, "cores": 4, "threads": 2, "numbering": "adjacent"}
TUNED = "isolcpus=managed_irq,domain,2-7 nohz_full=2-7 rcu_nocbs=2-7 irqaffinity=0-1 nowatchdog"


def host(cmdline="", *, folder=Path(), topology=None, **keys):
    kernel = {"release": "6.1", "cmdline": cmdline, **keys.pop("kernel", {})}
    model = HostModel.model_validate({"topology": topology or MACHINE, "kernel": kernel, "profile": "untuned", **keys})
    return Host.of(model, folder, "host.yaml")


def row(found, name):
    return next((source, taken) for source, taken in found.sources if source.name == name)


def test_everything_runs_on_a_cpu_that_nothing_isolates():
    found = host().who_can_preempt(3)
    expected = {"smi", "eth0", "net-rx", "tick", "rcu", "timer", "daemons", "kworker", "kworker-unbound", "rcuop"}
    assert expected <= {source.name for source, _ in found.sources}


def test_a_tuned_cpu_keeps_what_no_argument_removes():
    found = host(TUNED).who_can_preempt(3)
    assert {source.name for source, _ in found.sources} == {
        "smi", "function-call-ipi", "tick of two tasks", "local timer", "reschedule IPI", "TLB shootdown IPI",
        "kworker", "kworker-high", "migration/3", "cpuhp/3", "ksoftirqd/3", "RT throttling",
    }  # fmt: skip
    assert list(found.arguments) == ["sched_rt_runtime_us=-1"]


def test_pinning_removes_nothing():
    pinned = HostTask("vm/vcpu0", "fifo", 1, frozenset({3}))
    alone, beside = (host().who_can_preempt(3, tasks=tasks) for tasks in ((), (pinned,)))
    assert set(beside.names("yes")) == set(alone.names("yes"))
    assert set(beside.names("no")) == {*alone.names("no"), "vm/vcpu0"}


@pytest.mark.parametrize(
    ("policy", "priority", "expected"),
    [
        ("fifo", 1, {"eth0": "yes", "rcu": "yes", "watchdog": "yes", "kworker": "no", "daemons": "no"}),
        ("fifo", 99, {"eth0": "yes", "watchdog": "yes", "kworker": "no"}),
        ("other", 0, {"eth0": "yes", "watchdog": "yes", "kworker": "turns", "daemons": "turns"}),
        ("idle", 0, {"kworker": "yes", "daemons": "yes"}),
    ],
)
def test_verdicts(policy, priority, expected):
    found = host().who_can_preempt(3, policy, priority)
    assert {name: row(found, name)[1] for name in expected} == expected


def test_what_takes_the_cpu_comes_first():
    taken = [each for _, each in host().who_can_preempt(3).sources]
    assert taken == sorted(taken, key=["yes", "turns", "no"].index)


@pytest.mark.parametrize(
    ("argument", "removes", "leaves"),
    [
        (
            "isolcpus",
            {"daemons", "sched-balance", "kworker-unbound", "ksmd"},
            {"eth0", "nvme0", "tick", "rcu", "timer"},
        ),
        ("isolcpus=managed_irq", {"nvme0", "block"}, {"eth0", "daemons"}),
        (
            "nohz_full",
            {"tick", "timer", "vmstat", "rcu", "kworker-unbound", "watchdog"},
            {"eth0", "daemons", "kworker"},
        ),
        ("rcu_nocbs", {"rcu"}, {"tick", "eth0"}),
        ("irqaffinity", {"eth0", "net-rx"}, {"nvme0", "tick"}),
        ("kthread_cpus", {"rcu_sched", "khugepaged"}, {"kworker-unbound", "daemons"}),
        ("nowatchdog", {"nmi-watchdog", "watchdog"}, {"tick"}),
        ("nmi_watchdog=0", {"nmi-watchdog"}, {"watchdog"}),
        ("cpuset", {"daemons"}, {"kworker-unbound", "sched-balance", "eth0", "tick"}),
        ("workqueue", {"kworker-unbound"}, {"kworker", "daemons"}),
        ("sched_rt_runtime_us=-1", {"RT throttling"}, {"tick"}),
    ],
)
def test_what_each_argument_removes_and_leaves(argument, removes, leaves):
    found = host().who_can_preempt(3)
    assert removes <= set(found.arguments[argument])
    assert not leaves & set(found.arguments[argument])
    for name in removes:
        assert argument in row(found, name)[0].removed_by


def test_the_boot_cpu_keeps_its_tick_and_interrupts():
    found = host().who_can_preempt(0)
    assert "irqaffinity" not in found.arguments
    assert "tick" not in found.arguments["nohz_full"]
    assert any("boot CPU" in warning for warning in found.warnings)


def test_one_source_for_several_cpus_comes_to_each_in_turn():
    source, _ = row(host(kernel={"release": "6.1"}).who_can_preempt(3), "kworker-unbound")
    assert source.rate_hz == pytest.approx(40 / 8, rel=1e-4)


def test_costs_and_periods_are_the_profiles():
    source, _ = row(host().who_can_preempt(3), "watchdog")
    assert source.period_ns == 4 * 10**9
    assert source.rate_hz == pytest.approx(0.25, rel=1e-4)
    assert source.max_ns == 100_000
    tick, _ = row(host(kernel={"hz": 1000}).who_can_preempt(3), "tick")
    assert (tick.rate_hz, tick.period_ns) == (1000, 10**6)


# ---- preemption models and guards -----------------------------------------------------------------------------------


def test_threaded_interrupts_run_at_fifo_50():
    found = host("threadirqs").who_can_preempt(3)
    thread, taken = row(found, "irq/*-eth0")
    assert (thread.policy, thread.priority, taken) == ("fifo", 50, "yes")
    hard, _ = row(found, "eth0")
    assert hard.kind == "irq"
    assert hard.mean_ns < thread.mean_ns
    assert "irq/*-function-call-ipi" not in [source.name for source, _ in found.sources]
    assert row(host("threadirqs").who_can_preempt(3, "fifo", 60), "irq/*-eth0")[1] == "no"


@pytest.mark.parametrize(
    ("name", "schedule", "taken"),
    [
        ("timer", ("fifo", 1), "no"),
        ("rcu", ("fifo", 1), "no"),
        ("net-rx", ("fifo", 50), "yes"),
        ("sched-balance", ("other", 0), "no"),
        ("ktimers/3", ("fifo", 1), "no"),
    ],
)
def test_softirqs_of_preempt_rt_run_in_threads(name, schedule, taken):
    source, found = row(host(kernel={"preempt": "rt"}).who_can_preempt(3), name)
    assert (source.kind, source.policy, source.priority, found) == ("thread", *schedule, taken)


@pytest.mark.parametrize(
    ("kernel", "policy", "guard"),
    [
        ({"release": "6.1"}, "fifo", "RT throttling"),
        ({"release": "6.1"}, "other", None),
        ({"release": "6.1", "sysctl": {"sched_rt_runtime_us": -1}}, "fifo", None),
        ({"release": "6.12"}, "fifo", "fair server"),
        ({"release": "6.12", "config": {"rt_group_sched": True}}, "fifo", "RT throttling"),
    ],
)
def test_guards(kernel, policy, guard):
    found = host(kernel=kernel).who_can_preempt(3, policy)
    guards = [(source.name, source.period_ns, source.max_ns) for source, _ in found.sources if source.kind == "guard"]
    assert guards == ([(guard, 10**9, 5 * 10**7)] if guard else [])
    assert any(warning.startswith(f"{guard} is on") for warning in found.warnings) == bool(guard)


# ---- tuned, cpusets, measured interrupts ----------------------------------------------------------------------------


def test_tuned_isolates_and_raises_threads(tmp_path):
    (tmp_path / "quiet").mkdir()
    conf = "[bootloader]\ncmdline=isolcpus=${isolated_cores} nohz_full=${isolated_cores}\n"
    conf += "[sysctl]\nkernel.sched_rt_runtime_us=-1\n"
    conf += "[scheduler]\nisolated_cores=${isolated_cores}\ngroup.ksoftirqd=0:f:2:*:^\\[ksoftirqd\n"
    (tmp_path / "quiet/tuned.conf").write_text(conf)
    tuned = {"profile": "quiet", "variables": {"isolated_cores": "2-7"}}
    known = host("irqaffinity=0-7", folder=tmp_path, tuned=tuned)
    assert known.isolation.domain == known.isolation.nohz_full == set(range(2, 8))
    assert known.isolation.irq_affinity == {0, 1}
    found = known.who_can_preempt(3)
    assert row(found, "ksoftirqd/3")[0].priority == 2
    assert row(found, "ksoftirqd/3")[1] == "yes"
    assert "ksoftirqd/3 runs at fifo 2 (tuned), above fifo 1" in found.warnings
    assert "RT throttling" not in [source.name for source, _ in found.sources]


def test_what_is_written_in_the_scenario_counts_more_than_tuned(tmp_path):
    (tmp_path / "tuned.conf").write_text("[sysctl]\nkernel.sched_rt_runtime_us=-1\n")
    kernel = {"sysctl": {"sched_rt_runtime_us": 900_000}}
    known = host(folder=tmp_path, kernel=kernel, tuned={"profile": "tuned.conf"})
    assert known.kernel.rt_runtime_ns == 900_000_000


def test_a_partition_keeps_tasks_away_and_has_its_own_domains():
    cpusets = {"/rt": {"cpuset.cpus": "6-7", "cpuset.cpus.partition": "root"}}
    known = host(cpusets=cpusets)
    names = {source.name for source, _ in known.who_can_preempt(6).sources}
    assert "daemons" not in names
    assert {"eth0", "tick", "sched-balance"} <= names
    spans = {cpu: [set(each.span) for each in own] for cpu, own in known.scheduling_domains().items()}
    assert spans[6] == [{6, 7}]
    assert spans[0] == [{0, 1}, set(range(6))]


def test_isolated_cpus_have_no_domains():
    domains = host("isolcpus=6-7").scheduling_domains()
    assert domains[6] == domains[7] == ()
    assert domains[0][-1].span == set(range(6))


def counted(folder, *interrupts):
    """Write two copies of /proc/interrupts, 10 s apart: (number, counts before and after on CPU 3, name) each."""
    head = "     " + " ".join(f"CPU{cpu}" for cpu in range(8)) + "\n"
    for name, when in (("before", 0), ("after", 1)):
        rows = [f"{irq}: 0 0 0 {counts[when]} 9 0 0 0  {text}\n" for irq, counts, text in interrupts]
        (folder / name).write_text(head + "".join(rows))
    return {"before": "before", "after": "after", "elapsed": "10 s"}


MEASURED = (
    ("33", (5, 25), "PCI-MSI 1-edge      eth0-TxRx-3"),
    ("34", (7, 57), "PCI-MSI 2-edge      nvme0q4"),
    ("35", (7, 7), "PCI-MSI 3-edge      nvme0q5"),
    ("LOC", (100, 1100), "Local timer interrupts"),
)


def test_measured_interrupts_take_the_place_of_assumed_ones(tmp_path):
    found = host(folder=tmp_path, interrupts=counted(tmp_path, *MEASURED)).who_can_preempt(3)
    source, taken = row(found, "33 eth0-TxRx-3/3")
    assert source.rate_hz == pytest.approx(2, rel=1e-3)
    assert (source.removed_by, taken) == (("irqaffinity",), "yes")
    assert source.mean_ns == row(host().who_can_preempt(3), "eth0")[0].mean_ns
    assert row(found, "local timer")[0].rate_hz == 100.0
    names = {source.name for source, _ in found.sources}
    assert not {"35 nvme0q5/3", "eth0", "nvme0"} & names
    assert {"net-rx", "function-call-ipi"} <= names


def rates(known, irq):
    found = {cpu: noise.arrival.rate_hz() for noise, (cpu, *_) in known.noise_on() if noise.name.startswith(f"{irq} ")}
    return {cpu: pytest.approx(rate, rel=1e-3) for cpu, rate in found.items()}


@pytest.mark.parametrize(
    ("cmdline", "ethernet", "disk"),
    [
        ("", {3: 2}, {3: 5}),
        ("isolcpus=3", {3: 2}, {3: 5}),
        ("irqaffinity=0-1", {0: 1, 1: 1}, {3: 5}),
        ("isolcpus=managed_irq,3", {3: 2}, {4: 2.5, 5: 2.5}),
        ("isolcpus=managed_irq,3-5", {3: 2}, {3: 5}),  # nothing else in its mask: best effort
    ],
)
def test_measured_interrupts_land_where_isolation_leaves_them(tmp_path, cmdline, ethernet, disk):
    interrupts = counted(tmp_path, *MEASURED)
    mask = tmp_path / "irq" / "34"
    mask.mkdir(parents=True)
    (mask / "smp_affinity_list").write_text("3-5\n")
    known = host(cmdline, folder=tmp_path, interrupts={**interrupts, "affinity": "irq"})
    assert rates(known, 33) == ethernet
    assert rates(known, 34) == disk


def test_measured_interrupts_strike_in_a_run(tmp_path):
    interrupts = {**counted(tmp_path, ("33", (0, 20_000), "PCI-MSI 1-edge      eth0")), "affinity": None}
    data = {
        "host": {"topology": MACHINE, "interrupts": interrupts}, "duration": "200 ms", "warmup": "0 s",
        "workload": {"tasks": {"hog": {"cpus": "3", "run": -1}}},
    }  # fmt: skip
    busy = simulate(Scenario.of(data, folder=tmp_path))
    del data["host"]["interrupts"]
    quiet = simulate(Scenario.of(data, folder=tmp_path))
    # 2,000 a second of about 2.4 us, which the tuned profile's interrupts, on CPU 0, are not
    assert busy.cpus[3]["irq_ns"] - quiet.cpus[3]["irq_ns"] == pytest.approx(400 * 2_700, rel=0.3)


def test_measured_on_another_machine(tmp_path):
    interrupts = counted(tmp_path, ("33", (0, 20), "PCI-MSI 1-edge      eth0"))
    known = host(folder=tmp_path, interrupts=interrupts, topology={"sockets": 1, "cores": 2})
    with pytest.raises(InputError, match="interrupts: 33 eth0: expected CPUs of the host, found 3"):
        known.who_can_preempt(0)


# ---- warnings -------------------------------------------------------------------------------------------------------


def warned(known, cpu=3, policy="fifo", priority=1, tasks=()):
    return "\n".join(known.who_can_preempt(cpu, policy, priority, tasks).warnings)


@pytest.mark.parametrize(
    ("cmdline", "text", "there"),
    [
        ("", "CPU 3 is not isolated", True),
        (TUNED, "CPU 3 is not isolated", False),
        ("", "the tick is on: 250 interrupts a second", True),
        (TUNED, "the tick is on", False),
        ("", "device interrupts may go to CPU 3", True),
        (TUNED, "device interrupts may go to CPU 3", False),
        ("isolcpus=3", "CPU 2, the other thread of this core, is not isolated", True),
        (TUNED, "the other thread of this core, is not isolated", False),
        ("", "threads of interrupts run at SCHED_FIFO 50, above fifo 1", True),
        (TUNED, "threads of interrupts", False),
        ("", "ksoftirqd/3", True),
    ],
)
def test_warnings_about_a_cpu(cmdline, text, there):
    assert (text in warned(host(cmdline))) == there


def test_a_mask_over_isolated_cpus_does_not_balance():
    floating = HostTask("vm/vcpu0", "other", 0, frozenset({2, 3}))
    assert "vm/vcpu0 may use CPUs 2-3, which are isolated" in warned(host(TUNED), tasks=[floating])
    assert "which are isolated" not in warned(host(), tasks=[floating])
    realtime = HostTask("vm/vcpu0", "fifo", 1, frozenset({2, 3}))  # realtime tasks are still pushed and pulled
    assert "which are isolated" not in warned(host(TUNED), tasks=[realtime])


def test_a_busy_sibling():
    other = HostTask("vm/vcpu1", "fifo", 1, frozenset({2}))
    assert "CPU 2, the other thread of this core, runs vm/vcpu1" in warned(host(TUNED), tasks=[other])


@pytest.mark.parametrize(
    ("release", "policy", "text"),
    [
        ("6.1", "other", "its timers may expire 50 us late"),
        ("5.10", "fifo", "timers other than sleeps"),
    ],
)
def test_timer_slack(release, policy, text):
    assert text in warned(host(kernel={"release": release}), policy=policy)
    assert "us late" not in warned(host(kernel={"release": "6.12"}), policy="fifo")


# ---- reading, refusing, writing -------------------------------------------------------------------------------------


def test_a_scenario_brings_its_threads(tmp_path):
    known, tasks = read_host("data/scenarios/smt4.yaml")
    assert [(task.name, task.policy, task.priority, set(task.cpus)) for task in tasks] == [
        ("realtime4/vcpu0", "other", 0, {0}),
        ("realtime4/vcpu1", "other", 0, {1}),
        ("realtime4/vcpu2", "fifo", 1, {2}),
        ("realtime4/vcpu3", "fifo", 1, {3}),
        ("realtime4/emulator", "other", 0, {0, 1}),
        ("realtime4/vhost", "other", 0, {0, 1}),
        ("realtime4/worker", "other", 0, {0, 1}),
    ]
    found = known.who_can_preempt(1, "other", 0, tasks)
    assert row(found, "realtime4/emulator")[1] == "turns"


def test_workload_tasks_and_cyclictest_are_there_too(tmp_path):
    data = {
        "host": {"topology": {"sockets": 1, "cores": 2}}, "duration": "1 s",
        "workload": {
            "tasks": {"hog": {"policy": "SCHED_FIFO", "priority": 7, "cpus": "1", "run": -1}},
            "cyclictest": {"cpus": "0-1"},
        },
    }  # fmt: skip
    (tmp_path / "s.yaml").write_text(json.dumps(data))
    _, tasks = read_host(tmp_path / "s.yaml")
    assert [(task.name, task.policy, task.priority) for task in tasks] == [
        ("hog", "fifo", 7), ("cyclictest/0", "fifo", 95), ("cyclictest/1", "fifo", 95),
    ]  # fmt: skip


@pytest.mark.parametrize("wrapped", [True, False])
def test_the_host_part_alone(tmp_path, wrapped):
    part = {"topology": MACHINE, "kernel": {"cmdline": "isolcpus=7"}}
    (tmp_path / "h.yaml").write_text(json.dumps({"host": part} if wrapped else part))
    known, tasks = read_host(tmp_path / "h.yaml")
    assert (known.isolation.domain, tasks) == ({7}, ())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((8,), "topology: CPU 8: expected one of 0-7"),
        ((3, "stop"), "policy: expected one of fifo, rr, other, batch, idle, found 'stop'"),
        ((3, "fifo", 0), "priority: expected 1 to 99 with fifo, found 0"),
    ],
)
def test_questions_that_have_no_answer(arguments, message):
    with pytest.raises(InputError) as refused:
        host().who_can_preempt(*arguments)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"cpusets": {"/a": {"cpuset.cpus": "8"}}}, "host.yaml: host.cpusets: /a: cpuset.cpus: expected CPUs of 0-7"),
        ({"cpusets": {"/a": {"cpuset.cpus.partition": "root"}}}, "root invalid (cpuset.cpus is empty)"),
        ({"interrupts": {"before": "no", "after": "no", "elapsed": "1 s"}}, "no: expected a readable file"),
        ({"tuned": {"profile": "nowhere"}}, "nowhere: expected a readable file"),
    ],
)
def test_refused_hosts(keys, message):
    with pytest.raises(InputError) as refused:
        host(**keys)
    assert message in str(refused.value)


def test_as_plain_data_and_as_a_frame():
    found = host().who_can_preempt(3)
    data = json.loads(json.dumps(found.to_json()))
    assert (data["cpu"], data["policy"], data["priority"]) == (3, "fifo", 1)
    eth0 = next(source for source in data["sources"] if source["name"] == "eth0")
    assert (eth0["kind"], eth0["preempts"], eth0["removed_by"]) == ("irq", "yes", ["irqaffinity"])
    frame = found.frame()
    assert frame.loc["eth0", "preempts"] == "yes"
    assert frame.loc["eth0", "mean_us"] == pytest.approx(eth0["mean_ns"] / 1000)
    assert "eth0" in found._repr_html_()


def test_the_scenario_model_takes_the_new_keys():
    data = {"host": {"topology": MACHINE, "cpusets": {"/rt": {"cpuset.cpus": "6-7"}}}, "duration": "1 s"}
    assert Scenario.of(data).model.host.cpusets["/rt"].cpus == (6, 7)
