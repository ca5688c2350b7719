"""A recording in place of random noise: what it holds is what strikes, and isolation takes away what it can."""

from __future__ import annotations

import lzma
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtsim.engine import constants as es
from rtsim.engine.clock import run_until
from rtsim.engine.trace import recorded
from rtsim.inputs.errors import InputError
from rtsim.profile.recorded import read_recorded
from rtsim.scenario import Scenario, simulate
from rtsim.scenario.assemble import Assembly, assemble
from rtsim.scenario.who import who_can_preempt

DISK = Path("data/measured/trace/disk-writer.txt.zst").absolute()
"""Of 2 CPUs: interrupts and softirqs of a disk, dd that writes to it, kernel threads, two busy Python programs."""
RT = Path("data/recorded/kernel-6.1-rt/per1ms-fifo80-idle").absolute()
COSTS = (
    "context_switch", "wake", "enqueue_remote", "ipi", "timer_irq", "tick", "hrtimer_program", "syscall_exit",
    "irq_entry", "softirq_entry", "schedule", "preempt_fair", "ktimers", "softirq_exit", "irq_thread_hard",
)  # fmt: skip
NOTHING = {"constant": "0 us", "source": "a test"}
FREE = {
    "costs": {
        **dict.fromkeys(COSTS, NOTHING),
        "preempt_off": dict.fromkeys(("none", "voluntary", "full", "lazy", "rt"), NOTHING),
        "idle_exit": {"C1": NOTHING},
    }
}
"""A machine whose kernel takes no time: CPUs then spend what was recorded, and nothing else."""


def scenario(
    trace: Path = DISK, *, cmdline: str = "", cpus: int = 2, duration: str = "1 s", free: bool = True,
    host: dict[str, Any] | None = None, **replay: Any,
) -> Scenario:  # fmt: skip
    data = {
        "host": {
            "topology": {"sockets": 1, "cores": cpus}, "kernel": {"release": "6.12", "cmdline": cmdline},
            "profile_overrides": FREE if free else {}, "replay": {"trace": str(trace), **replay}, **(host or {}),
        },
        "warmup": "0 s", "duration": duration,
    }  # fmt: skip
    return Scenario.of(data)


def ran(asked: Scenario) -> Assembly:
    assembly = assemble(asked, trace_length=1 << 18)
    run_until(assembly.state, assembly.warmup_ns + assembly.duration_ns)
    return assembly


def taken(assembly: Assembly) -> dict[str, int]:
    """Return what each source has taken, ns."""
    assert int(assembly.state.m[0]["trace_next"]) <= len(assembly.state.trace)
    totals = dict.fromkeys(assembly.names.sources, 0)
    rows = recorded(assembly.state)
    for row in rows[rows["kind"] == es.TR_NOISE].tolist():
        totals[assembly.names.sources[row[3]]] += row[4]
    return totals


def placed(asked: Scenario) -> dict[str, tuple[int, ...]]:
    return {each.name: each.cpus for each in assemble(asked).host.recorded_on()}


def test_all_that_was_recorded_strikes_and_is_run_to_the_nanosecond() -> None:
    """The two programs that compute all the time are left out: what they ask for last does not fit into the end."""
    noise = read_recorded(DISK, ["python"])
    asked = scenario(workload=["python"], duration=f"{noise.length_ns} ns", classes=["irq", "softirq", "thread"])
    assembly = ran(asked.patched({"host": {"profile_overrides": {"noise": []}}}))
    totals = taken(assembly)
    for source in noise.sources:
        name = f"host/{source.kind}/{source.name}/{','.join(map(str, source.cpus)).replace('0,1', '0-1')}"
        assert totals.pop(name) == source.arrivals[:, 1].sum(), name
    assert not any(totals.values())
    cpus = assembly.state.cpus
    for account, kind in (("irq_ns", "irq"), ("softirq_ns", "softirq")):
        assert cpus[account].sum() == sum(each.arrivals[:, 1].sum() for each in noise.sources if each.kind == kind)
    threads = sum(int(each.arrivals[:, 1].sum()) for each in noise.sources if each.kind == "thread")
    assert threads > 30_000_000
    assert int(assembly.state.tasks["cpu_ns"].sum()) == threads


