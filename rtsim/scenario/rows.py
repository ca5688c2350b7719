"""What a profile says as rows of the engine: kernels with their costs, CPUs, kernel threads and noise.

Everything random is drawn from streams named after what it is for (``host/irq/eth0``, ``realtime4/vcpu2/exits``), so
variants of a scenario that keep a name keep its noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rtsim.engine.builder import Builder
from rtsim.engine.constants import (
    FIFO,
    NOISE_HARDWARE,
    NOISE_IRQ,
    NOISE_NMI,
    NOISE_SOFTIRQ,
    NOISE_THREAD,
    NOISE_TICK,
    NONE,
    OTHER,
)
from rtsim.engine.random import TABLE_SIZE, uniform_below
from rtsim.kernel import Isolation, Kernel
from rtsim.kernel.features import rule
from rtsim.kernel.kthreads import IRQ_THREAD_PRIORITY
from rtsim.kernel.softirqs import SOFTIRQ_VECTORS, softirq_threads
from rtsim.kernel.timer_wheel import wheel_delay
from rtsim.profile import Arrival, DistributionEntry, IdleEntry, NoiseSource, Profile
from rtsim.scenario.host import is_of_ticks
from rtsim.scenario.replay import PlacedSource
from rtsim.scenario.rules import scheduler_fields
from rtsim.workload.policies import POLICIES

__all__ = ["Rows"]

EXITS = ("timer", "hlt", "external", "io", "ept", "doorbell", "pause", "kick", "io")

NOISE_KINDS = {
    "hardware": NOISE_HARDWARE, "nmi": NOISE_NMI, "irq": NOISE_IRQ, "softirq": NOISE_SOFTIRQ,
    "thread": NOISE_THREAD,
}  # fmt: skip


class Rows:
    """The rows of a scenario's kernels, host and guests alike, by the host's profile."""

    def __init__(self, profile: Profile, seed: int, trace_length: int) -> None:
        self.profile = profile
        self.seed = seed
        self.builder = Builder(seed=seed, trace_length=trace_length)
        self._spread: dict[int, int] = {}

    def add_kernel(
        self, kernel: Kernel, cpus: int, slower: float, states: Sequence[tuple[str, IdleEntry]] = (), *,
        apic_exits: bool = False, **fields: Any,
    ) -> int:  # fmt: skip
        """Add a kernel whose steps take `slower` times as long as the profile says.

        `states` are its idle states; of a guest that idles, leaving them is the host's affair. With `apic_exits` it
        leaves guest mode to program its clock and to interrupt another of its CPUs; the latter is told without an exit.
        """
        costs = self.profile.costs

        def table(*entries: DistributionEntry) -> int:
            return self.table(*entries, slower=slower)

        exits = costs.vm_exit
        programming = (exits.timer, costs.vm_entry) if apic_exits else ()
        sending = (exits.external or exits.timer,) if apic_exits else ()
        return self.builder.kernel(
            cpus, **scheduler_fields(kernel, cpus), context_switch=table(costs.context_switch),
            syscall_exit=table(costs.syscall_exit), irq_entry=table(costs.irq_entry), timer_irq=table(costs.timer_irq),
            hrtimer_program=table(costs.hrtimer_program, *programming), clock_program=table(*programming),
            tick=table(costs.tick), wake=table(costs.wake), ipi=table(costs.ipi, *sending),
            softirq_entry=table(costs.softirq_entry), vm_entry=table(costs.vm_entry),
            schedule=table(costs.schedule), preempt_fair=table(costs.preempt_fair),
            put_fair=table(costs.put_fair or costs.preempt_fair),
            cgroup_level=table(costs.cgroup_level), irq_thread_hard=table(costs.irq_thread_hard),
            ktimers=table(costs.ktimers), softirq_exit=table(costs.softirq_exit),
            enqueue_remote=table(costs.enqueue_remote),
            preempt_off=table(getattr(costs.preempt_off, kernel.preempt)),
            vm_exit=[table(getattr(exits, reason) or exits.timer) for reason in EXITS],
            idle_exit=[(entry.residency, table(entry)) for _, entry in states] or self.builder.constant(0),
            **{"idle_polls": int(bool(states) and states[0][0] == "poll"), **fields},
        )  # fmt: skip

    def table(self, *entries: DistributionEntry, slower: float = 1.0) -> int:
        """Add the table of the sum of `entries`, which are slow together; nothing without any."""
        quantiles = sum((entry.distribution().table() for entry in entries), np.zeros(TABLE_SIZE, np.int64))
        return self.builder.table(quantiles if slower == 1.0 else np.rint(quantiles * slower))

    def add_cpu(
        self, level: str, row: int, kernel: Kernel, isolation: Isolation, cpu: int, carrier: int = NONE,
        frequency: float = 1.0, node: int = 0,
    ) -> None:  # fmt: skip
        """Add a CPU; ``skew_tick`` spreads the ticks over half their period."""
        skew = kernel.tick_ns // 2 // len(isolation.cpus) * cpu if kernel.command_line.skew_tick else 0
        self.builder.cpu(
            f"{level}/cpu{cpu}", row, carrier=carrier, nohz_full=cpu in isolation.nohz_full,
            isolated=cpu in isolation.domain, root_domain=isolation.root_domain_of(cpu), tick_offset_ns=skew,
            frequency=frequency, node=node,
        )  # fmt: skip

    def add_kernel_threads(self, level: str, row: int, kernel: Kernel, isolation: Isolation) -> None:
        base = self.builder.kernels[row]["cpu_base"]
        for thread in softirq_threads(kernel):
            vectors = [SOFTIRQ_VECTORS.index(name) for name in thread.vectors]
            for cpu in sorted(isolation.cpus):
                self.builder.softirq_thread(
                    f"{level}/{thread.role}/{cpu}", base + cpu, thread.role, POLICIES[thread.policy], thread.priority,
                    vectors=vectors,
                )  # fmt: skip
        if isolation.nohz_full and rule("remote_tick", kernel.release):
            self._add_remote_ticks(level, row, kernel, isolation)

    def _add_remote_ticks(self, level: str, row: int, kernel: Kernel, isolation: Isolation) -> None:
        """Add the work that looks after the scheduler of each nohz_full CPU about once a second (sched_tick_remote)."""
        name = f"{level}/thread/tick-remote"
        work = self.table(self.profile.costs.tick)
        base = self.builder.kernels[row]["cpu_base"]
        worker = self.builder.server(name, row, isolation.kthread_cpus, OTHER, 0, kthread=1)
        period = wheel_delay(kernel.hz) * kernel.tick_ns
        for cpu in sorted(isolation.nohz_full):
            own = f"{name}/{cpu}"
            self.builder.source(
                own, NOISE_TICK, task=worker, cpu=base + cpu, duration=work, period_ns=period,
                phase_ns=self._phase(own, "random", period),
            )  # fmt: skip

    def add_noise(self, level: str, row: int, kernel: Kernel, source: NoiseSource, cpus: tuple[int, ...]) -> None:
        """Add one noise source; of several CPUs it strikes the one with the fewest, as interrupt vectors are spread."""
        name = f"{level}/{source.kind}/{source.name}"
        if "preempt_rt" in source.requires and kernel.preempt != "rt":
            return
        if is_of_ticks(source, kernel):
            self.builder.kernels[row]["sched_softirq"] = self.table(source.duration)
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
            name, NOISE_KINDS[source.kind], cpu=target, task=task, duration=self.table(source.duration),
            vector=SOFTIRQ_VECTORS.index(source.vector or "net_rx"), **self.arrival(name, source.arrival),
        )  # fmt: skip

    def add_recorded(self, level: str, row: int, kernel: Kernel, source: PlacedSource, repeat_ns: int) -> None:
        """Add a source that a trace has recorded, which begins again every `repeat_ns`; 0: never."""
        name = f"{level}/{source.kind}/{source.name}"
        self.builder.source(
            name, NOISE_KINDS[source.kind], cpu=source.cpus[0], task=self._recorded_thread(name, row, kernel, source),
            recorded=source.arrivals, period_ns=repeat_ns,
            vector=SOFTIRQ_VECTORS.index(source.source) if source.kind == "softirq" else NONE,
        )  # fmt: skip

    def _recorded_thread(self, name: str, row: int, kernel: Kernel, source: PlacedSource) -> int:
        """Add the thread that does a recorded source's work; return its row, NONE if it is no thread's.

        Every arrival finds room, however long the thread waits.
        """
        if source.kind == "thread":
            policy, priority = POLICIES[source.policy or "other"], source.priority or 0
        elif source.kind == "irq" and kernel.force_irqthreads:
            policy, priority = FIFO, IRQ_THREAD_PRIORITY
        else:
            return NONE
        return self.builder.server(name, row, source.cpus, policy, priority, room=len(source.arrivals), kthread=1)

    def arrival(self, name: str, arrival: Arrival) -> dict[str, Any]:
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
