"""Cgroups of a scenario: their files as written, checked as the kernel does, and the rows they become."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from rtsim.engine.builder import Builder
from rtsim.engine.constants import NONE
from rtsim.engine.random import uniform_below
from rtsim.inputs.cpulist import format_cpulist
from rtsim.inputs.errors import InputError, shown
from rtsim.inputs.models import StrictModel
from rtsim.kernel import NICE_0_WEIGHT, Kernel, features, shares_of_weight
from rtsim.workload.policies import REALTIME, Cpus

__all__ = ["CgroupModel", "Cgroups", "checked_path"]

US = 1_000
LEAST_QUOTA_US = 1_000
PERIOD_US = (1_000, 1_000_000)
DEFAULT_PERIOD_US = 100_000
"""Of cpu.max (kernel/sched/core.c: tg_set_cfs_bandwidth)."""
IDLE_SINCE = (5, 15)
LIMIT = 2**40
EINVAL = "the kernel says: write error: Invalid argument"


class Bandwidth(StrictModel):
    """cpu.max, in us; no quota: no limit."""

    quota: int | None = None
    period: int = DEFAULT_PERIOD_US


_CPU_MAX = re.compile(r"(max|\d{1,13})(?:\s+(\d{1,13}))?", re.ASCII)


def _bandwidth(value: Any) -> Any:
    match = _CPU_MAX.fullmatch(str(value).strip())
    if match is None:
        raise ValueError(f"expected cpu.max as 'QUOTA PERIOD' in us, 'QUOTA' or 'max', found {shown(value)}; {EINVAL}")
    quota = None if match[1] == "max" else int(match[1])
    period = int(match[2] or DEFAULT_PERIOD_US)
    if (quota is not None and quota < LEAST_QUOTA_US) or not PERIOD_US[0] <= period <= PERIOD_US[1]:
        expected = f"a quota of at least {LEAST_QUOTA_US} us and a period of {PERIOD_US[0]} to {PERIOD_US[1]} us"
        raise ValueError(f"expected {expected}, found {shown(value)}; {EINVAL}")
    return {"quota": quota, "period": period}


class CgroupModel(StrictModel):
    """The files of one cgroup; cpu.shares is cgroup v1's cpu.weight."""

    shares: int | None = Field(default=None, ge=2, le=262_144, alias="cpu.shares")
    """By default 1024."""
    weight: int | None = Field(default=None, ge=1, le=10_000, alias="cpu.weight")
    """By default 100, which is cpu.shares of 1024."""
    bandwidth: Annotated[Bandwidth, BeforeValidator(_bandwidth)] = Field(default=Bandwidth(), alias="cpu.max")
    """``QUOTA PERIOD`` in us, or ``max``."""
    period_phase: int | None = Field(default=None, ge=0, le=LIMIT)
    """When its periods end, in us after whole ones since boot; no file of the kernel. By default as there: at 0 up to
    6.3, drawn (from the seed) since 6.4."""
    burst: int = Field(default=0, ge=0, le=LIMIT, alias="cpu.max.burst")
    """In us, up to the quota."""
    idle: Literal[0, 1] = Field(default=0, alias="cpu.idle")
    """1: weighs 3, and gives way as SCHED_IDLE does; from 5.15 on."""
    rt_runtime: int | None = Field(default=None, ge=-1, le=LIMIT, alias="cpu.rt_runtime_us")
    """With CONFIG_RT_GROUP_SCHED; -1: no limit. By default 0: no realtime task may join."""
    rt_period: int = Field(default=1_000_000, ge=1, le=LIMIT, alias="cpu.rt_period_us")
    cpus: Cpus | None = Field(default=None, alias="cpuset.cpus")
    """By default those of its parent."""

    @model_validator(mode="after")
    def _one_version(self) -> Self:
        if self.shares is not None and self.weight is not None:
            raise ValueError("expected either cpu.shares (cgroup v1) or cpu.weight (v2), found both")
        if self.idle and (self.shares is not None or self.weight is not None):
            raise ValueError(f"expected no weight beside cpu.idle: 1, which has weight 3; {EINVAL}")
        if self.burst and (self.bandwidth.quota is None or self.burst > self.bandwidth.quota):
            raise ValueError(f"expected cpu.max.burst up to the quota of cpu.max, found {self.burst}; {EINVAL}")
        if self.rt_runtime is not None and self.rt_runtime > self.rt_period:
            raise ValueError(f"expected cpu.rt_runtime_us <= cpu.rt_period_us, found {self.rt_runtime}; {EINVAL}")
        return self

    def effective_shares(self) -> int:
        """Return cpu.shares in force."""
        if self.shares is not None:
            return self.shares
        return NICE_0_WEIGHT if self.weight is None else shares_of_weight(self.weight)


def checked_path(path: str) -> str:
    """Return a cgroup's path without a closing slash; raise ValueError if it is none."""
    parts = path.rstrip("/").split("/")
    if not path.startswith("/") or any(part in ("", ".", "..") for part in parts[1:]) or len(path) > 4096:
        raise ValueError(f"expected a cgroup's path from the root, such as /A/b, found {shown(path)}")
    return path.rstrip("/")