def test_work_of_threads_is_what_their_switches_leave() -> None:
    free, costly = (assemble(scenario(free=free)).host.recorded_on() for free in (True, False))
    for one, other in zip(free, costly, strict=True):
        assert (one.arrivals[:, 0] == other.arrivals[:, 0]).all()
        if one.kind == "thread":
            assert other.arrivals[:, 1].sum() < one.arrivals[:, 1].sum()
        else:
            assert (one.arrivals == other.arrivals).all()


def test_a_recording_is_no_longer_than_it_is_unless_repeated() -> None:
    with pytest.raises(InputError, match=r"host\.replay: expected warmup and duration within the 1\.089 s that were"):
        assemble(scenario(duration="2 s"))
    once = taken(ran(scenario(duration="1 s", workload=["python"])))
    again = taken(ran(scenario(duration="2 s", workload=["python"], after="repeat")))
    for name, total in once.items():
        assert again[name] >= total
    assert again["host/irq/virtio1-req.0/1"] > 1.5 * once["host/irq/virtio1-req.0/1"] > 0


def test_stronger_isolation_moves_what_can_move() -> None:
    before, after = placed(scenario()), placed(scenario(cmdline="isolcpus=domain,managed_irq,1 irqaffinity=0"))
    assert before["dd/1"] == before["virtio1-req.0/1"] == before["virtio3-tx/1"] == (1,)
    assert after["dd/0"] == after["virtio1-req.0/0"] == after["virtio3-tx/0"] == after["block/0"] == (0,)
    assert after["python/0"] == (0,)
    assert before["kworker-high/1"] == after["kworker-high/1"] == (1,)


def test_what_moves_meets_what_was_there() -> None:
    asked = scenario(cmdline="isolcpus=1")
    moved = {(each.source, each.policy, each.priority): each for each in assemble(asked).host.recorded_on()}
    python = [each for each in read_recorded(DISK).sources if each.name == "python"]
    assert len(python) == 2
    total = sum(int(each.arrivals[:, 1].sum()) for each in python)
    assert sum(int(moved["python", "other", nice].arrivals[:, 1].sum()) for nice in (0, 5)) == total
    assert all((np.diff(each.arrivals[:, 0]) >= 0).all() for each in moved.values())


def test_what_does_not_move_is_gone() -> None:
    assert "rcu/0" in placed(scenario())
    free = scenario(cmdline="rcu_nocbs=0")
    assert "rcu/0" not in placed(free)
    assert "host/softirq/rcu/0" not in taken(ran(free))


def test_isolation_of_the_recording_removes_nothing_again() -> None:
    line = "rcu_nocbs=0-1 isolcpus=1"
    assert placed(scenario(cmdline=line)) != placed(scenario())
    asked = scenario().patched({"host": {"kernel": {"cmdline": line}, "replay": {"cmdline": line}}})
    assert placed(asked) == placed(scenario())


def test_the_folder_of_a_recording_tells_its_command_line(tmp_path: Path) -> None:
    (tmp_path / "trace.txt.zst").write_bytes(DISK.read_bytes())
    (tmp_path / "host/proc").mkdir(parents=True)
    (tmp_path / "host/proc/cmdline").write_text("quiet rcu_nocbs=0\n")
    assert "rcu/0" in placed(scenario(tmp_path, cmdline="rcu_nocbs=0"))


def test_cpus_are_mapped_and_others_left_out() -> None:
    found = placed(scenario(cpus=8, host={"replay": {"trace": str(DISK), "cpus": {1: 6}}}))
    assert found["dd/6"] == found["python/6"] == (6,)
    assert "rcu/0" not in found
    with pytest.raises(InputError, match=r"expected CPUs of this host \(0\), found CPU 1 for CPU 1 of the recording"):
        assemble(scenario(cpus=1))
    with pytest.raises(InputError, match=r"expected CPUs of the recording \(0-1\), found none of them"):
        assemble(scenario(host={"replay": {"trace": str(DISK), "cpus": {5: 0}}}))


def test_only_classes_that_are_replayed_take_the_place_of_noise() -> None:
    everything = assemble(scenario()).host
    assert {source.kind for source, _ in everything.noise_on()} == {"hardware"}
    some = assemble(scenario(classes=["irq", "softirq"])).host
    assert {source.kind for source, _ in some.noise_on()} >= {"hardware", "thread"}
    assert {each.kind for each in some.recorded_on()} == {"irq", "softirq"}


