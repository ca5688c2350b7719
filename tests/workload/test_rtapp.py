"""rt-app's words: what is read from them, what is refused and why, and what they become."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rtsim.engine import constants as es
from rtsim.engine.builder import Op
from rtsim.inputs.errors import InputError
from rtsim.inputs.models import validate
from rtsim.kernel import Kernel
from rtsim.workload import Setting, TaskModel, WorkloadModel, add_task, load_workload
from rtsim.workload.events import event_named
from rtsim.workload.policies import check_slice
from tests.engine.small import machine

TUTORIAL = Path("/usr/share/doc/rt-app/examples")
TIMER = {"ref": "unique", "period": 1000}


def read(tasks: dict[str, Any], **settings: Any) -> WorkloadModel:
    return validate(WorkloadModel, {"tasks": tasks, "global": settings}, "w.json")


def kinds(task: TaskModel) -> list[list[str]]:
    return [[event.kind for event in phase.events] for phase in task.effective_phases()]


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("run", "run"), ("run0", "run"), ("runA", "run"), ("runtime", "runtime"), ("runtime2", "runtime"),
        ("resume3", "resume"), ("sig_and_wait", "sig_and_wait"), ("signal", "signal"), ("broadcast", "broad"),
        ("priority", None), ("0run", None),
    ],
)  # fmt: skip
def test_keys_of_events_are_told_apart_by_how_they_begin(key: str, kind: str | None) -> None:
    assert event_named(key) == kind


def test_events_come_in_the_order_written_in_phases_or_without() -> None:
    tasks = read(
        {
            "a": {"run0": 10, "sleep": 5, "run1": 20, "timer": TIMER},
            "b": {"phases": {"x": {"loop": 3, "lock": "m", "run": 1, "unlock": "m"}, "y": {"yield": ""}}, "loop": 2},
        }
    ).tasks
    assert kinds(tasks["a"]) == [["run", "sleep", "run", "timer"]]
    assert kinds(tasks["b"]) == [["lock", "run", "unlock"], ["yield"]]
    assert [phase.loop for phase in tasks["b"].effective_phases()] == [3, 1]


@pytest.mark.parametrize(
    ("task", "policy", "priority"),
    [
        ({}, "other", 0),
        ({"policy": "SCHED_FIFO"}, "fifo", 10),
        ({"policy": "SCHED_RR", "priority": 99}, "rr", 99),
        ({"policy": "SCHED_BATCH", "priority": -20}, "batch", -20),
    ],
)
def test_policies_and_rt_apps_default_priorities(task: dict[str, Any], policy: str, priority: int) -> None:
    found = read({"a": {"run": -1, **task}}).tasks["a"]
    assert (found.effective_policy("SCHED_OTHER"), found.effective_priority("SCHED_OTHER")) == (policy, priority)


def test_deadline_parameters_are_completed_as_rt_app_does() -> None:
    dl = {"policy": "SCHED_DEADLINE", "run": 100, "timer": TIMER, "dl-runtime": 300}
    assert read({"a": dl}).tasks["a"].deadline_ns() == (300_000, 300_000, 300_000)
    assert read({"a": {**dl, "dl-period": 900}}).tasks["a"].deadline_ns() == (300_000, 900_000, 900_000)


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ({"run": -1, "policy": "SCHED_FIFO", "priority": 100}, "sched_setscheduler: EINVAL"),
        ({"run": -1, "priority": 20}, "expected a nice value of -20 to 19 with other, found 20"),
        ({"run": -1, "policy": "SCHED_DEADLINE", "dl-runtime": 2000, "dl-deadline": 1000}, "dl-deadline <= dl-period"),
        ({"run": -1, "policy": "SCHED_DEADLINE", "dl-runtime": 50}, "dl-period of 100 to 4194304 us, found 50"),
        ({"run": -1, "policy": "SCHED_DEADLINE", "dl-runtime": 5 * 10**6}, "dl-period of 100 to 4194304 us"),
        ({"run": -1, "policy": "SCHED_DEADLINE"}, "expected a dl-runtime of at least 2 us, found 0"),
        ({"run": -1, "policy": "SCHED_DEADLINE", "dl-runtime": 500, "priority": 1}, "no priority with deadline"),
        ({"run": -1, "dl-runtime": 500}, "with SCHED_DEADLINE only"),
        ({"run": -1, "policy": "SCHED_FIFO", "slice": 3000}, "expected a slice with fair policies only"),
        ({"run": -1, "policy": "SCHED_EXT"}, "tasks.a.policy: expected 'SCHED_FIFO'"),
        ({"run": -1, "phases": {"x": {"run": 1}}}, "expected either phases or events"),
        ({}, "expected either phases or events"),
        ({"loop": 0, "run": 1}, "tasks.a.loop: expected -1"),
        ({"instance": 0, "run": 1}, "tasks.a.instance: expected a number >= 1 and <= 1000, found 0"),
        ({"run": 1.5}, "tasks.a.run: expected an integer"),
        ({"run0": -2}, "tasks.a.run0: expected a number >= -1, found -2"),
        ({"run": 1, "timer": {"ref": "unique", "period": 0}}, "tasks.a.timer.period: expected a number > 0, found 0"),
        ({"run": 1, "timer": {"ref": "unique", "perod": 5}}, "tasks.a.timer.period: expected this key"),
        ({"run": 1, "timer": {**TIMER, "mode": "exact"}}, "tasks.a.timer.mode: expected 'relative' or 'absolute'"),
        ({"run": 1, "wait": "q"}, "tasks.a.wait: expected a mapping"),
        ({"run": 1, "slep": 3}, "tasks.a.slep: expected a known key, found 'slep': did you mean 'sleep'?"),
        ({"run": 1, "mem": 3}, "tasks.a.mem: expected run instead of mem, which is not modelled"),
        ({"iorun3": 3}, "tasks.a.iorun3: expected run and sleep instead of iorun"),
        ({"fork": "b"}, "tasks.a.fork: expected every task"),
        ({"resume": "b"}, "expected an event that takes time in what loops for ever"),
        ({"run": 0}, "expected an event that takes time in what loops for ever"),
        ({"run": 1, "spin_lock": "l"}, "tasks.a: expected spin_unlock of 'l' in the same phase, it is missing"),
        ({"run": 1, "spin_unlock": "l"}, "expected spin_unlock of the spinlock that is held, None, found 'l'"),
        ({"spin_lock": "l", "sleep": 5, "spin_unlock": "l"}, "expected run, runtime and spin_unlock after spin_lock"),
        ({"spin_lock": "l", "run": -1, "spin_unlock": "l"}, "after spin_lock, found run: -1"),
        ({"spin_lock": "l", "spin_lock1": "m", "spin_unlock": "m"}, "after spin_lock, found spin_lock: 'm'"),
        ({"loop": 1, "phases": {"x": {"loop": -1, "yield": ""}}}, "tasks.a.phases.x: expected an event that takes"),
        ({"phases": {"x": {"cpus": "0", "run": 1, "policy": "SCHED_FIFO"}}}, "changes are not modelled"),
        ({"run": 1, "timer": TIMER, "overrun": "skip"}, "expected a timer of mode absolute with overrun: skip"),
    ],
)  # fmt: skip
def test_what_is_refused(task: dict[str, Any], expected: str) -> None:
    with pytest.raises(InputError) as caught:
        read({"a": task})
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"pi_enabled": True}, "global.pi_enabled: expected false, found true"),
        ({"durration": 3}, "did you mean 'duration'?"),
        ({"default_policy": "SCHED_DEADLINE"}, "expected a dl-runtime of at least 2 us, found 0; the kernel says"),
    ],
)
def test_what_global_refuses(settings: dict[str, Any], expected: str) -> None:
    with pytest.raises(InputError) as caught:
        read({"a": {"run": 100, "timer": TIMER}}, **settings)
    assert expected in str(caught.value)


def test_global_accepts_what_has_no_influence_and_sets_the_default_policy() -> None:
    found = read(
        {"a": {"run": -1}}, default_policy="SCHED_RR", ftrace="main,task", gnuplot=True, lock_pages=True, logdir="/x",
        log_size=2, calibration=35, duration=6,
    )  # fmt: skip
    assert found.tasks["a"].effective_policy(found.settings.default_policy) == "rr"


def test_a_wrong_value_of_a_file_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "w.json"
    file.write_text('{\n  /* load */\n  "tasks": {\n    "a": {\n      "run": 10,\n      "slep1": 5,\n    },\n  },\n}\n')
    with pytest.raises(InputError) as caught:
        load_workload(file)
    assert str(caught.value).startswith(f"{file}: line 6: tasks.a.slep1: expected a known key")


def test_a_key_that_stands_twice_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "w.json"
    file.write_text('{"tasks": {"a": {\n"run": 1,\n"run": 2}}}')
    with pytest.raises(InputError, match=r"line 3: tasks.a.run: expected each key once"):
        load_workload(file)


@pytest.mark.skipif(not TUTORIAL.exists(), reason="rt-app is not installed")
@pytest.mark.parametrize("name", ["template", *(f"tutorial/example{n}" for n in (1, 2, 3, 4, 7, 8))])
def test_rt_apps_own_examples_are_read(name: str) -> None:
    assert load_workload(TUTORIAL / f"{name}.json")


@pytest.mark.parametrize(
    ("release", "slice_us", "expected"),
    [
        ("6.6", 3000, "expected no slice before kernel 6.12"),
        ("6.12", 99, "100 to 100000 us"),
        ("6.12", 10**6, "cuts it"),
    ],
)
def test_slices_that_the_kernel_does_not_give(release: str, slice_us: int, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        check_slice(slice_us, Kernel.of(release))


def programs(tasks: dict[str, Any], prefix: str = "", **fields: Any) -> dict[str, list[Op]]:
    """Return the programs of a workload by thread, with jumps counted from each one's first operation."""
    b = machine(cpus=2)
    setting = Setting(b, read(tasks).tasks, prefix, 0, **fields)
    rows = {thread: row for name in tasks for thread, row in add_task(setting, name, (0, 1)).items()}
    starts = [*(b.tasks[row]["pc"] for row in rows.values()), len(b.ops)]
    return {
        thread: [
            op._replace(value=op.value - start) if op.code in (es.OP_JUMP, es.OP_LOOP) else op
            for op in b.ops[start:end]
        ]
        for thread, start, end in zip(rows, starts, starts[1:], strict=False)
    }


