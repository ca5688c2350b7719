"""What spoils a CPU for a latency-bound thread although nothing refuses it, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rtsim.inputs.cpulist import format_cpulist
from rtsim.inputs.units import format_ns
from rtsim.kernel.classes import Verdict
from rtsim.kernel.doubts import kernel_doubts
from rtsim.kernel.kthreads import IRQ_THREAD_PRIORITY
from rtsim.scenario.cpu_sources import CpuSource, HostTask, is_threaded

if TYPE_CHECKING:
    from rtsim.scenario.host import Host

__all__ = ["cpu_warnings"]

Seen = Sequence[tuple[CpuSource, Verdict]]


def cpu_warnings(
    host: Host, cpu: int, policy: str, priority: int, seen: Seen, tasks: Sequence[HostTask]
) -> Iterator[str]:
    """Yield what to know before `cpu` is given to a thread of that policy and priority."""
    realtime = policy in ("fifo", "rr")
    yield from _isolation(host, cpu)
    yield from _siblings(host, cpu, tasks)
    yield from _masks(host, cpu, tasks)
    if realtime:
        yield from _guards(seen)
        yield from _stronger(host, cpu, policy, priority, seen)
        yield from _starved(policy, priority, seen)
    yield from _slack(host, realtime=realtime)
    yield from host.replay.noise.warnings if host.replay else ()
    yield from kernel_doubts(host.kernel)


def _isolation(host: Host, cpu: int) -> Iterator[str]:
    isolation = host.isolation
    if cpu == min(isolation.cpus):
        yield (
            f"CPU {cpu} is the boot CPU: its tick never stops, it keeps the time, and device interrupts "
            "always may go there"
        )
    if cpu in isolation.task_cpus:
        yield f"CPU {cpu} is not isolated: the kernel and other tasks may run here (isolcpus, or a cpuset partition)"
    if cpu not in isolation.nohz_full:
        yield f"the tick is on: {host.kernel.hz} interrupts a second while a task runs (nohz_full)"
    elif host.kernel.features(len(isolation.cpus)).guard == "fair_server":
        yield "the fair server's timer ticks in spite of nohz_full while a fair task waits here"
    if cpu in isolation.irq_affinity and not host.interrupts:
        yield f"device interrupts may go to CPU {cpu} (irqaffinity, or /proc/irq)"


def _siblings(host: Host, cpu: int, tasks: Sequence[HostTask]) -> Iterator[str]:
    for sibling in host.topology.siblings(cpu):
        if sibling == cpu:
            continue
        names = [task.name for task in tasks if sibling in task.cpus and task.cpus != frozenset({cpu})]
        if names:
            yield f"CPU {sibling}, the other thread of this core, runs {', '.join(names)}: both are slower then"
        elif sibling in host.isolation.task_cpus:
            yield f"CPU {sibling}, the other thread of this core, is not isolated: what runs there slows this CPU"


def _masks(host: Host, cpu: int, tasks: Sequence[HostTask]) -> Iterator[str]:
    for task in tasks:
        isolated = task.cpus & host.isolation.domain
        if cpu in isolated and len(isolated) > 1 and task.policy not in ("fifo", "rr"):
            yield (
                f"{task.name} may use CPUs {format_cpulist(isolated)}, which are isolated: the kernel does not balance "
                "there, all such threads stay on the CPU they start on"
            )


def _guards(seen: Seen) -> Iterator[str]:
    for source, _ in seen:
        if source.kind == "guard" and source.max_ns and source.period_ns:
            share = f"{format_ns(source.max_ns)} of every {format_ns(source.period_ns)}"
            yield f"{source.name} is on: it {source.does}, up to {share} ({source.removed_by[0]})"


def _stronger(host: Host, cpu: int, policy: str, priority: int, seen: Seen) -> Iterator[str]:
    threaded = is_threaded(host) or any(source.name.startswith("irq/") for source, _ in seen)
    if priority < IRQ_THREAD_PRIORITY and (threaded or cpu in host.isolation.irq_affinity):
        yield f"threads of interrupts run at SCHED_FIFO {IRQ_THREAD_PRIORITY}, above {policy} {priority}"
    for source, found in seen:
        raised = any(rule.matches(source.name) for rule in host.thread_rules)
        if found == "yes" and source.kind == "thread" and raised:
            yield f"{source.name} runs at {source.policy} {source.priority} (tuned), above {policy} {priority}"


def _starved(policy: str, priority: int, seen: Seen) -> Iterator[str]:
    waiting = [
        source.name for source, found in seen if found == "no" and source.name.startswith(("ksoftirqd", "kworker"))
    ]
    timers = [source.name for source, found in seen if found == "no" and source.name.startswith("ktimers")]
    names = ", ".join(waiting + timers)
    if names:
        yield f"{names} run only while the {policy} {priority} thread sleeps: one that never does holds up their work"


def _slack(host: Host, *, realtime: bool) -> Iterator[str]:
    features = host.kernel.features(len(host.topology.cpu_ids))
    slack = format_ns(features.default_timer_slack_ns)
    if not realtime:
        yield f"its timers may expire {slack} late: the timer slack of tasks that are not realtime"
    elif not features.rt_slack_zero:
        yield f"timers other than sleeps (futex, epoll) may expire {slack} late: this release gives them timer slack"
