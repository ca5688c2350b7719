"""The threads that a scenario puts on its host: vCPUs, emulators, and the tasks of its workload."""

from __future__ import annotations

from rtsim.scenario.cpu_sources import HostTask
from rtsim.scenario.guests import guests_of
from rtsim.scenario.host import Host
from rtsim.scenario.scenario import Scenario

__all__ = ["host_tasks"]


def host_tasks(scenario: Scenario, host: Host) -> tuple[HostTask, ...]:
    """Return the scenario's threads with policy, priority and the CPUs they may use.

    Raises
    ------
    InputError
        A flavor, image or domain is wrong.
    NovaRefusal
        Nova refuses a guest.
    """
    everywhere = frozenset(host.topology.cpu_ids)
    found: list[HostTask] = []
    for guest in guests_of(scenario, host):
        found += [
            HostTask(
                f"{guest.name}/{thread.name}", thread.policy, thread.priority, frozenset(thread.cpus or everywhere)
            )
            for thread in (*guest.vcpu_threads(), *guest.other_threads(host.profile.guest_threads()))
        ]
    for name, task in scenario.model.workload.tasks.items():
        policy = task.effective_policy(scenario.model.workload.settings.default_policy)
        found.append(HostTask(name, policy, task.priority or 0, frozenset(task.cpus or everywhere)))
    test = scenario.model.workload.cyclictest
    if test is not None:
        cpus = everywhere if isinstance(test.cpus, str) else test.cpus
        found += [
            HostTask(f"cyclictest/{cpu}", test.policy, test.effective_priority(), frozenset({cpu}))
            for cpu in sorted(cpus)
        ]
    return tuple(found)
