"""From a scenario to the engine's state: kernels, CPUs, guests, workload and noise as rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from rtsim.engine.builder import DEFAULT_TRACE, Names
from rtsim.engine.constants import (
    FULL_SPEED,
    NONE,
)
from rtsim.engine.state import State
from rtsim.inputs.errors import InputError
from rtsim.nova import Placement
from rtsim.profile import IdleEntry
from rtsim.scenario.guest_work import add_guest_work
from rtsim.scenario.guests import Guest, GuestThread, guests_of
from rtsim.scenario.host import Host
from rtsim.scenario.libvirt_cgroups import libvirt_cgroups, thread_cgroup
from rtsim.scenario.memory import memory_latency, remote_share, slowdown
from rtsim.scenario.rows import Rows
from rtsim.scenario.scenario import Scenario
from rtsim.scenario.sched_domains import engine_domains, guest_domains
from rtsim.scenario.virtualisation import guest_fields, host_fields, spinlock_fields, vcpu_fields
from rtsim.scenario.workloads import Machine, add_workload
from rtsim.workload import Cgroups, Setting, WorkloadModel
from rtsim.workload.policies import POLICIES

__all__ = ["Assembly", "assemble"]


@dataclass(frozen=True)
class Assembly:
    """A state ready to run, and what its rows stand for.

    ``together`` maps the name of threads that are also shown together to the single ones.
    """

    state: State
    names: Names
    host: Host
    guests: tuple[Guest, ...]
    together: dict[str, tuple[str, ...]]
    duration_ns: int
    warmup_ns: int

    def told(self, observe: Iterable[str] | None) -> set[str]:
        """Return the tasks whose causes and worst samples are kept: those of `observe`, by default all with samples."""
        if observe is None:
            return {self.names.tasks[row] for row in self.names.watched}
        return {thread for name in observe for thread in self.together.get(name, (name,))}


def assemble(scenario: Scenario, *, trace_length: int = DEFAULT_TRACE) -> Assembly:
    """Place the guests and lay out the state, with a trace of `trace_length` records (a power of two).

    Raises
    ------
    InputError
        A file or value of the scenario is wrong.
    NovaRefusal
        Nova refuses a guest, or has no place for it.
    """
    model = scenario.model
    host = Host.of(model.host, scenario.folder, scenario.source)
    guests = guests_of(scenario, host)
    work = _Assembler(scenario, host, trace_length)
    work.add_host()
    work.add_cgroups(guests)
    for guest in guests:
        work.add_threads(guest)
    work.add_kernel_threads()
    work.add_host_noise()
    work.add_recorded_noise()
    work.add_host_workload()
    for guest in guests:
        work.add_guest(guest)
    built, names = work.builder.build(work.observed(model.observe), observe_from_ns=model.warmup)
    return Assembly(built, names, host, guests, work.together, model.duration, model.warmup)


class _Assembler:
    def __init__(self, scenario: Scenario, host: Host, trace_length: int) -> None:
        self.scenario = scenario
        self.host = host
        self.rows = Rows(host.profile, scenario.model.seed, trace_length)
        self.builder = self.rows.builder
        self.isolation = host.isolation
        self.together: dict[str, tuple[str, ...]] = {}
        self.tasks: dict[str, int] = {}

    # ---- the host -------------------------------------------------------------------------------------------

    def add_host(self) -> None:
        ids = self.host.topology.cpu_ids
        if ids != tuple(range(len(ids))):
            raise InputError(self.scenario.source, "host.topology", "expected CPUs numbered from 0 without gaps")
        self.kernel = self.rows.add_kernel(
            self.host.kernel,
            len(ids),
            slowdown(self.host, memory_latency(self.host)),
            self._host_idle(),
            smt_speed=round(FULL_SPEED * self.host.profile.costs.smt_speed.value),
            **host_fields(self.host.kernel),
        )
        for cpu in ids:
            frequency = self.host.frequencies.get(cpu, 1.0)
            node = self.host.topology.cpu(cpu).numa_node
            self.rows.add_cpu(
                "host", self.kernel, self.host.kernel, self.isolation, cpu, frequency=frequency, node=node
            )
        for core in {self.host.topology.siblings(cpu) for cpu in ids}:
            self.builder.core(sorted(core))
        self.builder.domains[self.kernel] = engine_domains(self.host.scheduling_domains())

    def add_kernel_threads(self) -> None:
        """Add the threads that the host's kernel has on each CPU."""
        self.rows.add_kernel_threads("host", self.kernel, self.host.kernel, self.isolation)

    def _host_idle(self) -> list[tuple[str, IdleEntry]]:
        """Return the host's idle states, shallow to deep; cyclictest holds /dev/cpu_dma_latency at 0."""
        polling = self.scenario.model.workload.cyclictest is not None
        return self.host.profile.costs.idle_states(self.host.kernel.command_line, no_latency=polling)

    def add_host_noise(self) -> None:
        for source, cpus in self.host.noise_on(self.isolation):
            self.rows.add_noise("host", self.kernel, self.host.kernel, source, cpus)

    def add_recorded_noise(self) -> None:
        """Add what the scenario replays."""
        replay, model = self.host.replay, self.scenario.model
        if replay is None:
            return
        replay.expect_length(model.warmup + model.duration, self.scenario.source)
        for source in self.host.recorded_on(self.isolation):
            self.rows.add_recorded("host", self.kernel, self.host.kernel, source, replay.repeat_ns)

    # ---- workloads ------------------------------------------------------------------------------------------

    def add_cgroups(self, guests: Iterable[Guest]) -> None:
        """Add the host's cgroups: those written, those of its tasks, and libvirt's."""
        model = self.scenario.model
        written = dict(model.cgroups)
        if model.host.cgroups == "libvirt":
            for guest in guests:
                written = {**libvirt_cgroups(guest), **written}
        self.cgroups = Cgroups.of(written, _taskgroups(model.workload), self.host.kernel, self.scenario.source)
        self.groups = self.cgroups.add(self.builder)

    def add_host_workload(self) -> None:
        cpus = self.host.topology.cpu_ids
        machine = Machine(
            "", "workload", self.kernel, self.host.kernel, cpus, self.isolation.root_domains, cpus, self.cgroups,
            self.groups,
        )  # fmt: skip
        self._add_workload(machine, self.scenario.model.workload, memory_latency(self.host))

    def _add_workload(self, machine: Machine, workload: WorkloadModel, latency: float) -> None:
        profile = self.host.profile.workload
        activation = NONE if profile.activation is None else self.rows.table(profile.activation)
        poll_ns = 0 if profile.clock_poll is None else profile.clock_poll.constant
        setting = Setting(
            self.builder, workload.tasks, machine.prefix, machine.row, workload.settings.default_policy, poll_ns,
            activation, latency,
        )  # fmt: skip
        added = add_workload(self.scenario, machine, workload, setting)
        for name, task in added.tasks.items():
            self._name_task(name, task)
        for name, threads in added.together.items():
            self._name_once(name)
            self.together[name] = threads

    def _existing(self, cpus: Iterable[int], place: str) -> None:
        unknown = set(cpus) - set(self.host.topology.cpu_ids)
        if unknown:
            raise InputError(self.scenario.source, place, f"expected CPUs of the host, it has no CPU {min(unknown)}")

    def _name_task(self, name: str, task: int) -> None:
        self._name_once(name)
        self.tasks[name] = task

    def _name_once(self, name: str) -> None:
        if name in self.tasks or name in self.together:
            raise InputError(self.scenario.source, name, "expected each task's name once")

    # ---- guests ---------------------------------------------------------------------------------------------

    def add_threads(self, guest: Guest) -> None:
        """Add the guest's threads on the host: they exist before any guest CPU does."""
        lock = self.builder.lock()
        early = vcpu_fields(self.host.kernel, guest.model.timer_delivery)
        for thread in guest.vcpu_threads():
            self._add_thread(guest, thread, self.builder.vcpu, lock, **early)
        for thread in guest.other_threads(self.host.profile.guest_threads()):
            self._add_thread(guest, thread, self.builder.server, lock)

    def _add_thread(self, guest: Guest, thread: GuestThread, add: Callable[..., int], lock: int, **fields: Any) -> None:
        name = f"{guest.name}/{thread.name}"
        cpus = thread.cpus or self.host.topology.cpu_ids
        self._existing(cpus, f"guests.{guest.name}: {thread.pin}")
        group = self._thread_group(guest, thread)
        row = add(name, self.kernel, cpus, POLICIES[thread.policy], thread.priority, lock=lock, group=group, **fields)
        self._name_task(name, row)

    def _vcpus(self, guest: Guest) -> list[int]:
        return [self.tasks[f"{guest.name}/vcpu{number}"] for number in range(guest.placement.vcpus)]

    def _thread_group(self, guest: Guest, thread: GuestThread) -> int:
        """Return the row of the cgroup that libvirt puts a thread into, NONE without."""
        if self.scenario.model.host.cgroups == "flat":
            return NONE
        path = thread_cgroup(guest.name, thread.cgroup)
        self.cgroups.check_policy(path, thread.policy, f"guests.{guest.name}: {thread.name}")
        return self.groups[path]

    def add_guest(self, guest: Guest) -> None:
        """Add the guest's kernel and CPUs, its workload and noise, and what occupies its emulator."""
        rows = self._vcpus(guest)
        latency = memory_latency(self.host, remote_share(guest, self.host))
        slower = slowdown(self.host, latency)
        kernel = self.rows.add_kernel(guest.kernel, len(rows), slower, **self._guest_fields(guest))
        isolation = guest.kernel.isolation(range(len(rows)))
        for cpu, carrier in enumerate(rows):
            self.rows.add_cpu(guest.name, kernel, guest.kernel, isolation, cpu, carrier)
        self.builder.domains[kernel] = guest_domains(
            guest.placement.cpu_topology, len(rows), isolation, guest.kernel.release.series
        )
        self.rows.add_kernel_threads(guest.name, kernel, guest.kernel, isolation)
        add_guest_work(self.rows, guest, self.host, self.tasks, kernel, isolation)
        workload = guest.model.workload
        cgroups = Cgroups.of({}, _taskgroups(workload), guest.kernel, self.scenario.source)
        machine = Machine(
            f"{guest.name}/", f"guests.{guest.name}.workload", kernel, guest.kernel, tuple(range(len(rows))),
            isolation.root_domains, guest.measured_vcpus(), cgroups, cgroups.add(self.builder, kernel),
        )  # fmt: skip
        self._add_workload(machine, workload, latency)

    def _guest_fields(self, guest: Guest) -> dict[str, Any]:
        costs, delivery = self.host.profile.costs, guest.model.timer_delivery
        fields = guest_fields(guest.kernel, delivery)
        fields |= spinlock_fields(guest.kernel, guest.placement, costs, delivery)
        if delivery == "emulator":
            fields["timer_task"] = self.tasks[f"{guest.name}/emulator"]
            fields["timer_work"] = self.rows.table(costs.bql_hold)
            fields["lock_release"] = self.rows.table(costs.bql_release)
            fields["timer_rearm"] = self.rows.table(costs.bql_rearm)
        return fields

    # ---- observation ----------------------------------------------------------------------------------------

    def observed(self, wanted: Iterable[str] | None) -> list[int]:
        """Return the tasks that get histograms, all but the kernel's own threads; refuse to observe others."""
        for name in wanted or ():
            if name not in self.tasks and name not in self.together:
                known = ", ".join(sorted({*self.tasks, *self.together}))
                raise InputError(self.scenario.source, "observe", f"expected tasks of {known}, found {name!r}")
        return sorted(self.tasks.values())


def _taskgroups(workload: WorkloadModel) -> list[str]:
    return [task.taskgroup for task in workload.tasks.values() if task.taskgroup]


def pins_of(placement: Placement) -> dict[str, Any]:
    """Return where a guest's threads may run, as plain data."""
    return {
        "vcpupin": {str(vcpu): list(cpus) for vcpu, cpus in sorted(placement.vcpu_pins.items())},
        "emulatorpin": list(placement.emulator_cpus),
        "rt_vcpus": list(placement.rt_vcpus),
        "rt_priority": placement.rt_priority,
    }
