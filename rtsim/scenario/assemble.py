"""From a scenario to the engine's state: kernels, CPUs, guests, workload and noise as rows.

Everything random is drawn from streams named after what it is for (``host/irq/eth0``, ``realtime4/vcpu2/exits``), so
variants of a scenario that keep a name keep its noise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtsim.engine.builder import DEFAULT_TRACE, Builder, Names
from rtsim.engine.constants import (
    FIFO,
    NOISE_EXIT,
    NOISE_FAULT,
    NOISE_HARDWARE,
    NOISE_IRQ,
    NOISE_NMI,
    NOISE_SOFTIRQ,
    NOISE_THREAD,
    NONE,
    OTHER,
)
from rtsim.engine.random import uniform_below
from rtsim.engine.state import State
from rtsim.inputs.errors import InputError
from rtsim.kernel import Isolation, Kernel
from rtsim.kernel.features import rule
from rtsim.kernel.kthreads import IRQ_THREAD_PRIORITY
from rtsim.kernel.softirqs import SOFTIRQ_VECTORS, softirq_threads
from rtsim.nova import Placement
from rtsim.profile import Arrival, DistributionEntry, NoiseSource, Profile
from rtsim.scenario.guests import Guest, guests_of
from rtsim.scenario.host import Host, is_of_ticks
from rtsim.scenario.libvirt_cgroups import libvirt_cgroups, thread_cgroup
from rtsim.scenario.memory import faults_of, remote_share, slowdown
from rtsim.scenario.replay import PlacedSource
from rtsim.scenario.rules import scheduler_fields
from rtsim.scenario.scenario import Scenario
from rtsim.scenario.sched_domains import engine_domains, guest_domains
from rtsim.scenario.workloads import Machine, add_workload
from rtsim.workload import Cgroups, WorkloadModel
from rtsim.workload.policies import POLICIES

__all__ = ["Assembly", "assemble"]

REMOTE_TICK_NS = 1_000_000_000

NOISE_KINDS = {
    "hardware": NOISE_HARDWARE, "nmi": NOISE_NMI, "irq": NOISE_IRQ, "softirq": NOISE_SOFTIRQ,
    "thread": NOISE_THREAD,
}  # fmt: skip


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
        work.add_vcpus(guest)
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
        self.seed = scenario.model.seed
        self.builder = Builder(seed=self.seed, trace_length=trace_length)
        self.isolation = host.isolation
        self.together: dict[str, tuple[str, ...]] = {}
        self.tasks: dict[str, int] = {}
        self.vcpus: dict[str, list[int]] = {}
        self.emulators: dict[str, int] = {}
        self._spread: dict[int, int] = {}

    # ---- the host -------------------------------------------------------------------------------------------

    def add_host(self) -> None:
        ids = self.host.topology.cpu_ids
        if ids != tuple(range(len(ids))):
            raise InputError(self.scenario.source, "host.topology", "expected CPUs numbered from 0 without gaps")
        self.kernel = self._add_kernel(self.host.kernel, len(ids), slowdown(self.host))
        for cpu in ids:
            self._add_cpu("host", self.kernel, self.host.kernel, self.isolation, cpu)
        self.builder.domains[self.kernel] = engine_domains(self.host.scheduling_domains())

    def _add_cpu(
        self, level: str, row: int, kernel: Kernel, isolation: Isolation, cpu: int, carrier: int = NONE
    ) -> None:
        """Add a CPU; ``skew_tick`` spreads the ticks over half their period."""
        skew = kernel.tick_ns // 2 // len(isolation.cpus) * cpu if kernel.command_line.skew_tick else 0
        self.builder.cpu(
            f"{level}/cpu{cpu}", row, carrier=carrier, nohz_full=cpu in isolation.nohz_full,
            isolated=cpu in isolation.domain, tick_offset_ns=skew,
        )  # fmt: skip

    def add_kernel_threads(self) -> None:
        """Add the threads that the host's kernel has on each CPU."""
        self._add_kernel_threads("host", self.kernel, self.host.kernel, self.isolation)

    def _add_kernel_threads(self, level: str, row: int, kernel: Kernel, isolation: Isolation) -> None:
        base = self.builder.kernels[row]["cpu_base"]
        for thread in softirq_threads(kernel):
            vectors = [SOFTIRQ_VECTORS.index(name) for name in thread.vectors]
            for cpu in sorted(isolation.cpus):
                self.builder.softirq_thread(
                    f"{level}/{thread.role}/{cpu}", base + cpu, thread.role, POLICIES[thread.policy], thread.priority,
                    vectors=vectors,
                )  # fmt: skip
        if isolation.nohz_full and rule("remote_tick", kernel.release):
            self._add_remote_ticks(level, row, isolation)

    def _add_remote_ticks(self, level: str, row: int, isolation: Isolation) -> None:
        """Add the work that looks after the scheduler of each nohz_full CPU once a second (sched_tick_remote)."""
        name = f"{level}/thread/tick-remote"
        work = self._table(self.host.profile.costs.tick)
        worker = self.builder.server(name, row, isolation.kthread_cpus, OTHER, 0, kthread=1)
        for cpu in sorted(isolation.nohz_full):
            own = f"{name}/{cpu}"
            self.builder.source(
                own, NOISE_THREAD, task=worker, duration=work, period_ns=REMOTE_TICK_NS,
                phase_ns=self._phase(own, "random", REMOTE_TICK_NS),
            )  # fmt: skip

    def _add_kernel(self, kernel: Kernel, cpus: int, slower: float, *, guest: bool = False) -> int:
        """Add a kernel whose steps take `slower` times as long as the profile says."""
        costs = self.host.profile.costs

        def table(entry: DistributionEntry) -> int:
            return self._table(entry, slower)

        # cyclictest holds /dev/cpu_dma_latency at 0
        polling = self.scenario.model.workload.cyclictest is not None
        states = [] if guest else costs.idle_states(kernel.command_line, no_latency=polling)
        return self.builder.kernel(
            cpus, **scheduler_fields(kernel, cpus), context_switch=table(costs.context_switch),
            syscall_exit=table(costs.syscall_exit), irq_entry=table(costs.irq_entry), timer_irq=table(costs.timer_irq),
            tick=table(costs.tick), hrtimer_program=table(costs.hrtimer_program), wake=table(costs.wake),
            ipi=table(costs.ipi), softirq_entry=table(costs.softirq_entry), vm_entry=table(costs.vm_entry),
            schedule=table(costs.schedule), preempt_fair=table(costs.preempt_fair),
            cgroup_level=table(costs.cgroup_level), irq_thread_hard=table(costs.irq_thread_hard),
            ktimers=table(costs.ktimers), softirq_exit=table(costs.softirq_exit),
            enqueue_remote=table(costs.enqueue_remote),
            idle_polls=int(bool(states) and states[0][0] == "poll"),
            preempt_off=table(getattr(costs.preempt_off, kernel.preempt)),
            vm_exit=[table(getattr(costs.vm_exit, reason)) for reason in ("timer", "hlt", "external", "io", "ept")],
            # a guest that idles halts: leaving that is the host's affair
            idle_exit=[(entry.residency, table(entry)) for _, entry in states] or self.builder.constant(0),
        )  # fmt: skip

    def _table(self, entry: DistributionEntry, slower: float = 1.0) -> int:
        quantiles = entry.distribution().table()
        return self.builder.table(quantiles if slower == 1.0 else np.rint(quantiles * slower))

    def add_host_noise(self) -> None:
        for source, cpus in self.host.noise_on(self.isolation):
            self._add_noise("host", self.kernel, self.host.kernel, source, cpus)

    def _add_noise(self, level: str, row: int, kernel: Kernel, source: NoiseSource, cpus: tuple[int, ...]) -> None:
        """Add one noise source; of several CPUs it strikes the one with the fewest, as interrupt vectors are spread."""
        name = f"{level}/{source.kind}/{source.name}"
        if "preempt_rt" in source.requires and kernel.preempt != "rt":
            return
        if is_of_ticks(source, kernel):
            self.builder.kernels[row]["sched_softirq"] = self._table(source.duration)
            return
        base = self.builder.kernels[row]["cpu_base"]
        if source.cpus == "per-cpu":
            name = f"{name}/{cpus[0]}"
        target, task = base + cpus[0], NONE
        if source.scope == "machine":
            target = NONE
        elif source.kind == "thread":
            policy = POLICIES[source.policy or "other"]
            task = self.builder.server(name, row, cpus, policy, source.priority or 0, kthread=1)
        else:
            target = min((base + cpu for cpu in cpus), key=lambda cpu: self._spread.get(cpu, 0))
            if len(cpus) > 1:
                self._spread[target] = self._spread.get(target, 0) + 1
            if source.kind == "irq" and source.threaded and kernel.force_irqthreads:
                task = self.builder.server(
                    name, row, [target - base], FIFO, IRQ_THREAD_PRIORITY, kthread=1
                )  # fmt: skip
        self.builder.source(
            name, NOISE_KINDS[source.kind], cpu=target, task=task, duration=self._table(source.duration),
            vector=SOFTIRQ_VECTORS.index(source.vector or "net_rx"), **self._arrival(name, source.arrival),
        )  # fmt: skip

    def add_recorded_noise(self) -> None:
        """Add what the scenario replays; every arrival finds room, however long its thread waits."""
        replay, model = self.host.replay, self.scenario.model
        if replay is None:
            return
        replay.expect_length(model.warmup + model.duration, self.scenario.source)
        for source in self.host.recorded_on(self.isolation):
            self.builder.source(
                f"host/{source.kind}/{source.name}", NOISE_KINDS[source.kind], cpu=source.cpus[0],
                task=self._recorded_thread(source), recorded=source.arrivals, period_ns=replay.repeat_ns,
                vector=SOFTIRQ_VECTORS.index(source.source) if source.kind == "softirq" else NONE,
            )  # fmt: skip

    def _recorded_thread(self, source: PlacedSource) -> int:
        """Add the thread that does a recorded source's work; return its row, NONE if it is no thread's."""
        name, room = f"host/{source.kind}/{source.name}", len(source.arrivals)
        if source.kind == "thread":
            policy, priority = POLICIES[source.policy or "other"], source.priority or 0
        elif source.kind == "irq" and self.host.kernel.force_irqthreads:
            policy, priority = FIFO, IRQ_THREAD_PRIORITY
        else:
            return NONE
        return self.builder.server(name, self.kernel, source.cpus, policy, priority, room=room, kthread=1)

    def _arrival(self, name: str, arrival: Arrival) -> dict[str, Any]:
        if arrival.periodic is not None:
            jitter = arrival.jitter()
            return {
                "period_ns": arrival.periodic.period,
                "phase_ns": self._phase(name, arrival.periodic.phase, arrival.periodic.period),
                "interval": NONE if jitter is None else self.builder.table(jitter.table()),
            }
        interval = {"interval": self.builder.table(arrival.interval().table())}
        if arrival.bursts is not None:
            return {**interval, "burst_size": arrival.bursts.size, "burst_spacing_ns": arrival.bursts.spacing}
        return interval

    def _phase(self, name: str, phase: int | str, period_ns: int) -> int:
        if phase == "locked":
            return 0
        return phase if isinstance(phase, int) else uniform_below(self.seed, name, "phase", period_ns)

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
        self._add_workload(machine, self.scenario.model.workload)

    def _add_workload(self, machine: Machine, workload: WorkloadModel) -> None:
        profile = self.host.profile.workload
        activation = NONE if profile.activation is None else self._table(profile.activation)
        poll_ns = 0 if profile.clock_poll is None else profile.clock_poll.constant
        added = add_workload(self.builder, self.scenario, machine, workload, poll_ns, activation)
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

    def add_vcpus(self, guest: Guest) -> None:
        """Add the guest's threads on the host: they exist before any guest CPU does."""
        placement, lock = guest.placement, self.builder.lock()
        everywhere = self.host.topology.cpu_ids
        rows = []
        for vcpu in range(placement.vcpus):
            policy, priority = guest.schedule(vcpu)
            name = f"{guest.name}/vcpu{vcpu}"
            cpus = placement.vcpu_pins.get(vcpu) or everywhere
            self._existing(cpus, f"guests.{guest.name}: vcpupin {vcpu}")
            group = self._thread_group(guest, f"vcpu{vcpu}", policy)
            rows.append(self.builder.vcpu(name, self.kernel, cpus, POLICIES[policy], priority, lock=lock, group=group))
            self._name_task(name, rows[-1])
        name = f"{guest.name}/emulator"
        cpus = placement.emulator_cpus or placement.floating_cpus or everywhere
        self._existing(cpus, f"guests.{guest.name}: emulatorpin")
        group = self._thread_group(guest, "emulator", "other")
        self.emulators[guest.name] = self.builder.server(name, self.kernel, cpus, OTHER, 0, lock=lock, group=group)
        self._name_task(name, self.emulators[guest.name])
        self.vcpus[guest.name] = rows

    def _thread_group(self, guest: Guest, thread: str, policy: str) -> int:
        """Return the row of the cgroup that libvirt puts a thread into, NONE without."""
        if self.scenario.model.host.cgroups == "flat":
            return NONE
        path = thread_cgroup(guest.name, thread)
        self.cgroups.check_policy(path, policy, f"guests.{guest.name}: {thread}")
        return self.groups[path]

    def add_guest(self, guest: Guest) -> None:
        """Add the guest's kernel and CPUs, its workload and noise, and what occupies its emulator."""
        rows = self.vcpus[guest.name]
        slower = slowdown(self.host, remote_share(guest, self.host))
        kernel = self._add_kernel(guest.kernel, len(rows), slower, guest=True)
        isolation = guest.kernel.isolation(range(len(rows)))
        for cpu, carrier in enumerate(rows):
            self._add_cpu(guest.name, kernel, guest.kernel, isolation, cpu, carrier)
        self.builder.domains[kernel] = guest_domains(
            guest.placement.cpu_topology, len(rows), isolation, guest.kernel.release.series
        )
        self._add_kernel_threads(guest.name, kernel, guest.kernel, isolation)
        self._add_guest_noise(guest, kernel, isolation)
        self._add_memory_faults(guest)
        workload = guest.model.workload
        cgroups = Cgroups.of({}, _taskgroups(workload), guest.kernel, self.scenario.source)
        machine = Machine(
            f"{guest.name}/", f"guests.{guest.name}.workload", kernel, guest.kernel, tuple(range(len(rows))),
            isolation.root_domains, guest.measured_vcpus(), cgroups, cgroups.add(self.builder),
        )  # fmt: skip
        self._add_workload(machine, workload)

    def _add_guest_noise(self, guest: Guest, kernel: int, isolation: Isolation) -> None:
        profile: Profile = self.host.profile
        for source, cpus in profile.guest_noise_on(isolation, guest.placement.vcpus):
            self._add_noise(guest.name, kernel, guest.kernel, source, cpus)
        for item in profile.emulator:
            name = f"{guest.name}/emulator/{item.name}"
            self.builder.source(
                name, NOISE_THREAD, task=self.emulators[guest.name], locked=item.holds_lock,
                duration=self._table(item.duration), **self._arrival(name, item.arrival),
            )  # fmt: skip
        for exits in profile.vcpu_exits:
            for vcpu, task in enumerate(self.vcpus[guest.name]):
                if exits.vcpus == "all" or (exits.vcpus == "rt") == (vcpu in guest.placement.rt_vcpus):
                    name = f"{guest.name}/vcpu{vcpu}/exits/{exits.name}"
                    self.builder.source(
                        name, NOISE_EXIT, task=task, duration=self._table(exits.duration),
                        **self._arrival(name, exits.arrival),
                    )  # fmt: skip

    def _add_memory_faults(self, guest: Guest) -> None:
        for found in faults_of(guest, self.host):
            name = f"{guest.name}/vcpu{found.vcpu}/memory/{found.fault.name}"
            cost = self.builder.constant(0) if found.cost is None else self._table(found.cost)
            reason = found.fault.reason
            self.builder.source(
                name, NOISE_FAULT, task=self.vcpus[guest.name][found.vcpu], duration=cost,
                lasting=reason != "first_touch", on_disk=reason == "swap", **self._arrival(name, found.arrival),
            )  # fmt: skip

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