@dataclass(frozen=True)
class Cgroups:
    """The cgroups of a host or guest by path, parents that nobody named included; the root is the empty path."""

    models: Mapping[str, CgroupModel]
    kernel: Kernel
    source: str

    @classmethod
    def of(cls, written: Mapping[str, CgroupModel], used: Iterable[str], kernel: Kernel, source: str) -> Cgroups:
        """Return the cgroups `written`, those `used` by tasks, and all parents, parents first.

        Raises
        ------
        InputError
            A path or a value is none that `kernel` accepts.
        """
        models: dict[str, CgroupModel] = {}
        for path in (*written, *used):
            try:
                parts = checked_path(path).split("/")[1:]
            except ValueError as error:
                raise InputError(source, "cgroups", str(error)) from None
            for depth in range(1, len(parts) + 1):
                models.setdefault("/" + "/".join(parts[:depth]), CgroupModel())
            if path in written:
                if not parts:
                    raise InputError(
                        source, f"cgroups.{path}", "expected a cgroup below the root, which has no such files"
                    )
                models["/" + "/".join(parts)] = written[path]
        found = cls(models, kernel, source)
        for path in models:
            found._check(path)
        return found

    def _refuse(self, path: str, file: str, expected: str) -> InputError:
        return InputError(self.source, f"cgroups.{path}: {file}", expected)

    def _check(self, path: str) -> None:
        model = self.models[path]
        release = (self.kernel.release.major, self.kernel.release.minor)
        if model.idle and release < IDLE_SINCE:
            raise self._refuse(path, "cpu.idle", "expected a kernel from 5.15 on, which is the first to have it")
        if model.rt_runtime is not None and not self._rt_groups():
            raise self._refuse(path, "cpu.rt_runtime_us", "expected a kernel with config: {rt_group_sched: true}")
        if model.cpus is not None and not self.cpus_of(path, model.cpus):
            outside = f"expected CPUs of its parent, found {format_cpulist(model.cpus)}; {EINVAL}"
            raise self._refuse(path, "cpuset.cpus", outside)
        self._check_rt_bandwidth(path)

    def _check_rt_bandwidth(self, path: str) -> None:
        parent = path.rpartition("/")[0]
        siblings = [other for other in self.models if other.rpartition("/")[0] == parent]
        if sum(map(self._rt_share, siblings)) > self._rt_share(parent):
            expected = f"expected groups of {parent or '/'} that together get no more realtime than it has"
            raise self._refuse(path, "cpu.rt_runtime_us", f"{expected}; {EINVAL}")

    def _rt_share(self, path: str) -> Fraction:
        if not path:
            runtime = self.kernel.rt_runtime_ns
            return Fraction(1) if runtime is None else Fraction(runtime, self.kernel.rt_period_ns)
        model = self.models[path]
        runtime = model.rt_runtime or 0
        return Fraction(1) if runtime < 0 else Fraction(runtime, model.rt_period)

    def _rt_groups(self) -> bool:
        return bool(self.kernel.config["rt_group_sched"])

    def cpus_of(self, path: str, cpus: tuple[int, ...]) -> tuple[int, ...]:
        """Return those of `cpus` that the cpusets of `path` and its parents leave."""
        allowed = set(cpus)
        while path:
            model = self.models[path]
            allowed &= allowed if model.cpus is None else set(model.cpus)
            path = path.rpartition("/")[0]
        return tuple(sorted(allowed))

    def check_policy(self, path: str, policy: str, place: str) -> None:
        """Raise InputError if the kernel lets no task of `policy` into the cgroup (sched_setscheduler: EPERM)."""
        if policy in REALTIME and self._rt_groups() and path and self.models[path].rt_runtime in (None, 0):
            expected = f"expected cpu.rt_runtime_us of {path} above 0 for a task of policy {policy}"
            eperm = "the kernel says: sched_setscheduler: EPERM: Operation not permitted (CONFIG_RT_GROUP_SCHED)"
            raise InputError(self.source, place, f"{expected}; {eperm}")

    def add(self, builder: Builder, kernel: int = 0) -> dict[str, int]:
        """Add them to a state, for the kernel in row `kernel`; return their rows by path, NONE for the root."""
        rows = {"": NONE}
        for path, model in self.models.items():
            runtime = (model.rt_runtime or 0) * US if self._rt_groups() and model.rt_runtime != -1 else NONE
            rows[path] = builder.group(
                path, kernel=kernel, parent=rows[path.rpartition("/")[0]], shares=model.effective_shares(),
                idle=model.idle == 1,
                quota_ns=NONE if model.bandwidth.quota is None else model.bandwidth.quota * US,
                period_ns=model.bandwidth.period * US, burst_ns=model.burst * US,
                phase_ns=self._period_phase_ns(path, builder.seed), rt_runtime_ns=runtime,
                rt_period_ns=model.rt_period * US,
            )  # fmt: skip
        return rows

    def _period_phase_ns(self, path: str, seed: int) -> int:
        """Return when its periods end: init_cfs_bandwidth() draws from the default period before it is set."""
        model = self.models[path]
        if model.period_phase is not None:
            return model.period_phase * US
        if not features(self.kernel.release, 1).random_cfs_period:
            return 0
        return uniform_below(seed, path, "cfs_period", DEFAULT_PERIOD_US * US)
