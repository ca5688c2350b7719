"""What can take one CPU of a host from a thread: the profile's noise, the kernel's own interrupts, threads and guards.

Rates and costs are the profile's, or, of interrupts, what copies of ``/proc/interrupts`` tell. What has neither runs
on demand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rtsim.inputs.cpulist import format_cpulist
from rtsim.kernel import Isolation
from rtsim.kernel.kthreads import IRQ_THREAD_PRIORITY, KernelThread, cpus_of_place, kernel_threads, thread_named
from rtsim.profile import NoiseSource
from rtsim.scenario.measured import is_device

if TYPE_CHECKING:
    from rtsim.scenario.host import Host

__all__ = ["CpuSource", "HostTask", "guards_on", "sources_on"]

FAIR_SERVER_RUNTIME_NS, FAIR_SERVER_PERIOD_NS = 50_000_000, 1_000_000_000

_SOFTIRQ_THREADS = (("timer", "ktimers/{cpu}"), ("hrtimer", "ktimers/{cpu}"), ("rcu", "rcuc/{cpu}"))
_DEVICE_SOFTIRQS = ("net", "block", "irq-poll")
"""Under PREEMPT_RT they run in the thread of the interrupt that raises them."""


@dataclass(frozen=True)
class HostTask:
    """A thread of the host that a scenario puts there: a vCPU, an emulator, a task of the workload."""

    name: str
    policy: str
    priority: int
    cpus: frozenset[int]


@dataclass(frozen=True)
class CpuSource:
    """Something that takes CPU time on one CPU."""

    name: str
    kind: str
    """hardware, nmi, irq, softirq, thread or guard (what keeps realtime tasks from starving others)."""
    does: str
    policy: str | None = None
    """Of threads and guards: stop, deadline, fifo, rr, other, batch or idle."""
    priority: int | None = None
    """Of fifo and rr; otherwise the nice value."""
    rate_hz: float | None = None
    """Arrivals a second on this CPU; None: on demand."""
    period_ns: int | None = None
    """Where they are periodic."""
    mean_ns: float | None = None
    """What one takes; None: not known."""
    max_ns: int | None = None
    removed_by: tuple[str, ...] = ()
    """Kernel arguments and settings that would keep it off this CPU."""


def sources_on(host: Host, isolation: Isolation, cpu: int, tasks: Iterable[HostTask] = ()) -> list[CpuSource]:
    """Return what can run on `cpu` of `host` under `isolation`, guards aside; each name once."""
    by_name: dict[str, CpuSource] = {}
    own = (_task(task) for task in tasks if cpu in task.cpus)
    noise, recorded = _noise(host, isolation, cpu), _recorded(host, isolation, cpu)
    for found in (noise, recorded, _interrupts(host, isolation, cpu), _threads(host, isolation, cpu), own):
        for source in found:
            by_name.setdefault(source.name, source)
    return list(by_name.values())


def guards_on(host: Host, cpu: int, policy: str) -> Iterator[CpuSource]:
    """Yield what stops or overtakes a realtime thread on `cpu` so that fair ones get some time."""
    if policy not in ("fifo", "rr"):
        return
    if host.kernel.features(len(host.topology.cpu_ids)).guard == "fair_server":
        yield CpuSource(
            "fair server", "guard", "runs fair tasks that starve, above every realtime one", "deadline", None,
            1e9 / FAIR_SERVER_PERIOD_NS, FAIR_SERVER_PERIOD_NS, None, FAIR_SERVER_RUNTIME_NS,
            (f"debug/sched/fair_server/cpu{cpu}/runtime=0",),
        )  # fmt: skip
    elif host.kernel.rt_runtime_ns is not None:
        period = host.kernel.rt_period_ns
        taken = period - host.kernel.rt_runtime_ns
        if taken:
            yield CpuSource(
                "RT throttling", "guard", "stops realtime tasks that used up their runtime", None, None,
                1e9 / period, period, None, taken, ("sched_rt_runtime_us=-1",),
            )  # fmt: skip


def is_threaded(host: Host) -> bool:
    """Tell whether handlers of device interrupts run as threads."""
    return host.kernel.preempt == "rt" or host.kernel.command_line.threadirqs


# ---- the profile --------------------------------------------------------------------------------------------


def _noise(host: Host, isolation: Isolation, cpu: int) -> Iterator[CpuSource]:
    for noise, cpus in host.noise_on(isolation):
        if cpu not in cpus:
            continue
        shared = 1 if noise.scope == "machine" else len(cpus)
        duration = noise.duration.distribution()
        periodic = noise.arrival.periodic
        source = CpuSource(
            noise.name, noise.kind, _does(noise, cpus), noise.policy or ("other" if noise.kind == "thread" else None),
            (noise.priority or 0) if noise.kind == "thread" else None, noise.arrival.rate_hz() / shared,
            periodic.period if periodic and shared == 1 else None, duration.mean_ns, duration.max_ns,
        )  # fmt: skip
        yield from _as_threads(host, source, cpu, threaded=is_device(noise))


def _recorded(host: Host, isolation: Isolation, cpu: int) -> Iterator[CpuSource]:
    """Yield what is replayed; a thread that may use several CPUs is told with all it does."""
    for replayed in host.recorded_on(isolation):
        if cpu not in replayed.cpus:
            continue
        assert host.replay is not None
        durations, seconds = replayed.arrivals[:, 1], host.replay.noise.length_ns / 1e9
        does = "recorded" if len(replayed.cpus) == 1 else f"recorded, on one of CPUs {format_cpulist(replayed.cpus)}"
        source = CpuSource(
            replayed.name, replayed.kind, does, replayed.policy, replayed.priority, len(durations) / seconds, None,
            float(durations.mean()), int(durations.max()),
        )  # fmt: skip
        yield from _as_threads(host, source, cpu, threaded=replayed.kind == "irq")


def _does(noise: NoiseSource, cpus: tuple[int, ...]) -> str:
    if noise.scope == "machine":
        return "stops all CPUs at once"
    return f"on one of CPUs {format_cpulist(cpus)}" if len(cpus) > 1 else ""


def _as_threads(host: Host, source: CpuSource, cpu: int, *, threaded: bool) -> Iterator[CpuSource]:
    """Yield a source as it runs with threaded interrupts, and with softirqs in threads under PREEMPT_RT."""
    if threaded and is_threaded(host):
        yield from _threaded(host, source)
    elif source.kind == "softirq" and host.kernel.preempt == "rt":
        thread = next((name for word, name in _SOFTIRQ_THREADS if source.name.startswith(word)), "ksoftirqd/{cpu}")
        policy, priority = _schedule(host, thread.format(cpu=cpu))
        does = f"in {thread.format(cpu=cpu)}"
        if source.name.startswith(_DEVICE_SOFTIRQS):
            policy, priority, does = "fifo", IRQ_THREAD_PRIORITY, "in the interrupt's thread"
        yield replace(source, kind="thread", does=does, policy=policy, priority=priority)
    else:
        yield source


def _threaded(host: Host, source: CpuSource) -> Iterator[CpuSource]:
    entry = host.profile.costs.irq_entry.distribution()
    yield replace(source, does="wakes its thread", mean_ns=entry.mean_ns, max_ns=entry.max_ns)
    yield replace(
        source, name=f"irq/*-{source.name}", kind="thread", does="handler", policy="fifo", priority=IRQ_THREAD_PRIORITY
    )


# ---- interrupts ---------------------------------------------------------------------------------------------


def _interrupts(host: Host, isolation: Isolation, cpu: int) -> Iterator[CpuSource]:
    costs = host.profile.costs
    entry, tick = costs.timer_irq.distribution(), costs.tick.distribution()
    mean, longest = entry.mean_ns + tick.mean_ns, entry.max_ns + tick.max_ns
    if cpu in isolation.nohz_full:
        yield CpuSource("tick of two tasks", "irq", "while a second task is runnable", mean_ns=mean, max_ns=longest)
    else:
        hz, period = float(host.kernel.hz), host.kernel.tick_ns
        yield CpuSource("tick", "irq", "while a task runs", rate_hz=hz, period_ns=period, mean_ns=mean, max_ns=longest)
    local = {each.irq: each.rates_hz.get(cpu, 0.0) for each in host.interrupts if not each.is_device}
    ipi = costs.ipi.distribution()
    for irq, name, does, cost in (
        ("LOC", "local timer", "timers that expire here", entry),
        ("RES", "reschedule IPI", "wake-ups from other CPUs", ipi),
        ("TLB", "TLB shootdown IPI", "unmapped memory", ipi),
    ):
        rate = local.get(irq)
        measured = ", ticks too" if irq == "LOC" and rate else ""
        yield CpuSource(name, "irq", does + measured, rate_hz=rate, mean_ns=cost.mean_ns, max_ns=cost.max_ns)


# ---- threads ------------------------------------------------------------------------------------------------


def _threads(host: Host, isolation: Isolation, cpu: int) -> Iterator[CpuSource]:
    told = {noise.name for noise, cpus in host.noise_on(isolation) if cpu in cpus}
    recorded = [thread_named(each.source) for each in host.recorded_on(isolation) if cpu in each.cpus]
    for thread in kernel_threads(host.kernel):
        if _may_run(thread, host, isolation, cpu) and not told & set(thread.noise) and thread not in recorded:
            name = thread.name.format(cpu=cpu, node=host.topology.cpu(cpu).numa_node)
            policy, priority = _raised(host, name, (thread.policy, thread.priority))
            yield CpuSource(name, "thread", thread.does, policy, priority)


def _may_run(thread: KernelThread, host: Host, isolation: Isolation, cpu: int) -> bool:
    if thread.place == "offload" and not isolation.rcu_nocbs - {cpu}:
        return False
    if thread.name.startswith("rcuc"):
        return cpu not in isolation.rcu_nocbs
    return cpu in cpus_of_place(thread.place, isolation, host.kernel.release.series)


def _schedule(host: Host, name: str) -> tuple[str, int]:
    """Return policy and priority of the thread of that name on the host."""
    stem = name.partition("/")[0]
    own = next((each for each in kernel_threads(host.kernel) if each.name.partition("/")[0] == stem), None)
    return _raised(host, name, (own.policy, own.priority) if own else ("other", 0))


def _raised(host: Host, name: str, own: tuple[str, int]) -> tuple[str, int]:
    """Return what tuned made of a thread's policy and priority."""
    return next(((rule.policy, rule.priority) for rule in host.thread_rules if rule.matches(name)), own)


def _task(task: HostTask) -> CpuSource:
    return CpuSource(task.name, "thread", "of the scenario", task.policy, task.priority)
