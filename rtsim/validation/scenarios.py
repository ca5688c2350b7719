"""The scenario of a recorded case: the same kernel, machine and tasks, released at the recorded instants."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rtsim.kernel.features import features
from rtsim.kernel.release import Release
from rtsim.traces.recording import Case, Recording, Repetition
from rtsim.traces.rtwl import RtwlTask
from rtsim.validation.placed import placed
from rtsim.validation.replay import decisions
from rtsim.validation.throttling import cfs_period_phase

__all__ = ["LAB_PROFILE", "NATIVE_PROFILE", "begins_late", "scenario_of", "start_us"]

LAB_PROFILE = "kernel-lab"
NATIVE_PROFILE = "recorded-vm"

US = 1_000
RECORDED_CPU = 3
"""Which of the emulated machines' CPUs was traced."""
RELEASE_US = 12_000
"""First releases, before the recorded phase is added: a whole number of ticks, and late enough for the hogs."""
HOGS_BEFORE_US = 10_000
HOGS_SPREAD_US = 8_000
"""rtwl's hogs start 10 ms before the first release; which of them is first, and how far it gets in its slice until the
next, decides which of several stable cycles follows, so each seed has its own starts."""
SET_UP_US = 10
"""What rtwl computes to set a task up, before it first sleeps (assumed; the recorded first turns last 10 to 25 us)."""
SET_UP_AHEAD_US = 1_000
"""A task that set itself up on the CPU of a realtime hog, and then slept, did so before the hog was one."""
LATE_US = 20_000
"""rtwl's tasks are in their own code this soon after they are told to, unless others keep the CPU from them."""
UNTRACED: Mapping[str, Any] = {
    "costs": {
        "irq_entry": {"constant": "0.25 us"}, "timer_irq": {"constant": "1.3 us"}, "wake": {"constant": "1.3 us"},
        "context_switch": {"constant": "0 us"}, "syscall_exit": {"constant": "0 us"},
        "preempt_fair": {"constant": "1 us"}, "tick": {"constant": "2.6 us"}, "ktimers": {"constant": "0.8 us"},
    }
}  # fmt: skip
"""cyclictest ran without the tracer: a wake-up on an idle CPU takes 7 us in place of 16.5 (data/recorded/README.md).
That is 1.4 us for each of its 7 events, which are taken off the steps that trace them: one each off the entry, the
timer and the switch, four off the wake-up."""
CFS_PERIOD_US = 100_000
"""Default of cpu.cfs_period_us."""


def scenario_of(
    recording: Recording, case: Case, seed: int, *, ablate: Sequence[str] = (), profile: str | None = None
) -> dict[str, Any]:
    """Return the scenario of a case, as a scenario file has it.

    Parameters
    ----------
    seed
        Seed of the run; it moves the starts of the hogs too. Of a case recorded several times, each seed takes the
        release of one of the recordings, in turn.
    ablate
        Rules left out of the kernel (`rtsim.kernel.ablation.ABLATIONS`).
    profile
        Another profile than the one that is known for the machine.
    """
    repetition = case.repetitions[seed % len(case.repetitions)]
    release_us = RELEASE_US + _phase_us(recording, repetition)
    kernel: dict[str, Any] = {
        "release": recording.release, "preempt": recording.preempt, "hz": recording.hz, "cmdline": recording.cmdline,
        "config": {"rt_group_sched": recording.rt_group_sched},
    }  # fmt: skip
    if ablate:
        kernel["ablate"] = list(ablate)
    known = NATIVE_PROFILE if recording.native else LAB_PROFILE
    host: dict[str, Any] = {"topology": dict(recording.topology), "kernel": kernel, "profile": profile or known}
    if case.cyclictest is not None and not recording.native:
        host["profile_overrides"] = UNTRACED
    scenario: dict[str, Any] = {
        "host": host,
        "workload": _workload(recording, case, repetition, release_us, seed),
        "duration": f"{case.duration_ns // US + release_us} us",
        "warmup": "0 us",
        "seed": seed,
    }
    groups = dict.fromkeys([*case.cgroups, *(task.cgroup for task in case.tasks if task.cgroup)])
    if groups:
        scenario["cgroups"] = {group: _group(case.cgroups.get(group, {})) for group in groups}
        for path, phase_us in _period_phases_us(recording, case, repetition, release_us).items():
            scenario["cgroups"][path]["period_phase"] = phase_us
    return scenario


