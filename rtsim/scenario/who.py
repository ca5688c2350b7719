"""Who can take a CPU from the thread that has it: the answer behind ``rtsim who``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rtsim.inputs.errors import InputError, shown
from rtsim.kernel.classes import Verdict, verdict
from rtsim.kernel.isolation import ARGUMENTS
from rtsim.scenario.cpu_sources import CpuSource, HostTask, guards_on, sources_on
from rtsim.scenario.cpu_warnings import cpu_warnings

if TYPE_CHECKING:
    import pandas as pd

    from rtsim.scenario.host import Host

__all__ = ["Who", "who_can_preempt"]

POLICIES = ("fifo", "rr", "other", "batch", "idle")
ORDER: Mapping[Verdict, int] = {"yes": 0, "turns": 1, "no": 2}


@dataclass(frozen=True)
class Who:
    """Everything that can run on one CPU, seen from a thread of a given policy and priority there."""

    cpu: int
    policy: str
    priority: int
    sources: tuple[tuple[CpuSource, Verdict], ...]
    """What it is, and whether it takes the CPU: ``yes``; ``turns``, as equals do; ``no``, it waits."""
    arguments: Mapping[str, tuple[str, ...]] = field(hash=False)
    """Kernel argument or setting that is not in force for this CPU -> what it would remove from it."""
    warnings: tuple[str, ...]

    def names(self, taken: Verdict) -> list[str]:
        """Return the names of the sources with that verdict."""
        return [source.name for source, found in self.sources if found == taken]

    def frame(self) -> pd.DataFrame:
        """Return the sources as a frame, a row each; costs in us."""
        import pandas as pd

        rows = [
            {
                "source": source.name, "class": source.kind, "policy": source.policy, "priority": source.priority,
                "rate_hz": source.rate_hz, "mean_us": _us(source.mean_ns), "max_us": _us(source.max_ns),
                "preempts": found, "removed_by": ", ".join(source.removed_by),
            }
            for source, found in self.sources
        ]  # fmt: skip
        return pd.DataFrame(rows).set_index("source")

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data, times in ns."""
        return {
            "schema": 1, "cpu": self.cpu, "policy": self.policy, "priority": self.priority,
            "sources": [
                {**asdict(source), "removed_by": list(source.removed_by), "preempts": found}
                for source, found in self.sources
            ],
            "arguments": {argument: list(removed) for argument, removed in self.arguments.items()},
            "warnings": list(self.warnings),
        }  # fmt: skip

    def _repr_html_(self) -> str:
        return str(self.frame()._repr_html_())  # type: ignore[operator]


def who_can_preempt(
    host: Host, cpu: int, policy: str = "fifo", priority: int = 1, tasks: Iterable[HostTask] = ()
) -> Who:
    """Return who can take `cpu` from a thread of `policy` and `priority`.

    Parameters
    ----------
    host
        The host.
    cpu
        One of its CPUs.
    policy, priority
        Of the thread: fifo or rr with 1 to 99; other, batch or idle, whose priority does not count. By default those
        of a realtime vCPU as Nova sets them.
    tasks
        Other threads of the host that a scenario knows of.

    Raises
    ------
    InputError
        There is no such CPU or policy, or the priority is out of range.
    """
    host.topology.cpu(cpu)
    _check(policy, priority)
    others = tuple(tasks)
    isolation = host.isolation
    sources = sources_on(host, isolation, cpu, others)
    names = {source.name for source in sources}
    arguments = {}
    for argument in ARGUMENTS:
        try:
            left = sources_on(host, isolation.with_argument(argument, cpu), cpu, others)
        except InputError:  # nothing would be left to run elsewhere: the kernel does not do that
            continue
        removed = names - {source.name for source in left}
        removed |= {source.name for source in sources if argument in source.removed_by}
        if removed:
            arguments[argument] = tuple(source.name for source in sources if source.name in removed)
    guards = tuple(guards_on(host, cpu, policy))
    arguments.update({guard.removed_by[0]: (guard.name,) for guard in guards})
    sources = [_with_arguments(source, arguments) for source in sources]
    seen = [(source, _seen(source, policy, priority)) for source in (*sources, *guards)]
    seen.sort(key=lambda item: ORDER[item[1]])
    warnings = tuple(cpu_warnings(host, cpu, policy, priority, seen, others))
    return Who(cpu, policy, priority, tuple(seen), arguments, warnings)


def _check(policy: str, priority: int) -> None:
    if policy not in POLICIES:
        raise InputError("policy", "", f"expected one of {', '.join(POLICIES)}, found {shown(policy)}")
    if policy in ("fifo", "rr") and not 1 <= priority <= 99:
        raise InputError("priority", "", f"expected 1 to 99 with {policy}, found {priority}")


def _with_arguments(source: CpuSource, arguments: Mapping[str, tuple[str, ...]]) -> CpuSource:
    removing = tuple(argument for argument, names in arguments.items() if source.name in names)
    return replace(source, removed_by=removing + tuple(name for name in source.removed_by if name not in removing))


def _seen(source: CpuSource, policy: str, priority: int) -> Verdict:
    if source.kind != "thread":
        return "yes"
    assert source.policy is not None
    return verdict(source.policy, source.priority or 0, policy, priority)


def _us(ns: float | None) -> float | None:
    return None if ns is None else ns / 1000
