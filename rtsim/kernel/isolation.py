"""Which CPUs are kept free of what: the housekeeping sets that follow from a command line on given CPUs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rtsim.inputs.cpulist import format_cpulist
from rtsim.inputs.errors import InputError
from rtsim.kernel.commandline import CommandLine, kernel_cpulist

__all__ = ["Isolation"]

Cpus = frozenset[int]
NOBODY: Cpus = frozenset()


@dataclass(frozen=True)
class Isolation:
    """The sets, each a frozenset of CPU numbers (reference: kernel/sched/isolation.c, kernel-parameters.txt)."""

    cpus: Cpus
    """All CPUs."""
    domain: Cpus
    """In no scheduling domain: no balancing, no placement at wake-up (``isolcpus=[domain,]``)."""
    nohz_full: Cpus
    """Where the tick stops with a single runnable task (``nohz_full=``, ``isolcpus=nohz``)."""
    rcu_nocbs: Cpus
    """Whose RCU callbacks run elsewhere (``rcu_nocbs=``; implied by ``nohz_full=``)."""
    managed_irq: Cpus
    """Avoided by managed interrupts (``isolcpus=managed_irq``)."""
    irq_affinity: Cpus
    """Where device interrupts go by default (``irqaffinity=``; otherwise everywhere)."""
    kthread_cpus: Cpus
    """Where unbound kernel threads run (``kthread_cpus=``; otherwise the housekeeping CPUs)."""
    command_line: CommandLine

    @classmethod
    def of(cls, command_line: CommandLine, cpus: Iterable[int]) -> Isolation:
        """Return the sets that `command_line` gives on `cpus`.

        Raises
        ------
        InputError
            It names CPUs that do not exist, leaves none for housekeeping, or contradicts itself.
        """
        everyone = frozenset(cpus)
        source = command_line.source
        n = max(everyone, default=-1) + 1

        def named(argument: str) -> Cpus | None:
            return _existing(command_line.cpus(argument, n), argument, everyone, source)

        by_flag = dict.fromkeys(("domain", "managed_irq", "nohz"), NOBODY)
        isolcpus = command_line.isolcpus
        if isolcpus is not None:
            flags, text = isolcpus
            listed = _existing(kernel_cpulist(text, n, "isolcpus", source), "isolcpus", everyone, source) or NOBODY
            by_flag.update(dict.fromkeys(flags, listed))
        nohz_full = named("nohz_full") or NOBODY
        if nohz_full and by_flag["nohz"] and nohz_full != by_flag["nohz"]:
            raise InputError(source, "nohz_full", "the kernel says: Housekeeping: nohz_full= must match isolcpus=")
        isolated = by_flag["domain"] | nohz_full | by_flag["nohz"]
        if everyone <= isolated:
            isolates = format_cpulist(isolated)
            raise InputError(source, "", f"expected at least one CPU left for housekeeping, {isolates} are isolated")
        return cls(
            cpus=everyone,
            domain=by_flag["domain"],
            nohz_full=nohz_full | by_flag["nohz"],
            rcu_nocbs=(named("rcu_nocbs") or NOBODY) | nohz_full,
            managed_irq=by_flag["managed_irq"],
            irq_affinity=named("irqaffinity") or everyone,
            kthread_cpus=named("kthread_cpus") or everyone - isolated,
            command_line=command_line,
        )

    @property
    def isolated(self) -> Cpus:
        """Domain-isolated or nohz_full."""
        return self.domain | self.nohz_full

    @property
    def housekeeping(self) -> Cpus:
        """The rest: where the kernel's own work goes."""
        return self.cpus - self.isolated

    def removed_by(self, argument: str) -> Cpus:
        """Return the CPUs that `argument`, if given, keeps free of what it removes.

        ``isolcpus`` (its domain flag), ``isolcpus=managed_irq``, ``nohz_full`` and ``rcu_nocbs`` free the CPUs they
        name, ``irqaffinity`` and ``kthread_cpus`` those they do not name, any other argument (``nowatchdog``,
        ``nmi_watchdog=0``) frees all.
        """
        sets = {
            "isolcpus": self.domain,
            "isolcpus=domain": self.domain,
            "isolcpus=managed_irq": self.managed_irq,
            "isolcpus=nohz": self.nohz_full,
            "nohz_full": self.nohz_full,
            "rcu_nocbs": self.rcu_nocbs,
            "irqaffinity": self.cpus - self.irq_affinity,
        }
        if argument in sets:
            return sets[argument]
        if argument == "kthread_cpus":
            return self.cpus - self.kthread_cpus if self.command_line.has(argument) else NOBODY
        return self.cpus if self.command_line.has(argument) else NOBODY


def _existing(named: Cpus | None, argument: str, everyone: Cpus, source: str) -> Cpus | None:
    unknown = (named or NOBODY) - everyone
    if unknown:
        exist = format_cpulist(everyone)
        raise InputError(source, argument, f"expected CPUs of {exist}, found {format_cpulist(unknown)}")
    return named
