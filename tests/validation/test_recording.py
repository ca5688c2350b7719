"""Recordings are read as they were recorded: kernels, tasks, cgroups, releases, figures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rtsim.inputs.errors import InputError
from rtsim.traces.compressed import read_compressed
from rtsim.traces.recording import read_recording
from rtsim.traces.rtwl import CyclictestRun, RtwlTask, parse_command
from tests.validation.recordings import ALL, NATIVE, RECORDED, recording

KERNELS = {
    "kernel-6.1-cfs": ("6.1.192", "voluntary", 4),
    "kernel-6.12-eevdf": ("6.12.117", "voluntary", 4),
    "kernel-6.1-rt": ("6.1.192", "rt", 4),
    NATIVE: ("6.18.44", "none", 2),
}


@pytest.mark.parametrize("name", KERNELS)
def test_the_kernel_and_its_machine(name: str) -> None:
    found = recording(name)
    topology = found.topology
    cpus = topology["sockets"] * topology["cores"] * topology["threads"]
    assert (found.release, found.preempt, cpus) == KERNELS[name]
    assert found.hz == 250
    assert found.native is found.rt_group_sched is (name == NATIVE)


def test_nodes_of_the_recorded_machine_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "kernel"
    shutil.copytree(RECORDED / "kernel-6.1-isolated", folder)
    metadata = json.loads((folder / "metadata.json").read_text())
    metadata["topology"] = [
        f"cpu{cpu} pkg={cpu // 4} core={cpu // 2 % 2} sib={cpu // 2 * 2}-{cpu // 2 * 2 + 1} node=node{cpu // 4}"
        for cpu in range(8)
    ]
    (folder / "metadata.json").write_text(json.dumps(metadata))
    expected = {"sockets": 2, "cores": 2, "threads": 2, "numa_nodes": 2, "numbering": "adjacent"}
    assert read_recording(folder).topology == expected


TASKS = {
    "hog0,pol=other,cpus=3,nice=-10": RtwlTask("hog0", cpus=(3,), nice=-10),
    "per,type=per,period=1000,work=100,pol=fifo,cpus=3,prio=80": RtwlTask(
        "per", "per", "fifo", priority=80, cpus=(3,), period_us=1000, work_us=100
    ),
    "hog1,pol=other,cpus=0-1+3,cg=/cg/B": RtwlTask("hog1", cpus=(0, 1, 3), cgroup="/cg/B"),
    "b0,type=burst,run=2300,sleep=3000,slice=500,slack=0,delay=40": RtwlTask(
        "b0", "burst", run_us=2300, sleep_us=3000, slice_us=500, slack_ns=0, delay_us=40
    ),
}


@pytest.mark.parametrize("word", TASKS)
def test_a_task_is_read(word: str) -> None:
    assert parse_command(word, "cmd") == ((TASKS[word],), None)


def test_a_cyclictest_beside_tasks_is_read() -> None:
    tasks, cyclictest = parse_command("cyclictest -p 80 -a 3 -i 500 ; hog0,cpus=3 hog1,cpus=3", "cmd")
    assert [task.name for task in tasks] == ["hog0", "hog1"]
    assert cyclictest == CyclictestRun("fifo", 80, 3, 500)


WRONG_TASKS = {
    "hog0,pol=deadline": "cmd: task hog0: pol: expected one of other, batch, idle, fifo, rr, found 'deadline'",
    "hog0,cpus": "cmd: task hog0: expected KEY=VALUE, found 'cpus'",
    "hog0,period=1ms": "cmd: task hog0: period: expected an integer, found '1ms'",
    "hog0,cpus=3-1": "cmd: task hog0: cpus: expected",
    "hog0,colour=red": "cmd: task hog0: expected one of type, pol, cg, cpus, prio, ",
    "'hog0": "cmd: expected a command line",
}


@pytest.mark.parametrize("text", WRONG_TASKS)
def test_a_wrong_task_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_command(text, "cmd")
    assert str(caught.value).startswith(WRONG_TASKS[text])


@pytest.mark.parametrize("name", [name for name in ALL if name != NATIVE])
def test_the_phase_is_the_release_modulo_the_tick(name: str) -> None:
    """As summary.json has it, and as the measured targets tell."""
    seen = 0
    for case in recording(name).cases.values():
        (repetition,) = case.repetitions
        for task in case.tasks:
            if task.kind != "per":
                continue
            first_ns = repetition.start_ns + task.delay_us * 1000
            assert first_ns % 4_000_000 == repetition.tasks[task.name]["phase_ns"]
            target_ns = repetition.rows(f"{task.name}.lat")[0][0]
            assert (target_ns - first_ns) % (task.period_us * 1000) == 0
            seen += 1
    assert seen


def test_every_task_of_a_case_was_measured() -> None:
    for name in ALL:
        for case in recording(name).cases.values():
            for repetition in case.repetitions:
                assert {task.name for task in case.tasks} == set(repetition.tasks)
                assert (case.cyclictest is not None) == (repetition.cyclictest_us is not None)


def test_cgroups_are_known_or_read_from_commands() -> None:
    lab = recording("kernel-6.1-cfs").cases["cg4096x1+1024x2"]
    assert lab.cgroups == {"/A": {"cpu.shares": "4096"}, "/B": {"cpu.shares": "1024"}}
    assert [task.cgroup for task in lab.tasks] == ["/A", "/B", "/B"]
    native = recording(NATIVE).cases["shares-cg4096+1024"]
    assert native.cgroups == {"/rtsimA": {"cpu.shares": "4096"}, "/rtsimB": {"cpu.shares": "1024"}}


def test_cgroups_are_read_from_their_file(tmp_path: Path) -> None:
    shutil.copytree(RECORDED / "kernel-6.1-cfs", tmp_path / "kernel")
    _groups("/cg/A cpu.shares 512\n/A cpu.cfs_quota_us 30000\n")(tmp_path / "kernel")
    case = read_recording(tmp_path / "kernel").cases["cg4096x1+1024x2"]
    assert case.cgroups == {"/A": {"cpu.shares": "512", "cpu.cfs_quota_us": "30000"}}


def test_cyclictest_ran_beside_hogs_on_one_cpu() -> None:
    case = recording("kernel-6.12-eevdf").cases["cyc-fifo80-hog3"]
    assert case.cyclictest == CyclictestRun("fifo", 80, 3)
    assert case.duration_ns == 4_000_000_000


def _without(key: str, file: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        data = json.loads((folder / file).read_text())
        del data[key]
        (folder / file).write_text(json.dumps(data))

    return damage


def _groups(text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "cg4096x1+1024x2" / "cgroups").write_text(text) and None


DAMAGES = {
    "metadata.json: kernel: expected this key": _without("kernel", "metadata.json"),
    "metadata.json: topology: expected this key": _without("topology", "metadata.json"),
    "cgroups: line 1: expected PATH KEY VALUE, found '/A 4096'": _groups("/A 4096\n"),
    "expected a recording: summary.json": lambda folder: (folder / "summary.json").unlink(),
}


@pytest.mark.parametrize("message", DAMAGES)
def test_a_damaged_recording_is_refused(message: str, tmp_path: Path) -> None:
    folder = tmp_path / "kernel"
    shutil.copytree(RECORDED / "kernel-6.1-cfs", folder)
    DAMAGES[message](folder)
    with pytest.raises(InputError) as caught:
        read_recording(folder)
    assert message in str(caught.value)


def test_what_is_not_compressed_is_refused(tmp_path: Path) -> None:
    plain = tmp_path / "trace.txt.zst"
    plain.write_text("plain text, not compressed")
    with pytest.raises(InputError, match="expected a Zstandard file"):
        read_compressed(plain)
    whole = (RECORDED / "kernel-6.1-cfs" / "share-2hog" / "trace.txt.zst").read_bytes()
    plain.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="expected a Zstandard file"):
        read_compressed(plain)
    with pytest.raises(InputError, match="expected a readable file"):
        read_compressed(tmp_path / "none.zst")