def codes(ops: list[Op]) -> list[int]:
    return [op.code for op in ops]


def test_instances_are_numbered_and_have_unique_timers_of_their_own() -> None:
    found = programs({"a": {"instance": 2, "run": 10, "timer": TIMER, "timer1": {"ref": "tick", "period": 10}}})
    assert list(found) == ["a-0", "a-1"]
    own, shared = zip(*([op.value for op in ops if op.code == es.OP_TIMER] for ops in found.values()), strict=True)
    assert len(set(own)) == 2
    assert len(set(shared)) == 1


def test_loops_of_phases_and_tasks() -> None:
    ops = programs({"a": {"loop": 2, "phases": {"x": {"loop": 3, "run": 10}, "y": {"run": 0, "sleep": 5}}}})["a"]
    assert codes(ops) == [es.OP_RUN, es.OP_LOOP, es.OP_SLEEP, es.OP_BLOCK, es.OP_LOOP, es.OP_EXIT]
    assert [tuple(op[1:]) for op in ops if op.code == es.OP_LOOP] == [(0, 3), (0, 2)]


def test_a_delayed_task_does_not_sleep_again_when_it_loops() -> None:
    ops = programs({"a": {"delay": 700, "run": 10, "sleep": 5}})["a"]
    assert codes(ops)[:2] == [es.OP_START, es.OP_BLOCK]
    assert Op(es.OP_JUMP, 2) in ops


