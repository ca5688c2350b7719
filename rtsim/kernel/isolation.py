"""Which CPUs are kept free of what: what follows from the command line, and from masks written after boot.

The sets are those of ``kernel/sched/isolation.c`` (its housekeeping types are their complements) and of the masks that
start from them. Each mechanism removes exactly what is listed with it; what stays is in the manual's guide to
isolation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from rtsim.inputs.cpulist import format_cpulist
from rtsim.inputs.errors import InputError
from rtsim.kernel.commandline import CommandLine, kernel_cpulist
from rtsim.kernel.cpusets import Cpuset

__all__ = ["ARGUMENTS", "Isolation", "Masks"]

Cpus = frozenset[int]
NOBODY: Cpus = frozenset()

NOHZ_IS_NOHZ_FULL_SINCE = (6, 14)
"""Since then ``isolcpus=nohz`` moves all that ``nohz_full=`` moves; before, the tick and RCU callbacks only."""
UNBOUND_CPUS_SINCE = (6, 6)
"""``workqueue.unbound_cpus=``; older kernels ignore it."""
PARTITIONS_MOVE_WORKERS_SINCE = (6, 7)
"""Since then isolated partitions leave the mask of unbound workqueues."""

ARGUMENTS = (
    "isolcpus", "isolcpus=managed_irq", "nohz_full", "rcu_nocbs", "irqaffinity", "kthread_cpus", "nowatchdog",
    "nosoftlockup", "nmi_watchdog=0", "cpuset", "workqueue",
)  # fmt: skip
"""What frees CPUs of something: kernel arguments, a cpuset partition, the mask of unbound workqueues."""


@dataclass(frozen=True)
class Masks:
    """What is written under /proc, /sys and the cgroup file system after boot; None: left alone."""

    workqueue: Cpus | None = None
    """``/sys/devices/virtual/workqueue/cpumask``."""
    irq: Cpus | None = None
    """``/proc/irq/default_smp_affinity``, and the affinity of the device interrupts that can move."""
    tasks: Cpus | None = None
    """Where tasks, and kernel threads that can move, were put one by one (tuned's ``isolated_cores``)."""
    cpusets: tuple[Cpuset, ...] = ()


@dataclass(frozen=True)
class Isolation:
    """The sets, each a frozenset of CPU numbers."""

    cpus: Cpus
    """All CPUs."""
    domain: Cpus
    """In no scheduling domain: no balancing, no placement at wake-up (``isolcpus=[domain,]``, isolated partitions)."""
    nohz_full: Cpus
    """Where the tick stops with a single runnable task (``nohz_full=``, ``isolcpus=nohz``); never the boot CPU."""
    rcu_nocbs: Cpus
    """Whose RCU callbacks run elsewhere (``rcu_nocbs=``; implied where the tick may stop)."""
    managed_irq: Cpus
    """Avoided by managed interrupts while another CPU of their mask is on line (``isolcpus=managed_irq``)."""
    irq_affinity: Cpus
    """Where device interrupts go by default (``irqaffinity=`` and the boot CPU; otherwise everywhere)."""
    kthread_cpus: Cpus
    """Where unbound kernel threads run (``kthread_cpus=``; otherwise what isolation leaves)."""
    worker_cpus: Cpus
    """Where unbound kworkers run (the workqueue mask)."""
    timers_leave: Cpus
    """From which timers that are not pinned go to a housekeeping CPU (``nohz_full=``)."""
    task_cpus: Cpus
    """Where tasks run that nobody gave a mask or a cpuset."""
    command_line: CommandLine
    cpusets: tuple[Cpuset, ...] = ()

    @classmethod
    def of(
        cls,
        command_line: CommandLine,
        cpus: Iterable[int],
        *,
        series: tuple[int, int] = (6, 1),
        masks: Masks = Masks(),
    ) -> Isolation:
        """Return the sets that `command_line` and `masks` give on `cpus`, for a kernel of `series`.

        Raises
        ------
        InputError
            They name CPUs that do not exist, leave none for housekeeping, or contradict each other; where the kernel
            has words for that, the error quotes them.
        """
        everyone = frozenset(cpus)
        boot = _Boot.of(command_line, everyone, series)
        source = command_line.source
        own_root = frozenset().union(*(each.owned for each in masks.cpusets))
        isolated_partitions = frozenset().union(*(each.cpus for each in masks.cpusets if each.partition == "isolated"))
        domain = boot.domain | isolated_partitions
        timekeeper = frozenset({min(everyone)}) if everyone else NOBODY
        nohz_full = (boot.nohz_full | boot.nohz) - timekeeper
        movable = (everyone - domain - own_root) & _written(masks.tasks, everyone, everyone)
        irqaffinity = _named(command_line, "irqaffinity", everyone)
        workers = _workers(command_line, everyone - boot.noise - boot.domain, everyone, series)
        if series >= PARTITIONS_MOVE_WORKERS_SINCE:
            workers -= isolated_partitions
        return cls(
            cpus=everyone,
            domain=domain,
            nohz_full=nohz_full,
            rcu_nocbs=(_named(command_line, "rcu_nocbs", everyone) or NOBODY) | nohz_full,
            managed_irq=boot.managed_irq,
            irq_affinity=_written(masks.irq, everyone, (irqaffinity | timekeeper) if irqaffinity else everyone),
            kthread_cpus=_left(
                _named(command_line, "kthread_cpus", everyone) or movable - boot.noise, source, "kernel threads"
            ),
            worker_cpus=_left(_written(masks.workqueue, everyone, workers), source, "unbound workqueues"),
            timers_leave=boot.noise,
            task_cpus=_left(movable, source, "tasks"),
            command_line=command_line,
            cpusets=masks.cpusets,
        )

    @property
    def isolated(self) -> Cpus:
        """Domain-isolated or nohz_full."""
        return self.domain | self.nohz_full

    @property
    def housekeeping(self) -> Cpus:
        """The rest: where the kernel's own work goes."""
        return self.cpus - self.isolated

    @property
    def root_domains(self) -> tuple[Cpus, ...]:
        """CPUs between which realtime and deadline tasks move: the balanced ones, each partition, the isolated ones.

        CPUs without scheduling domain, by ``isolcpus`` or in isolated partitions, stay together in the default root
        domain, where realtime tasks are still pushed and pulled.
        """
        roots = [each.cpus for each in self.cpusets if each.partition == "root"]
        balanced = self.cpus - self.domain - frozenset().union(*roots)
        found = [cpus - self.domain for cpus in (balanced, *roots)]
        return tuple(cpus for cpus in (*found, self.domain) if cpus)

    def root_domain_of(self, cpu: int) -> int:
        """Return the place of the root domain of `cpu` among `root_domains`."""
        return next(number for number, cpus in enumerate(self.root_domains) if cpu in cpus)

    def removed_by(self, argument: str) -> Cpus:
        """Return the CPUs that `argument`, if given, keeps free of what it removes.

        ``isolcpus`` (its domain flag), ``isolcpus=managed_irq``, ``nohz_full`` and ``rcu_nocbs`` free the CPUs they
        name, ``irqaffinity``, ``kthread_cpus`` and ``workqueue`` (the mask of unbound workqueues) those they do not
        name, ``cpuset`` those that tasks of other cgroups may not use or were moved away from, any other argument
        (``nowatchdog``, ``nmi_watchdog=0``) frees all.
        """
        sets = {
            "isolcpus": self.domain,
            "isolcpus=domain": self.domain,
            "isolcpus=managed_irq": self.managed_irq,
            "isolcpus=nohz": self.nohz_full,
            "nohz_full": self.nohz_full,
            "rcu_nocbs": self.rcu_nocbs,
            "irqaffinity": self.cpus - self.irq_affinity,
            "workqueue": self.cpus - self.worker_cpus,
            "cpuset": self.cpus - self.task_cpus,
        }
        if argument in sets:
            return sets[argument]
        if argument == "kthread_cpus":
            return self.cpus - self.kthread_cpus if self.command_line.has(argument) else NOBODY
        return self.cpus if self.command_line.has(argument) else NOBODY

    def with_argument(self, argument: str, cpu: int) -> Isolation:
        """Return the sets as they would be if `argument` (of `ARGUMENTS`) freed `cpu` too.

        Raises
        ------
        InputError
            Nothing would be left for what must run somewhere, or the kernel keeps the boot CPU where it is.
        """
        own, source = frozenset({cpu}), self.command_line.source
        if argument == "isolcpus":
            found = replace(self, domain=self.domain | own, **self._without(own, "kthread", "worker", "task"))
        elif argument == "isolcpus=managed_irq":
            found = replace(self, managed_irq=self.managed_irq | own)
        elif argument == "nohz_full":
            ticks = own - {min(self.cpus)}
            found = replace(
                self, nohz_full=self.nohz_full | ticks, rcu_nocbs=self.rcu_nocbs | ticks,
                timers_leave=self.timers_leave | own, **self._without(own, "kthread", "worker"),
            )  # fmt: skip
        elif argument == "rcu_nocbs":
            found = replace(self, rcu_nocbs=self.rcu_nocbs | own)
        elif argument == "irqaffinity":
            if cpu == min(self.cpus):
                raise InputError(source, argument, f"expected another CPU: the kernel always adds boot CPU {cpu}")
            found = replace(self, irq_affinity=_left(self.irq_affinity - own, source, "device interrupts"))
        elif argument == "workqueue":
            found = replace(self, **self._without(own, "worker"))
        elif argument == "cpuset":
            found = replace(self, **self._without(own, "kthread", "task"))
        else:
            extra = (
                f"kthread_cpus={format_cpulist(self.kthread_cpus - own)}" if argument == "kthread_cpus" else argument
            )
            line = CommandLine(f"{self.command_line.text} {extra}", source)
            sets: dict[str, Any] = self._without(own, "kthread") if argument == "kthread_cpus" else {}
            found = replace(self, command_line=line, **sets)
        if not found.housekeeping:
            raise InputError(source, argument, f"expected at least one CPU left for housekeeping beside CPU {cpu}")
        return found

    def _without(self, cpus: Cpus, *kinds: str) -> dict[str, Any]:
        sets = {f"{kind}_cpus": getattr(self, f"{kind}_cpus") - cpus for kind in kinds}
        return {name: _left(left, self.command_line.source, name) for name, left in sets.items()}


@dataclass(frozen=True)
class _Boot:
    """What ``housekeeping_setup`` makes of ``isolcpus=`` and ``nohz_full=``."""

    domain: Cpus
    managed_irq: Cpus
    nohz: Cpus
    """``isolcpus=nohz``."""
    nohz_full: Cpus
    noise: Cpus
    """Free of unbound timers, kernel threads and workers."""

    @classmethod
    def of(cls, command_line: CommandLine, everyone: Cpus, series: tuple[int, int]) -> _Boot:
        source = command_line.source
        flags = dict.fromkeys(("domain", "managed_irq", "nohz"), NOBODY)
        if command_line.isolcpus is not None:
            names, text = command_line.isolcpus
            listed = kernel_cpulist(text, max(everyone, default=-1) + 1, "isolcpus", source)
            flags.update(dict.fromkeys(names, _existing(listed, "isolcpus", everyone, source)))
        nohz_full = _named(command_line, "nohz_full", everyone) or NOBODY
        if nohz_full and flags["nohz"] and nohz_full != flags["nohz"]:
            raise InputError(source, "nohz_full", "the kernel says: Housekeeping: nohz_full= must match isolcpus=")
        _expect_housekeeping(command_line, everyone, flags, nohz_full)
        noise = nohz_full | (flags["nohz"] if series >= NOHZ_IS_NOHZ_FULL_SINCE else NOBODY)
        return cls(flags["domain"], flags["managed_irq"], flags["nohz"], nohz_full, noise)


def _expect_housekeeping(command_line: CommandLine, everyone: Cpus, flags: dict[str, Cpus], nohz_full: Cpus) -> None:
    source = command_line.source
    for argument, cpus in (("isolcpus", frozenset().union(*flags.values())), ("nohz_full", nohz_full)):
        if everyone <= cpus:
            words = f"Housekeeping: must include one present CPU, using boot CPU:{min(everyone, default=0)}"
            raise InputError(source, argument, f"expected a CPU left for housekeeping, the kernel says: {words}")
    isolated = flags["domain"] | nohz_full | flags["nohz"]
    if everyone <= isolated:
        words = "Housekeeping: must include one present CPU neither in nohz_full= nor in isolcpus=domain"
        expected = f"expected a CPU left for housekeeping, {format_cpulist(isolated)} are isolated"
        raise InputError(source, "", f"{expected}; the kernel says: {words}")


def _workers(command_line: CommandLine, left: Cpus, everyone: Cpus, series: tuple[int, int]) -> Cpus:
    named = _named(command_line, "workqueue.unbound_cpus", everyone)
    if named is None or series < UNBOUND_CPUS_SINCE:
        return left
    if not left & named:
        words = "workqueue: Restricting unbound_cpumask with workqueue.unbound_cpus leaves no CPU, ignoring"
        expected = f"expected CPUs of {format_cpulist(left)}, found {format_cpulist(named)}"
        raise InputError(command_line.source, "workqueue.unbound_cpus", f"{expected}; the kernel says: {words}")
    return left & named


def _named(command_line: CommandLine, argument: str, everyone: Cpus) -> Cpus | None:
    named = command_line.cpus(argument, max(everyone, default=-1) + 1)
    return None if named is None else _existing(named, argument, everyone, command_line.source)


def _existing(named: Cpus, argument: str, everyone: Cpus, source: str) -> Cpus:
    unknown = named - everyone
    if unknown:
        exist = format_cpulist(everyone)
        raise InputError(source, argument, f"expected CPUs of {exist}, found {format_cpulist(unknown)}")
    return named


def _written(mask: Cpus | None, everyone: Cpus, otherwise: Cpus) -> Cpus:
    """Return a mask written after boot; the kernel ignores CPUs in it that do not exist."""
    return otherwise if mask is None else mask & everyone


def _left(cpus: Cpus, source: str, whom: str) -> Cpus:
    if not cpus:
        raise InputError(source, "", f"expected at least one CPU left for {whom.replace('_', ' ')}, found none")
    return cpus
