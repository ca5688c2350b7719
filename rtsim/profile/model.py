"""The numbers of a machine: what each step of the kernel costs, and what takes CPU time away, each with its source."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from rtsim.inputs.cpulist import parse_cpulist
from rtsim.inputs.errors import InputError
from rtsim.inputs.models import StrictModel
from rtsim.inputs.units import Duration
from rtsim.kernel import CommandLine, Isolation
from rtsim.profile.entries import Arrival, CostEntry, DistributionEntry, IdleEntry

__all__ = [
    "CLASSES",
    "Costs",
    "DirtyLog",
    "Factor",
    "MemoryFault",
    "NoiseSource",
    "PageFault",
    "PreemptOff",
    "Profile",
    "VcpuExit",
    "VmExit",
    "WorkItem",
    "WorkloadCosts",
]

CLASSES = ("hardware", "nmi", "irq", "softirq", "thread")
"""Classes of noise, in the order in which one interrupts the other (the words of the kernel's osnoise tracer)."""

Vector = Literal["hi", "timer", "net_tx", "net_rx", "block", "irq_poll", "tasklet", "sched", "hrtimer", "rcu"]

Name = Annotated[str, Field(min_length=1, max_length=100)]


class Factor(StrictModel):
    """A plain number and where it is from."""

    value: float = Field(gt=0, le=100)
    source: str = Field(min_length=1)


def _factor(value: Any) -> Any:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return {"value": value, "source": "assumed"} if plain else value


FactorEntry = Annotated[Factor, BeforeValidator(_factor)]


class VmExit(StrictModel):
    """From the guest's last instruction to the end of the exit's handling in KVM, by reason."""

    timer: CostEntry
    io: CostEntry
    ept: CostEntry
    hlt: CostEntry
    external: CostEntry
    doorbell: CostEntry | None = None
    """A request that KVM passes on to a thread of the guest's process (ioeventfd); by default as timer."""
    pause: CostEntry | None = None
    """A pause loop: a guest that spins, and the search for another vCPU to yield to; by default as timer."""
    kick: CostEntry | None = None
    """A kick of a vCPU that is halted to wait for a spinlock (KVM_HC_KICK_CPU); by default as timer."""


class PageFault(StrictModel):
    """What the host does for a page the guest touches and the host does not have."""

    small: CostEntry = Field(alias="4k")
    huge: CostEntry = Field(alias="2m")
    swap: CostEntry


class DirtyLog(StrictModel):
    """What it takes to know which pages of 4 KiB a guest that is migrated writes to, and to send them."""

    fault: CostEntry
    """Beyond the exit, the first write to a page after each sync where the CPU does not note it (without PML)."""
    pml_entry: CostEntry
    """With PML, each page written to: KVM goes through 512 of them at an exit."""
    sync: CostEntry
    """Per GiB of the guest: reading and clearing the log, under QEMU's global lock."""
    send: CostEntry
    """Per page: reading and sending it."""


class PreemptOff(StrictModel):
    """Length of kernel sections in which a resched mark cannot take effect, by preemption model."""

    none: CostEntry
    voluntary: CostEntry
    full: CostEntry
    lazy: CostEntry
    rt: CostEntry


def _nothing() -> CostEntry:
    return CostEntry.model_validate({"constant": "0 us", "source": "not told apart from the other costs"})


def _memory_share() -> Factor:
    return Factor(value=0.3, source="assumed")


def _dirty_log() -> DirtyLog:
    costs = {"fault": "0.5 us", "pml_entry": "60 ns", "sync": "200 us", "send": "2 us"}
    entries = {name: {"constant": cost, "source": "assumed"} for name, cost in costs.items()}
    return DirtyLog.model_validate(entries)


def _spin_turn() -> CostEntry:
    return CostEntry.model_validate({"constant": "60 ns", "source": "PAUSE takes 140 cycles from Skylake on; assumed"})


def _one_microsecond() -> CostEntry:
    return CostEntry.model_validate({"constant": "1 us", "source": "assumed"})


class Costs(StrictModel):
    """What the steps of scheduling and virtualisation take; those with a default may be left out."""

    context_switch: CostEntry
    """From sched_switch to the next task's code, or to idle."""
    wake: CostEntry
    """One wake-up in an interrupt."""
    enqueue_remote: CostEntry
    """Queueing a task that another CPU has woken, in the interrupt that it sends."""
    ipi: CostEntry
    """Flight of a reschedule interrupt."""
    timer_irq: CostEntry
    """Start of an interrupt that serves timers or wakes, up to its first action."""
    tick: CostEntry
    """What the scheduler's tick computes."""
    hrtimer_program: CostEntry
    """What a task computes to arm the timer that it sleeps on."""
    syscall_exit: CostEntry
    """A woken task's way back to user space, after the switch."""
    idle_exit: dict[str, IdleEntry] = Field(min_length=1)
    """Leaving an idle state, by state: poll, C1, C1E, C6, ..."""
    irq_entry: CostEntry
    """Any interrupt, up to its handler."""
    softirq_entry: CostEntry
    """Each softirq that is raised."""
    vm_exit: VmExit
    """By reason: timer, io, hlt, external, ept for a page that the guest has not touched before, pause, kick."""
    vm_entry: CostEntry
    """Back into the guest."""
    bql_hold: CostEntry
    """What the emulator thread computes, under QEMU's global lock, for a timer that it fires, up to the vCPU's kick."""
    page_fault: PageFault
    """What the host does for a missing page, beyond the exit: allocate, clear or copy 4k or 2m, or read from swap."""
    preempt_off: PreemptOff
    """Kernel sections that cannot be preempted, by preemption model."""
    smt_speed: FactorEntry
    """How fast a CPU works while a task has another one of its core, of its speed with the core to itself."""
    numa_remote: FactorEntry
    """Latency of memory on another node, over that of the own one."""
    memory_share: FactorEntry = Field(default_factory=_memory_share)
    """Share of the kernel's steps that is spent waiting for memory: what remote or contended memory makes longer."""
    bql_release: CostEntry = Field(default_factory=_nothing)
    """What it computes then, until it frees the lock."""
    bql_arm: CostEntry = Field(default_factory=_nothing)
    """What a vCPU without KVM computes, under the lock, to arm a timer."""
    bql_rearm: CostEntry = Field(default_factory=_nothing)
    """What the emulator thread computes for that, under the lock: when the next timer is to fire."""
    schedule: CostEntry = Field(default_factory=_nothing)
    """From the end of an interrupt, or from blocking, to sched_switch."""
    preempt_fair: CostEntry = Field(default_factory=_nothing)
    """Charging a running fair task: in a fair wake-up's test against it, and in the tick."""
    put_fair: CostEntry | None = None
    """Charging it as a realtime task comes and it is put back; `preempt_fair` if None."""
    cgroup_level: CostEntry = Field(default_factory=_nothing)
    """Each level of cgroups that the fair class walks: to queue or dequeue a task, to switch to or from it."""
    irq_thread_hard: CostEntry = Field(default_factory=_one_microsecond)
    """What an interrupt whose handler is a thread does itself."""
    dirty_log: DirtyLog = Field(default_factory=_dirty_log)
    """Of guests that are migrated."""
    spin_turn: CostEntry = Field(default_factory=_spin_turn)
    """A turn of a waiter for a spinlock: PAUSE, and a look at the lock."""
    ktimers: CostEntry = Field(default_factory=_nothing)
    """PREEMPT_RT: a run of ktimers/N, up to its first wake-up."""
    softirq_exit: CostEntry = Field(default_factory=_nothing)
    """What a thread that runs softirqs computes from the last of them until it sleeps."""

    @field_validator("idle_exit")
    @classmethod
    def _state_names(cls, value: dict[str, IdleEntry]) -> dict[str, IdleEntry]:
        for name in value:
            if not _IDLE_STATE.fullmatch(name):
                raise ValueError(f"expected idle states named poll, C1, C1E, C6, ..., found {name!r}")
        return value

    def idle_states(
        self, command_line: CommandLine | None = None, *, no_latency: bool = False
    ) -> list[tuple[str, IdleEntry]]:
        """Return the idle states that `command_line` leaves, shallow to deep; never empty.

        ``idle=poll`` and C-state limits remove the deeper ones; a limit of 1 leaves C1, but not C1E. `no_latency`: a
        program holds /dev/cpu_dma_latency at 0, which leaves polling.
        """
        limit = 0 if no_latency else command_line.max_cstate if command_line else None
        states = sorted(self.idle_exit.items(), key=lambda item: _depth(item[0]))
        kept = [item for item in states if limit is None or _depth(item[0]) <= (limit, "")]
        return kept or states[:1]


_IDLE_STATE = re.compile(r"poll|C([1-9])([A-Z]{0,2})", re.ASCII)


def _depth(state: str) -> tuple[int, str]:
    """Return a key by which idle states sort: poll, C1, C1E, C6."""
    match = _IDLE_STATE.fullmatch(state)
    return (int(match[1]), match[2]) if match and match[1] else (0, "")


def _cpus(value: Any) -> Any:
    if value in ("all", "housekeeping", "isolated", "per-cpu"):
        return value
    if not isinstance(value, str | list):
        raise ValueError(f"expected all, housekeeping, isolated, per-cpu or a CPU list, found {value!r}")
    cpus = parse_cpulist(value)
    if not cpus:
        raise ValueError(f"expected all, housekeeping, isolated, per-cpu or a CPU list, found {value!r}")
    return cpus


class NoiseSource(StrictModel):
    """Something that takes CPU time away.

    ``cpus: per-cpu`` means an independent instance on each CPU; otherwise there is one source, whose arrivals go to
    one of the CPUs named, or with ``scope: machine`` stop all CPUs at the same instant.
    """

    name: Name
    kind: Literal["hardware", "nmi", "irq", "softirq", "thread"] = Field(alias="class")
    policy: Literal["stop", "fifo", "rr", "other", "batch", "idle"] | None = None
    priority: int | None = Field(default=None, ge=-20, le=99)
    """Of threads: the priority of fifo and rr (1 to 99), the nice value otherwise."""
    cpus: Annotated[Literal["all", "housekeeping", "isolated", "per-cpu"] | tuple[int, ...], BeforeValidator(_cpus)]
    vector: Vector | None = None
    """Of softirqs: what is raised; net_rx where left out."""
    threaded: bool = True
    """Of interrupts: whether ``threadirqs`` and PREEMPT_RT make a thread of the handler."""
    requires: tuple[Literal["preempt_rt", "ksm", "reclaim"], ...] = ()
    """What must be for it to exist: a PREEMPT_RT kernel, KSM switched on, or memory so short that it is reclaimed."""
    scope: Literal["cpu", "machine"] = "cpu"
    removed_by: tuple[str, ...] = ()
    """Kernel arguments that free CPUs of it: see `Isolation.removed_by`."""
    arrival: Arrival
    duration: DistributionEntry
    source: str = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.kind != "thread":
            if self.policy is not None or self.priority is not None:
                raise ValueError(f"expected policy and priority with class thread only, found them with {self.kind}")
        elif self.policy in ("fifo", "rr"):
            if not 1 <= (self.priority or 0) <= 99:
                raise ValueError(f"expected a priority of 1 to 99 with {self.policy}, found {self.priority}")
        elif not -20 <= (self.priority or 0) <= 19:
            raise ValueError(f"expected a nice value of -20 to 19 as priority, found {self.priority}")
        if self.vector is not None and self.kind != "softirq":
            raise ValueError(f"expected vector with class softirq only, found it with {self.kind}")
        if not self.threaded and self.kind != "irq":
            raise ValueError(f"expected threaded with class irq only, found it with {self.kind}")
        if self.scope == "machine" and self.kind != "hardware":
            raise ValueError(f"expected scope machine with class hardware only, found it with {self.kind}")
        return self

    def load(self) -> float:
        """Return the share of one CPU that one instance takes."""
        return self.arrival.rate_hz() * self.duration.distribution().mean_ns / 1e9


GuestThread = Literal["emulator", "iothread", "vhost", "worker"]
"""Threads of a guest's process that serve requests: QEMU's main loop, an iothread, vhost-net's of the kernel, and one
of QEMU's pool for what would block (files, VNC's encoding)."""


class WorkItem(StrictModel):
    """Work of a thread of the guest's process, at times of its own."""

    name: Name
    thread: GuestThread = "emulator"
    """Who does it; an iothread's work is the emulator's, under the lock, in guests without one."""
    arrival: Arrival
    duration: DistributionEntry
    holds_lock: bool
    """Whether it holds QEMU's global lock meanwhile; emulator only."""
    source: str = Field(min_length=1)

    @model_validator(mode="after")
    def _lock_is_the_emulators(self) -> Self:
        if self.holds_lock and self.thread != "emulator":
            raise ValueError(f"expected holds_lock with thread emulator only, found it with {self.thread}")
        return self


class GuestRequest(StrictModel):
    """Requests of a guest to a thread of its process: it writes to a doorbell, and is interrupted at the end."""

    name: Name
    thread: GuestThread = "vhost"
    arrival: Arrival
    duration: DistributionEntry
    """Of the thread's work."""
    interrupt: DistributionEntry
    """Of the interrupt by which it answers, in the guest."""
    vcpus: Literal["all", "rt", "other"] = "all"
    source: str = Field(min_length=1)


class VcpuExit(StrictModel):
    """Exits of a vCPU that QEMU handles, under its global lock."""

    name: Name
    arrival: Arrival
    duration: DistributionEntry
    vcpus: Literal["all", "rt", "other"] = "all"
    source: str = Field(min_length=1)


class MemoryFault(StrictModel):
    """Pages that a vCPU misses; whether it can depends on the guest's memory and the host's (`rtsim.scenario.memory`).

    ``first_touch``: the guest's running code touches pages it had not, counted as pages of 4 KiB; ``collapse``:
    khugepaged moves pages into a huge one; ``numa_hint``: NUMA balancing asks where a page is used; ``ksm``: a merged
    page is written; ``swap``: a page has been reclaimed.
    """

    name: Name
    reason: Literal["first_touch", "collapse", "numa_hint", "ksm", "swap"]
    arrival: Arrival
    """Per vCPU; of first_touch per second that it runs."""
    vcpus: Literal["all", "rt", "other"] = "all"
    source: str = Field(min_length=1)

    @model_validator(mode="after")
    def _rate_of_touches(self) -> Self:
        if self.reason == "first_touch" and self.arrival.poisson is None:
            raise ValueError(
                "expected arrival: {poisson: ...} with first_touch, whose rate depends on the size of pages"
            )
        return self


class PollEntry(StrictModel):
    """A fixed time between two looks at a clock."""

    constant: Duration = Field(ge=0)
    source: str = Field(min_length=1)


class WorkloadCosts(StrictModel):
    """What workloads do beside what they are told to."""

    clock_poll: PollEntry | None = None
    """Time between two readings of the CPU clock by tasks that compute for a given time; by default they read none."""
    activation: CostEntry | None = None
    """What one activation computes beside its work, such as clock readings; by default nothing."""


class Profile(StrictModel):
    """A machine's numbers. Read one with `rtsim.profile.load_profile`."""

    version: Literal[1] = Field(alias="schema")
    description: str = ""
    costs: Costs
    workload: WorkloadCosts = WorkloadCosts()
    noise: tuple[NoiseSource, ...] = ()
    guest_noise: tuple[NoiseSource, ...] = ()
    """Noise of the guest's own kernel, on the guest's CPUs."""
    emulator: tuple[WorkItem, ...] = ()
    vcpu_exits: tuple[VcpuExit, ...] = ()
    requests: tuple[GuestRequest, ...] = ()
    """What guests ask of threads of their processes: network packets, disk blocks."""
    memory_faults: tuple[MemoryFault, ...] = ()

    @model_validator(mode="after")
    def _guests_have_no_machine(self) -> Self:
        for source in self.guest_noise:
            if source.scope == "machine":
                raise ValueError(f"expected scope cpu in guest_noise, found machine with {source.name!r}")
        return self

    @model_validator(mode="after")
    def _names_once(self) -> Self:
        for section in ("noise", "guest_noise", "emulator", "vcpu_exits", "requests", "memory_faults"):
            names = [entry.name for entry in getattr(self, section)]
            twice = [name for name in names if names.count(name) > 1]
            if twice:
                raise ValueError(f"expected each name once in {section}, found '{twice[0]}' twice")
        return self

    def noise_on(self, isolation: Isolation, n_cpus: int | None = None) -> list[tuple[NoiseSource, tuple[int, ...]]]:
        """Return the host's noise sources with the CPUs they strike (see `placed`)."""
        return placed(self.noise, isolation, n_cpus)

    def guest_noise_on(
        self, isolation: Isolation, n_cpus: int | None = None
    ) -> list[tuple[NoiseSource, tuple[int, ...]]]:
        """Return the noise sources of a guest's kernel with the guest CPUs they strike (see `placed`)."""
        return placed(self.guest_noise, isolation, n_cpus)

    def guest_threads(self) -> frozenset[str]:
        """Return which threads of a guest's process have anything to do, of `GuestThread`."""
        return frozenset((*(item.thread for item in self.emulator), *(request.thread for request in self.requests)))

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{source.name}</td><td>{source.kind}</td><td>{source.arrival.rate_hz():.4g}</td>"
            f"<td>{source.duration.distribution().mean_ns / 1000:.4g}</td></tr>"
            for source in self.noise
        )
        return f"<table><tr><th>noise</th><th>class</th><th>1/s</th><th>mean us</th></tr>{rows}</table>"