def test_each_activation_computes_what_the_profile_says_beside_its_work() -> None:
    ops = programs({"a": {"run": 10, "timer": TIMER}}, activation=7)["a"]
    assert ops[3:5] == [Op(es.OP_RUN, 7), Op(es.OP_JUMP, 0)]


@pytest.mark.parametrize(("own", "poll"), [({}, 5_000), ({"clock_poll": 20}, 20_000), ({"clock_poll": 0}, 0)])
def test_work_that_ends_is_polled_as_the_profile_or_the_task_says(own: dict[str, int], poll: int) -> None:
    ops = programs({"a": {"run": 10, "sleep": 1, "run1": -1, **own}}, clock_poll_ns=5_000)["a"]
    assert [op.extra for op in ops if op.code == es.OP_RUN] == [poll, 0]


def test_suspended_tasks_are_resumed_by_their_name_in_guests_too() -> None:
    found = programs({"a": {"run": 1, "suspend": ""}, "b": {"run": 1, "resume": "a"}}, prefix="guest/")
    waits = next(op for op in found["guest/a"] if op.code == es.OP_WAIT)
    wakes = next(op for op in found["guest/b"] if op.code == es.OP_BROADCAST)
    assert waits.value == wakes.value
    assert waits.extra == next(op.value for op in found["guest/b"] if op.code == es.OP_LOCK)


def test_spinlocks_are_shared_by_name_and_are_no_mutexes() -> None:
    under = {"spin_lock": "l", "run1": 2, "spin_unlock": "l"}
    found = programs({"a": {"run": 1, **under}, "b": {"lock": "l", "run": 1, "unlock": "l", **under}})
    rows = [[op.value for op in ops if op.code in (es.OP_SPIN_LOCK, es.OP_SPIN_UNLOCK)] for ops in found.values()]
    assert rows[0] == rows[1]
    assert rows[0][0] == rows[0][1]
    assert rows[0][0] not in [op.value for op in found["b"] if op.code == es.OP_LOCK]


def test_a_barrier_counts_every_mention_in_every_instance() -> None:
    b = machine()
    tasks = read({"a": {"instance": 3, "run": 1, "barrier": "x"}, "b": {"run": 1, "barrier1": "x"}}).tasks
    setting = Setting(b, tasks, "", 0)
    assert b.locks[setting.barrier("x")]["missing"] == 3


def test_phases_on_other_cpus_change_the_mask() -> None:
    phases = {"x": {"cpus": [1], "run": 10}, "y": {"run": 10}}
    b = machine(cpus=2)
    add_task(Setting(b, read({"a": {"phases": phases}}).tasks, "", 0), "a", (0, 1))
    assert b.tasks[0]["nr_allowed"] == 1
    assert [op.extra for op in b.ops if op.code == es.OP_AFFINITY] == [1, 2]


def test_the_file_of_a_workload_stands_for_what_it_holds(tmp_path: Path) -> None:
    from rtsim.scenario import Scenario

    workload = {"tasks": {"a": {"run": 10, "timer": TIMER}}}
    (tmp_path / "w.json").write_text(json.dumps(workload))
    base = {"host": {"topology": {"sockets": 1}}, "duration": "1 s"}
    of_file = Scenario.of({**base, "workload": "w.json"}, folder=tmp_path)
    assert of_file.model.workload == Scenario.of({**base, "workload": workload}).model.workload
