"""What cgroups add to a wake-up: how deep threads are in them, and what each level costs."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest

from rtsim.inputs.errors import InputError
from rtsim.profile.calibration import calibrate
from rtsim.profile.calibration.levels import UNKNOWN, levels_of_host, levels_of_tasks
from rtsim.profile.calibration.steps import StepReader
from rtsim.traces.rtwl import parse_command
from rtsim.traces.trace import TextTrace

MORE = Path("data/recorded/kernel-6.12-eevdf-more2").absolute()
BASE_NS = {
    "wake": 0.0,
    "schedule": 0.0,
    "timer_irq": 0.0,
    "preempt_fair": 700.0,
    "put_fair": 700.0,
    "cgroup_level": 500.0,
}


def wakeups(comm: str, prio: int, count: int, duration_us: int, first_s: int) -> str:
    """Return wake-ups by a timer alone in its interrupt, on a CPU that idles."""
    lines = []
    for second in range(first_s, first_s + count):
        lines += [
            f"<idle>-0 [000] {second}.000000: sched_switch: prev_comm=swapper/0 prev_pid=0 prev_prio=120 prev_state=R"
            " ==> next_comm=swapper/0 next_pid=0 next_prio=120",
            f"<idle>-0 [000] {second}.000001: local_timer_entry: vector=236",
            f"<idle>-0 [000] {second}.000002: hrtimer_expire_entry: hrtimer=0x1 function=hrtimer_wakeup now=1",
            f"<idle>-0 [000] {second}.000003: sched_waking: comm={comm} pid=9 prio={prio} target_cpu=000",
            f"<idle>-0 [000] {second}.{3 + duration_us:06}: local_timer_exit: vector=236",
        ]
    return "".join(f"  {line}\n" for line in lines)


def ticks(comm: str, count: int, duration_us: int, first_s: int) -> str:
    """Return ticks while a fair thread runs."""
    lines = [
        f"<idle>-0 [000] {first_s}.000000: sched_switch: prev_comm=swapper/0 prev_pid=0 prev_prio=120 prev_state=R"
        f" ==> next_comm={comm} next_pid=9 next_prio=120"
    ]
    for second in range(first_s, first_s + count):
        lines += [
            f"{comm}-9 [000] {second}.000001: local_timer_entry: vector=236",
            f"{comm}-9 [000] {second}.000001: hrtimer_expire_entry: hrtimer=0x2 function=tick_nohz_handler now=1",
            f"{comm}-9 [000] {second}.{1 + duration_us:06}: local_timer_exit: vector=236",
        ]
    return "".join(f"  {line}\n" for line in lines)


def fits(text: str, levels: dict[str, int]):
    reader = StepReader()
    reader.begin(levels)
    for chunk in TextTrace(BytesIO(text.encode()), "trace"):
        reader.read(chunk)
    return reader.fits(1, BASE_NS)


def test_a_level_is_what_wake_ups_at_several_depths_differ_by() -> None:
    text = wakeups("flat", 120, 20, 5, 1) + wakeups("deep", 120, 20, 11, 100)
    found = fits(text, {"deep": 3})
    assert found["cgroup_level"].mean_ns == pytest.approx(2_000)
    assert found["wake"].mean_ns == pytest.approx(5_000)


def test_with_one_depth_the_bases_level_is_taken_off() -> None:
    found = fits(wakeups("deep", 120, 20, 11, 1), {"deep": 3})
    assert "cgroup_level" not in found
    assert found["wake"].mean_ns == pytest.approx(11_000 - 3 * 500)


def test_a_tick_charges_a_fair_task_in_each_of_its_levels() -> None:
    """All of it is the profile's: 700 ns of the charge, 500 ns for each of three levels."""
    found = fits(ticks("deep", 20, 12, 1), {"deep": 3})
    assert found["tick"].mean_ns == pytest.approx(12_000 - 700 - 3 * 500)


def test_realtime_tasks_are_queued_in_no_cgroup_and_unknown_ones_tell_nothing() -> None:
    text = wakeups("flat", 120, 20, 5, 1) + wakeups("deep", 49, 20, 11, 100) + wakeups("either", 120, 20, 60, 200)
    found = fits(text, {"deep": 3, "either": UNKNOWN})
    assert "cgroup_level" not in found
    assert found["wake"].mean_ns == pytest.approx(8_000)


def test_recorded_tasks_are_as_deep_as_their_groups() -> None:
    tasks, _ = parse_command("a,cg=/cg/machine/vmA/vcpu0 b,cg=/sys/fs/cgroup/cpu/B c", "cmd")
    assert levels_of_tasks(tasks) == {"a": 3, "b": 1}


@pytest.mark.parametrize(
    ("mount", "file", "hierarchy"),
    [("", "cpu.weight", "0::{}"), ("cpu,cpuacct", "cpu.shares", "5:memory:/x 4:cpu,cpuacct:{} 0::/y")],
)
def test_a_host_tells_which_groups_have_the_controller(mount: str, file: str, hierarchy: str, tmp_path: Path) -> None:
    root = tmp_path / "sys/fs/cgroup" / mount
    for group in (".", "machine", "machine/vm"):
        (root / group).mkdir(parents=True, exist_ok=True)
        (root / group / file).write_text("100\n")
    rows = {"CPU 0/KVM": "/machine/vm/threads", "sshd": "/machine", "init": "/", "bash": "/machine"}
    lines = [f'"{name}","{hierarchy.format(path)}"\n' for name, path in rows.items()]
    (tmp_path / "tasks.csv").write_text("".join(["comm,cgroup\n", *lines, f'bash,"{hierarchy.format("/")}"\n']))
    assert levels_of_host(tmp_path) == {"CPU 0/KVM": 2, "sshd": 1, "init": 0, "bash": UNKNOWN}


def test_a_host_without_a_table_tells_nothing_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    assert levels_of_host(tmp_path) == {}
    (tmp_path / "tasks.csv").write_text("name\nx\n")
    with pytest.raises(InputError, match="expected a table with columns comm and cgroup"):
        levels_of_host(tmp_path)


def test_a_recorded_kernel_walks_a_level_in_a_microsecond() -> None:
    cases = ("cg512per-cg2048hog", "libvirt-vmA-2vcpu-emu", "per4ms-slice0.1ms-hog1")
    found = calibrate(*(MORE / case for case in cases), base="kernel-lab")
    assert found.costs["cgroup_level"].mean_ns == pytest.approx(1_000, abs=500)
    assert found.costs["preempt_fair"].mean_ns == pytest.approx(2_400, abs=1_000)