def test_what_balancing_in_ksoftirqd_costs_is_the_profiles() -> None:
    """Ticks raise it in the model: the recording has no arrivals of it."""
    states = [assemble(scenario(cmdline=line)).state for line in ("", "threadirqs")]
    costs = [state.tables[state.kernels[0]["sched_softirq"], :-1].max() for state in states]
    assert costs[0] == 0 < costs[1]


def test_threads_run_with_their_policy_and_priority() -> None:
    assembly = assemble(scenario(RT, cpus=4, host={"kernel": {"release": "6.1", "preempt": "rt"}}))
    row = assembly.names.tasks.index("host/thread/rcuc/3")
    task = assembly.state.tasks[row]
    assert (int(task["policy"]), int(task["prio"])) == (es.FIFO, 98)
    assert not any(name.startswith("host/thread/per") for name in assembly.names.tasks)  # the workload of the case


def test_interrupts_become_threads_where_the_kernel_makes_them() -> None:
    assembly = assemble(scenario(cmdline="threadirqs"))
    row = assembly.names.tasks.index("host/irq/virtio1-req.0/1")
    assert int(assembly.state.tasks[row]["prio"]) == 49


def test_who_names_what_was_recorded_and_what_would_remove_it() -> None:
    found = who_can_preempt(assemble(scenario()).host, 1)
    assert {"virtio1-req.0/1", "block/1"} <= set(found.names("yes"))
    assert "dd/1" in found.names("no")
    assert "dd/1" in found.arguments["isolcpus"]
    assert "virtio3-tx/1" in found.arguments["irqaffinity"]
    rate = next(source.rate_hz for source, _ in found.sources if source.name == "virtio1-req.0/1")
    assert rate == pytest.approx(1213 / 1.089302)


def test_pinning_away_from_what_was_recorded_helps() -> None:
    """dd and its disk struck CPU 1: a task of their class is late there, and not on CPU 0, where nobody else ran."""
    probe = {"policy": "SCHED_FIFO", "priority": 80, "run": 10, "timer": {"ref": "own", "period": 1000}}
    late = []
    for cpu in (0, 1):
        asked = scenario(free=False).patched({"workload": {"tasks": {"probe": {**probe, "cpus": [cpu]}}}})
        late.append(simulate(asked).task("probe").causes_ns.get("irq", 0))
    assert late[1] > late[0]


def test_doubts_about_a_recording_are_told(tmp_path: Path) -> None:
    lines = Path("data/measured/trace/ftrace-pipe-lost.txt").read_text()
    (tmp_path / "trace.txt").write_text(lines)
    asked = scenario(tmp_path / "trace.txt", duration="1 ms", cpus=8)
    assert any("events were lost" in warning for warning in simulate(asked).warnings)
    assert any("events were lost" in warning for warning in who_can_preempt(assemble(asked).host, 1).warnings)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "expected"),
        (b"no trace\n", "expected"),
        (bytes(range(256)), "expected"),
    ],
)
def test_bad_recordings_end_in_one_line(content: bytes, expected: str, tmp_path: Path) -> None:
    (tmp_path / "trace.txt").write_bytes(content)
    with pytest.raises(InputError, match=expected):
        assemble(scenario(tmp_path / "trace.txt"))


@pytest.mark.parametrize(
    ("tool", "file", "expected"),
    [("trace-cmd", "sched.dat", {"virtio0-requests/1", "rcuc/1"}), ("perf", "perf.data", {"kdamond.0/1", "tail/0-1"})],
)
def test_binary_recordings_are_read_by_their_tools(tool: str, file: str, expected: set[str], tmp_path: Path) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    (tmp_path / file).write_bytes(lzma.decompress((DISK.parent / f"{file}.xz").read_bytes()))
    assembly = ran(scenario(tmp_path / file, duration="20 ms"))
    assert expected <= {each.name for each in assembly.host.recorded_on()}
    assert sum(taken(assembly).values()) > 0


def test_a_histogram_or_several_traces_cannot_be_replayed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected one trace .* found a histogram, which does not tell when"):
        assemble(scenario(Path("tests/traces/fixtures/cyclictest-histogram.txt").absolute()))
    with pytest.raises(InputError, match=r"expected one trace .* found \d+"):
        assemble(scenario(RT.parent))
