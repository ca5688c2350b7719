"""The scenario file as models: what may be written, key by key (the contract of ``rtsim run SCENARIO.yaml``)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from rtsim.inputs.cpulist import parse_cpulist
from rtsim.inputs.errors import InputError
from rtsim.inputs.models import StrictModel
from rtsim.inputs.units import Duration

__all__ = ["CyclictestModel", "GuestModel", "HostModel", "KernelModel", "ScenarioModel", "TaskModel"]

Policy = Literal["fifo", "rr", "other", "batch", "idle"]


def _cpulist(value: Any) -> tuple[int, ...]:
    try:
        cpus = parse_cpulist(value)
    except InputError as error:
        raise ValueError(error.expected) from None
    if not cpus:
        raise ValueError("expected at least one CPU")
    return cpus


Cpus = Annotated[tuple[int, ...], BeforeValidator(_cpulist)]


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
    sysctl: dict[str, Any] = Field(default_factory=dict)


class HostModel(StrictModel):
    """One compute node."""

    topology: TopologyModel
    kernel: KernelModel = KernelModel()
    profile: str = "tuned"
    profile_overrides: dict[str, Any] = Field(default_factory=dict)
    nova: dict[str, Any] = Field(default_factory=dict)


class CyclictestModel(StrictModel):
    """cyclictest, one thread a CPU."""

    interval: Duration = Field(default=1_000_000, gt=0)
    policy: Policy = "fifo"
    priority: int = Field(default=95, ge=-20, le=99)
    cpus: Literal["rt"] | Cpus = "rt"

    @model_validator(mode="after")
    def _priority_of_policy(self) -> Self:
        _check_priority(self.policy, self.priority if "priority" in self.model_fields_set else None)
        return self

    def effective_priority(self) -> int:
        """Return the priority: by default 95 for realtime policies and nice 0 for the others."""
        if "priority" in self.model_fields_set:
            return self.priority
        return 95 if self.policy in ("fifo", "rr") else 0


def _check_priority(policy: str, priority: int | None) -> None:
    if priority is None:
        return
    if policy in ("fifo", "rr") and not 1 <= priority <= 99:
        raise ValueError(f"expected a priority of 1 to 99 with {policy}, found {priority}")
    if policy not in ("fifo", "rr") and not -20 <= priority <= 19:
        raise ValueError(f"expected a nice value of -20 to 19 with {policy}, found {priority}")


class WorkloadModel(StrictModel):
    """What runs in a guest."""

    cyclictest: CyclictestModel | None = None


class GuestModel(StrictModel):
    """One guest: a flavor that Nova places, or a domain whose pins stand."""

    name: str = Field(min_length=1, max_length=100, pattern=r"^[^/\s]+$")
    flavor: str | dict[str, Any] | None = None
    domain: str | None = None
    image: str | dict[str, Any] = Field(default_factory=dict)
    kernel: KernelModel = KernelModel()
    workload: WorkloadModel = WorkloadModel(cyclictest=CyclictestModel())

    @model_validator(mode="after")
    def _flavor_or_domain(self) -> Self:
        if (self.flavor is None) == (self.domain is None):
            raise ValueError("expected either flavor or domain")
        return self


SCHED_POLICIES = {
    "SCHED_FIFO": "fifo", "SCHED_RR": "rr", "SCHED_OTHER": "other", "SCHED_BATCH": "batch", "SCHED_IDLE": "idle",
}  # fmt: skip


class TimerModel(StrictModel):
    """rt-app's timer: an absolute period in us."""

    ref: str = "unique"
    period: int = Field(gt=0)
    mode: Literal["absolute"] = "absolute"


class TaskModel(StrictModel):
    """A host task in rt-app's words (times in us): one run a period, or one run without end (``run: -1``)."""

    policy: Literal["SCHED_FIFO", "SCHED_RR", "SCHED_OTHER", "SCHED_BATCH", "SCHED_IDLE"] = "SCHED_OTHER"
    priority: int | None = None
    cpus: Cpus | None = None
    loop: Literal[-1] = -1
    run: int = Field(ge=-1)
    timer: TimerModel | None = None
    delay: int = Field(default=0, ge=0)
    overrun: Literal["catch_up", "skip"] = "catch_up"
    timer_slack: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _check_priority(SCHED_POLICIES[self.policy], self.priority)
        if self.run == -1 and (self.timer is not None or self.delay):
            raise ValueError("expected neither timer nor delay with run: -1, which never ends")
        if self.run != -1 and self.timer is None:
            raise ValueError("expected a timer with a run that ends")
        return self


class HostWorkloadModel(StrictModel):
    """What runs on the host itself."""

    tasks: dict[str, TaskModel] = Field(default_factory=dict)
    cyclictest: CyclictestModel | None = None


class RankByModel(StrictModel):
    """What variants are ranked by."""

    task: str | None = None
    quantile: float = Field(default=0.9999, gt=0, le=1)
    over: Literal["worst", "all"] = "worst"


class ScenarioModel(StrictModel):
    """A whole scenario file; variants are merge patches, checked when they are applied."""

    host: HostModel
    guests: tuple[GuestModel, ...] = ()
    workload: HostWorkloadModel = HostWorkloadModel()
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