def placed(
    sources: Sequence[NoiseSource], isolation: Isolation, n_cpus: int | None = None
) -> list[tuple[NoiseSource, tuple[int, ...]]]:
    """Return each source with the CPUs it strikes, those it is removed from left out.

    A ``per-cpu`` source comes once for each CPU, with that CPU alone. Sources left without a CPU are left out. Machine
    scope is all or nothing: the CPUs all stall, unless an argument removes the source from every one.

    Parameters
    ----------
    n_cpus
        Checked against `isolation` where given.

    Raises
    ------
    InputError
        A source names CPUs that do not exist.
    """
    if n_cpus is not None and n_cpus != len(isolation.cpus):
        raise InputError("profile", "noise", f"expected isolation for {n_cpus} CPUs, found {len(isolation.cpus)}")
    found: list[tuple[NoiseSource, tuple[int, ...]]] = []
    for source in sources:
        removed = frozenset[int]().union(*(isolation.removed_by(argument) for argument in source.removed_by))
        if source.scope == "machine":
            if removed < isolation.cpus:
                found.append((source, tuple(sorted(isolation.cpus))))
            continue
        cpus = tuple(sorted(_named(source, isolation) - removed))
        if source.cpus == "per-cpu":
            found.extend((source, (cpu,)) for cpu in cpus)
        elif cpus:
            found.append((source, cpus))
    return found


def _named(source: NoiseSource, isolation: Isolation) -> frozenset[int]:
    if isinstance(source.cpus, tuple):
        unknown = set(source.cpus) - isolation.cpus
        if unknown:
            raise InputError("profile", f"noise.{source.name}.cpus", f"expected CPUs that exist, found {min(unknown)}")
        return frozenset(source.cpus)
    sets = {"housekeeping": isolation.housekeeping, "isolated": isolation.isolated}
    return sets.get(source.cpus, isolation.cpus)
