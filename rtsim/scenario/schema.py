"""The scenario file as models: what may be written, key by key (the contract of ``rtsim run SCENARIO.yaml``)."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from rtsim.inputs.models import StrictModel
from rtsim.inputs.units import Duration, Rate
from rtsim.workload import CgroupModel, CyclictestModel, WorkloadModel
from rtsim.workload.policies import Cpus

__all__ = [
    "CpusetModel",
    "GuestModel",
    "HostModel",
    "InterruptsModel",
    "KernelModel",
    "MemoryModel",
    "MigrationModel",
    "OverridesModel",
    "ReplayModel",
    "ScenarioModel",
    "TopologyModel",
    "TunedModel",
]

MOST_DIRTY_PAGES = 1 << 20
"""Of a vCPU, in a round of a migration: each may become an event."""


class TopologyModel(StrictModel):
    """The hardware: regular, or from one file."""

    sockets: int | None = Field(default=None, ge=1)
    cores: int = Field(default=1, ge=1)
    threads: int = Field(default=1, ge=1)
    numa_nodes: int = Field(default=1, ge=1)
    memory_mib: int | None = Field(default=None, ge=1)
    numbering: Literal["spread", "adjacent"] = "spread"
    capabilities: str | None = None
    lscpu: str | None = None
    hwloc: str | None = None
    sysfs: str | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        forms = [name for name in ("sockets", *TOPOLOGY_FILES) if getattr(self, name) is not None]
        if len(forms) != 1:
            found = " and ".join(forms) or "none"
            raise ValueError(f"expected exactly one of sockets, {', '.join(TOPOLOGY_FILES)}, found {found}")
        beside = sorted(self.model_fields_set - set(forms))
        if self.sockets is None and beside:
            raise ValueError(f"expected {forms[0]} alone, found {beside[0]} beside it")
        return self


TOPOLOGY_FILES = ("capabilities", "lscpu", "hwloc", "sysfs")


class KernelModel(StrictModel):
    """A kernel's release and how it is set up; unset values are Debian's."""

    release: Any = "6.1"
    """Checked by `Kernel`, which knows why a bare 6.10 cannot be told from 6.1."""
    preempt: Literal["none", "voluntary", "full", "lazy", "rt"] | None = None
    hz: int = 250
    cmdline: str = ""
    config: dict[str, Any] = Field(default_factory=dict)
    """Build options: `rt_group_sched`, `irq_time_accounting` and, of guests, `paravirt_time_accounting`; all false in
    Debian's kernels."""
    sysctl: dict[str, Any] = Field(default_factory=dict)
    ablate: tuple[str, ...] = ()
    """Rules left out, one at a time, to see what each explains; for validation only."""


class TunedModel(StrictModel):
    """A profile of tuned: its ``tuned.conf`` or the folder of that, and values of its variables."""

    profile: str = Field(min_length=1)
    variables: dict[str, str | int] = Field(default_factory=dict)


class CpusetModel(StrictModel):
    """A cgroup's cpuset, by the names of its files."""

    cpus: Cpus | None = Field(default=None, alias="cpuset.cpus")
    partition: Literal["member", "root", "isolated"] = Field(default="member", alias="cpuset.cpus.partition")


class InterruptsModel(StrictModel):
    """Two copies of ``/proc/interrupts``, and one of ``/proc/irq``."""

    before: str
    after: str
    elapsed: Duration = Field(gt=0)
    affinity: str | None = None


class ReplayModel(StrictModel):
    """A recorded trace whose interrupts, softirqs and threads take the place of the profile's noise."""

    trace: str = Field(min_length=1)
    """A trace of any kind that rtsim reads, or a folder with one, such as ``rtsim record`` writes."""
    classes: tuple[Literal["hardware", "nmi", "irq", "softirq", "thread"], ...] = (
        "hardware", "nmi", "irq", "softirq", "thread",
    )  # fmt: skip
    """What is replayed; of the others the profile's noise stays, and that of hardware where the trace shows none."""
    workload: tuple[str, ...] = ()
    """Names or patterns (``redis*``) of threads that are no noise, beside tools that measure and vCPUs."""
    cpus: dict[int, int] | None = None
    """CPU of the recording: CPU of this host; CPUs that are not named are left out. By default each is itself."""
    cmdline: str | None = None
    """The kernel command line of the recording, whose isolation can remove nothing more; by default the one that the
    folder holds, or none."""
    after: Literal["refuse", "repeat"] = "refuse"
    """Where warm-up and duration are longer than the recording: refuse to run, or begin again after each length."""


class MemoryModel(StrictModel):
    """What the host does with its memory."""

    transparent_hugepage: Literal["always", "madvise", "never"] | None = None
    """By default as the command line says, always without."""
    ksm: bool = False
    """Whether ksmd merges equal pages (``/sys/kernel/mm/ksm/run``)."""
    committed: float = Field(default=1.0, gt=0, le=100)
    """Memory in use by guests and programs over what there is; above 1 the host reclaims pages all the time."""
    bandwidth: float = Field(default=0.0, ge=0, le=0.95)
    """Share of the memory bandwidth that programs other than the measured ones use."""


FrequencyShare = Annotated[float, Field(ge=0.1, le=4)]


