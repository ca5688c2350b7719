"""Puts a workload on a host or into a guest: checked against its CPUs, kernel and cgroups, then added as rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from rtsim.inputs.errors import InputError, at
from rtsim.kernel import Kernel
from rtsim.scenario.deadlines import check_deadline_tasks
from rtsim.scenario.scenario import Scenario
from rtsim.workload import (
    Cgroups,
    Setting,
    TaskModel,
    WorkloadModel,
    add_autogroups,
    add_cyclictest,
    add_oslat,
    add_task,
    add_timerlat,
    autogroup_of,
    checked_path,
)
from rtsim.workload.policies import check_slice

__all__ = ["Added", "Machine", "add_workload"]

OBSERVERS: dict[str, Callable[..., dict[str, int]]] = {
    "cyclictest": add_cyclictest,
    "oslat": add_oslat,
    "timerlat": add_timerlat,
}


@dataclass(frozen=True)
class Machine:
    """A host or guest that a workload runs on."""

    prefix: str
    """What the names of its tasks begin with: ``GUEST/``, or nothing."""
    place: str
    """Where its workload stands in the scenario."""
    row: int
    kernel: Kernel
    cpus: tuple[int, ...]
    root_domains: tuple[frozenset[int], ...]
    measured_cpus: tuple[int, ...]
    """What ``cpus: rt`` means."""
    cgroups: Cgroups
    groups: Mapping[str, int]
    """Their rows by path."""


@dataclass
class Added:
    """Rows of tasks by name, and the names of threads that are also shown together, by their common name."""

    tasks: dict[str, int] = field(default_factory=dict)
    together: dict[str, tuple[str, ...]] = field(default_factory=dict)


def add_workload(scenario: Scenario, machine: Machine, workload: WorkloadModel, setting: Setting) -> Added:
    """Add the tasks and measuring programs of a workload on `machine`, in its `setting`.

    Raises
    ------
    InputError
        It names CPUs that do not exist, or its kernel does not let it have what it asks for.
    """
    _check_duration(scenario, machine, workload)
    check_deadline_tasks(workload, machine.kernel, machine.root_domains, scenario.source, machine.place)
    builder = setting.builder
    autogroups = add_autogroups(builder, machine.row, machine.kernel, machine.prefix, workload)
    added = Added()
    for name, task in workload.tasks.items():
        place = f"{machine.place}.tasks.{name}"
        cpus = _task_cpus(scenario, machine, task, place)
        with at(scenario.source, f"{place}.slice"):
            if task.slice is not None:
                check_slice(task.slice, machine.kernel)
        path = checked_path(task.taskgroup or "/")
        policy = task.effective_policy(setting.default_policy)
        machine.cgroups.check_policy(path, policy, place)
        group = machine.groups[path] if path else autogroup_of(task.session, policy, autogroups)
        threads = add_task(setting, name, cpus, group=group)
        _keep(added, scenario, machine.prefix + name, threads)
    for name, test in workload.observers().items():
        cpus = machine.measured_cpus if isinstance(test.cpus, str) else test.cpus
        _check_cpus(scenario, machine, cpus, f"{machine.place}.{name}.cpus")
        _keep(
            added,
            scenario,
            machine.prefix + name,
            OBSERVERS[name](builder, machine.prefix + name, machine.row, test, cpus),
        )
    return added


def _keep(added: Added, scenario: Scenario, name: str, threads: dict[str, int]) -> None:
    for each in {name, *threads}:
        if each in added.tasks or each in added.together:
            raise InputError(scenario.source, each, "expected each task's name once")
    added.tasks |= threads
    if name not in threads:
        added.together[name] = tuple(threads)


def _check_duration(scenario: Scenario, machine: Machine, workload: WorkloadModel) -> None:
    lasts = workload.settings.duration
    if 0 <= lasts * 10**9 < scenario.model.warmup + scenario.model.duration:
        expected = f"expected a warmup and duration of {lasts} s together, after which rt-app ends its tasks"
        raise InputError(scenario.source, f"{machine.place}.global.duration", expected)


def _task_cpus(scenario: Scenario, machine: Machine, task: TaskModel, place: str) -> tuple[int, ...]:
    """Return the CPUs of a task within its cpuset; check those of its phases too."""
    path = checked_path(task.taskgroup or "/")
    masks = [task.cpus or machine.cpus, *(phase.cpus for phase in task.effective_phases() if phase.cpus)]
    for mask in masks:
        _check_cpus(scenario, machine, mask, f"{place}.cpus")
        if not machine.cgroups.cpus_of(path, mask):
            expected = (
                f"expected CPUs of the cpuset of {path}; the kernel says: sched_setaffinity: EINVAL: Invalid argument"
            )
            raise InputError(scenario.source, f"{place}.cpus", expected)
    return machine.cgroups.cpus_of(path, masks[0])


def _check_cpus(scenario: Scenario, machine: Machine, cpus: Iterable[int], place: str) -> None:
    unknown = sorted(set(cpus) - set(machine.cpus))
    if not unknown:
        return
    if machine.prefix:
        expected = f"expected vCPUs 0 to {len(machine.cpus) - 1}, found {unknown[0]}"
    else:
        expected = f"expected CPUs of the host, it has no CPU {unknown[0]}"
    raise InputError(scenario.source, place, expected)