def start_us(case: Case, scenario: Mapping[str, Any], task: str) -> int:
    """Return when a task of `scenario_of` starts: its own time, in which its share is counted, runs from there.

    That is a periodic one's first release, or when a task that was kept from its CPU came to its own code.
    """
    written = scenario["workload"]["tasks"][task]
    timer = written.get("phases", {}).get("begin", {}).get("timer")
    start_us = int(written.get("delay", 0)) + (timer["period"] if timer else 0)
    repetition = case.repetitions[scenario["seed"] % len(case.repetitions)]
    waited = _was_kept(repetition, case.task(task)) and not begins_late(case.tasks, repetition, case.task(task))
    return start_us + (repetition.late_ns(task) // US if waited else 0)


def _period_phases_us(recording: Recording, case: Case, repetition: Repetition, release_us: int) -> Mapping[str, int]:
    """Return when the periods of cpu.max ended, in the scenario's time; what the trace does not tell is left out."""
    limited = {path: _period_us(files) for path, files in case.cgroups.items() if "cpu.cfs_quota_us" in files}
    ahead_us = repetition.start_ns // US - release_us
    if not features(Release.parse(recording.release), 1).random_cfs_period:
        return {path: -ahead_us % period_us for path, period_us in limited.items()}
    if not limited or not repetition.trace:
        return {}
    text = repetition.trace_text()
    found = list(decisions(text, RECORDED_CPU))
    phases = {
        path: cfs_period_phase(case, path, found, text, RECORDED_CPU, period_us * US)
        for path, period_us in limited.items()
    }
    return {path: (phase // US - ahead_us) % limited[path] for path, phase in phases.items() if phase is not None}


def _phase_us(recording: Recording, repetition: Repetition) -> int:
    return repetition.start_ns % (10**9 // recording.hz) // US


def _workload(recording: Recording, case: Case, repetition: Repetition, release_us: int, seed: int) -> dict[str, Any]:
    tasks = [task if _has_slices(recording) else replace(task, slice_us=0) for task in case.tasks]
    workload: dict[str, Any] = {
        "tasks": {task.name: _task(task, tasks, release_us, seed, repetition) for task in tasks}
    }
    for task in tasks:
        if len(task.cpus) > 1:
            written = workload["tasks"][task.name]
            written["phases"] = _placed(written, _begins_on(task, tasks, repetition, seed))
    if case.cyclictest is not None:
        run = case.cyclictest
        cpus = [run.cpu] if run.cpu is not None else list(case.tasks[0].cpus)
        workload["cyclictest"] = {"interval": f"{run.interval_us} us", "policy": run.policy, "cpus": cpus}
        if run.priority is not None:
            workload["cyclictest"]["priority"] = run.priority
    return workload


def _has_slices(recording: Recording) -> bool:
    """Tell whether the kernel heeds sched_attr.sched_runtime of fair tasks; older ones pass it over without a word."""
    return features(Release.parse(recording.release), 1).custom_slice


def _begin_us(task: RtwlTask, tasks: Sequence[RtwlTask], seed: int, repetition: Repetition) -> int:
    """Return when a task begins, before or after the first release.

    rtwl wakes all tasks at once. A FIFO hog takes the CPU then, and how long others starve counts from that instant;
    what another kept from its CPU begins when it first had it.
    """
    if task.kind == "hog" and task.delay_us:
        return task.delay_us
    if begins_late(tasks, repetition, task):
        return repetition.late_ns(task.name) // US
    if _sets_up_beside_hog(task, tasks, repetition):
        return -HOGS_BEFORE_US - SET_UP_AHEAD_US
    if _is_fifo_hog(task) or _was_kept(repetition, task):
        return -HOGS_BEFORE_US
    # Text as seed: the same numbers on every machine and for every Python.
    begin_us = random.Random(f"{task.name} {seed}").randrange(HOGS_SPREAD_US) - HOGS_BEFORE_US
    if task.kind == "per" and task.period_us <= HOGS_BEFORE_US:
        # Whole periods before: where hogs keep it past its first release, the next ones stay on its grid.
        begin_us += (task.delay_us - begin_us) % task.period_us
        begin_us -= task.period_us if begin_us >= task.delay_us else 0
    return begin_us


def begins_late(tasks: Sequence[RtwlTask], repetition: Repetition, task: RtwlTask) -> bool:
    """Tell whether a task begins in the scenario as late as it came to its own code."""
    return _was_kept(repetition, task) and not any(map(_is_fifo_hog, tasks))


def _is_fifo_hog(task: RtwlTask) -> bool:
    return task.kind == "hog" and task.policy == "fifo"


def _was_kept(repetition: Repetition, task: RtwlTask) -> bool:
    """Tell whether others kept a task from its CPU before it came to its own code."""
    return repetition.late_ns(task.name) // US - task.delay_us > LATE_US


def _task(
    task: RtwlTask, tasks: Sequence[RtwlTask], release_us: int, seed: int, repetition: Repetition
) -> dict[str, Any]:
    begin_us = _begin_us(task, tasks, seed, repetition)
    written: dict[str, Any] = {
        "policy": f"SCHED_{task.policy.upper()}",
        "priority": task.priority if task.policy in ("fifo", "rr") else task.nice,
        "cpus": list(task.cpus),
        "delay": release_us + begin_us,
        **_behaviour(task, task.delay_us - begin_us),
    }
    if task.cgroup:
        written["taskgroup"] = task.cgroup
    if task.slice_us:
        written["slice"] = task.slice_us
    if task.slack_ns is not None:
        written["timer_slack"] = task.slack_ns
    return written


def _behaviour(task: RtwlTask, wait_us: int) -> dict[str, Any]:
    """Return what a task does, `wait_us` before it counts its periods."""
    if task.kind == "hog":
        return {"run": -1}
    if task.kind == "burst":
        return {"loop": -1, "run": task.run_us, "sleep": task.sleep_us}
    # Its first turn, in which it sets itself up, decides what it is owed from then on.
    missed = max(0, -wait_us // task.period_us + 1)
    first_us = wait_us if wait_us > 0 else wait_us + missed * task.period_us
    timer = {"ref": task.name, "mode": "absolute"}
    return {
        "overrun": "skip",
        "phases": {
            "begin": {"loop": 1, "run": SET_UP_US, "timer": {**timer, "period": first_us}},
            "periods": {"loop": -1, "timer": {**timer, "period": task.period_us}, "run": task.work_us},
        },
    }


def _places(task: RtwlTask, tasks: Sequence[RtwlTask]) -> list[int]:
    """Return the CPUs that a task may begin on: not behind a realtime hog that never leaves, if there are others."""
    taken = _taken(tasks)
    return [cpu for cpu in task.cpus if cpu not in taken] or list(task.cpus)


def _taken(tasks: Sequence[RtwlTask]) -> set[int]:
    """Return the CPUs of realtime hogs that may run on one only."""
    hogs = [task for task in tasks if task.kind == "hog" and task.policy in ("fifo", "rr")]
    return {hog.cpus[0] for hog in hogs if len(hog.cpus) == 1}


def _sets_up_beside_hog(task: RtwlTask, tasks: Sequence[RtwlTask], repetition: Repetition) -> bool:
    """Tell whether a task that may go elsewhere began on the CPU of a realtime hog."""
    return len(task.cpus) > 1 and _first_cpu(repetition, task) in _taken(tasks)


def _begins_on(task: RtwlTask, tasks: Sequence[RtwlTask], repetition: Repetition, seed: int) -> int:
    """Return the CPU that a task begins on: every other seed has the recorded one, all do where a hog decides."""
    recorded = _first_cpu(repetition, task)
    if recorded is not None and (seed % 2 == 0 or recorded in _taken(tasks)):
        return recorded
    return random.Random(f"{task.name} begins {seed}").choice(_places(task, tasks))


def _first_cpu(repetition: Repetition, task: RtwlTask) -> int | None:
    """Return where a task ran first, None where the trace does not tell."""
    first = placed(repetition.folder / "trace.txt.zst").tasks.get(task.name)
    return first.first_cpu if first is not None and first.first_cpu in task.cpus else None


def _placed(written: dict[str, Any], cpu: int) -> dict[str, Any]:
    """Take a task's behaviour out of it and return the phases in which it sets itself up on `cpu` alone before.

    Tasks are forked one after the other and then given their masks; where each begins is left to what the CPUs did at
    that time. So seeds have their own places; half have those of the recording, since what is isolated stays there.
    """
    phases = written.pop("phases", None)
    if phases is None:
        on = {key: written.pop(key) for key in ("loop", "run", "sleep") if key in written}
        phases = {"begin": {"loop": 1, "run": SET_UP_US}, "on": {"loop": 1, **on}}
    return {**phases, "begin": {**phases["begin"], "cpus": [cpu]}}


def _group(settings: Mapping[str, str]) -> dict[str, Any]:
    """Return a cgroup's settings in the scenario's keys: the quota of v1 is one key there, as in v2."""
    written: dict[str, Any] = {key: int(value) for key, value in settings.items() if not key.startswith("cpu.cfs_")}
    quota_us = settings.get("cpu.cfs_quota_us")
    if quota_us is not None:
        written["cpu.max"] = f"{quota_us} {_period_us(settings)}"
    return written


def _period_us(settings: Mapping[str, str]) -> int:
    return int(settings.get("cpu.cfs_period_us", CFS_PERIOD_US))