class HostModel(StrictModel):
    """One compute node."""

    topology: TopologyModel
    kernel: KernelModel = KernelModel()
    tuned: TunedModel | None = None
    cpusets: dict[str, CpusetModel] = Field(default_factory=dict)
    interrupts: InterruptsModel | None = None
    replay: ReplayModel | None = None
    cgroups: Literal["libvirt", "flat"] = "libvirt"
    """Of guests' threads: as libvirt makes them (``/machine.slice/NAME.scope/libvirt/vcpu0``), or none."""
    memory: MemoryModel = MemoryModel()
    frequency: dict[Cpus, FrequencyShare] = Field(default_factory=dict)
    """At what share of the frequency that its work and costs are given for a CPU runs, where that is another."""
    profile: str = "tuned"
    profile_overrides: dict[str, Any] = Field(default_factory=dict)
    nova: dict[str, Any] = Field(default_factory=dict)


class OverridesModel(StrictModel):
    """What is changed about a guest after Nova has placed it, as in its domain XML."""

    vcpupin: Cpus | Literal["all"] | None = None
    """Host CPUs that all vCPUs float over; its memory is then bound to no node."""
    emulatorpin: Cpus | Literal["all", "vcpus"] | None = None
    """Host CPUs of the emulator thread; vcpus: those of all vCPUs, realtime ones too."""
    vcpusched: Literal["other", "fifo"] | None = None
    """Policy of the realtime vCPUs; of all but vCPU 0 where the flavor has none."""
    hugepages: Literal["none", "2 MiB", "1 GiB"] | None = None
    locked: bool | None = None
    nosharepages: bool | None = None
    pvspinlock: bool | None = None
    """Whether the guest's waiters for spinlocks can halt; by default as its CPU model has it."""
    hint_dedicated: bool | None = None
    """Whether it is told that its vCPUs have CPUs of their own; its spinlocks are then a bare machine's."""


class MigrationModel(StrictModel):
    """A live migration under way during the whole run: the guest's writes are logged, and its pages sent."""

    dirty_rate: Rate
    """Writes of each vCPU to pages of its working set, per second that it runs; each to any of them."""
    working_set: int = Field(default=65_536, ge=1, le=MOST_DIRTY_PAGES)
    """Pages of 4 KiB that each vCPU writes to."""
    round: Duration = Field(default=1_000_000_000, gt=0)
    """Time between two syncs: after each, the first write to a page counts again."""
    send_rate: Rate = Field(default=Fraction(30_000))
    """Pages that are sent per second, in windows of 100 ms; 30000 are 1 Gbit/s."""

    @model_validator(mode="after")
    def _not_too_many(self) -> Self:
        if self.dirty_rate * self.round / 10**9 > MOST_DIRTY_PAGES:
            raise ValueError(f"expected at most {MOST_DIRTY_PAGES} writes a round")
        return self


class GuestModel(StrictModel):
    """One guest: a flavor that Nova places, or a domain whose pins stand."""

    name: str = Field(min_length=1, max_length=100, pattern=r"^[^/\s]+$")
    flavor: str | dict[str, Any] | None = None
    domain: str | None = None
    image: str | dict[str, Any] = Field(default_factory=dict)
    overrides: OverridesModel = OverridesModel()
    kernel: KernelModel = KernelModel()
    timer_delivery: Literal["kvm", "emulator"] = "kvm"
    """Who fires the guest's timers: KVM, or the emulator thread, as QEMU without KVM does."""
    migration: MigrationModel | None = None
    """A live migration of this guest to another host; none by default."""
    workload: WorkloadModel = WorkloadModel(cyclictest=CyclictestModel())

    @model_validator(mode="after")
    def _flavor_or_domain(self) -> Self:
        if (self.flavor is None) == (self.domain is None):
            raise ValueError("expected either flavor or domain")
        if self.domain is not None and "image" in self.model_fields_set:
            raise ValueError("expected an image with a flavor only, found one beside a domain")
        if self.name == "host":
            raise ValueError("expected a name other than host, which the host's own CPUs and tasks have")
        return self


class RankByModel(StrictModel):
    """What variants are ranked by."""

    task: str | None = None
    quantile: float = Field(default=0.9999, gt=0, le=1)
    over: Literal["worst", "all"] = "worst"


class ScenarioModel(StrictModel):
    """A whole scenario file; variants are merge patches, checked when they are applied."""

    host: HostModel
    guests: tuple[GuestModel, ...] = ()
    cgroups: dict[str, CgroupModel] = Field(default_factory=dict)
    """Of the host, by path."""
    workload: WorkloadModel = WorkloadModel()
    """What runs on the host itself."""
    observe: tuple[str, ...] | None = None
    variants: dict[str, dict[str, Any]] = Field(default_factory=dict)
    rank_by: RankByModel = RankByModel()
    replications: int = Field(default=10, ge=1, le=10_000)
    duration: Duration = Field(gt=0)
    warmup: Duration = Field(default=1_000_000_000, ge=0)
    seed: int = Field(default=1, ge=0, lt=2**63)

    @model_validator(mode="after")
    def _names_once(self) -> Self:
        names = [guest.name for guest in self.guests]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"expected each guest's name once, found {twice[0]!r} twice")
        return self
