"""The same question asked of SimPy alone: what one would write without rtsim, with the same sources and costs.

Every CPU, of host and guest, is a `simpy.PreemptiveResource`; whoever wants it requests it at a priority and, when
preempted, requests it again for the work left. Every noise source, tick, vCPU exit and cyclictest is a process; a step
of a wake-up is a turn on the CPU of whoever takes it. The model keeps latencies, no causes and no trace, and has none
of the scheduler's own rules: priorities do for everything. Its latencies agree with rtsim's (`test_engine.py`), so both
answer the same question. Times are ns, as floats.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Generator, Iterable
from typing import Any

import simpy

from rtsim.profile import Arrival, DistributionEntry, NoiseSource
from rtsim.profile.distributions import Constant, Distribution, Exponential, Limited, Lognormal, Uniform
from rtsim.scenario.assemble import Assembly

LOOP_NS = 2_000
"""What one loop of cyclictest computes."""
INTERVAL_NS = 1_000_000

Draw = Callable[[], float]
Process = Generator[simpy.Event, Any, None]

STALL, INTERRUPT, SOFTIRQ, STOP, FAIR = -4, -3, -2, -1, 100
"""Priorities beside 99 - rt_priority; lower is stronger."""


def sampler(distribution: Distribution, rng: random.Random) -> Draw:
    """Return a function that draws from `distribution` with the standard library's generator."""
    if isinstance(distribution, Constant):
        value = float(distribution.value)
        return lambda: value
    if isinstance(distribution, Uniform):
        low, high = distribution.low, distribution.high
        return lambda: low + (high - low) * rng.random()
    if isinstance(distribution, Exponential):
        rate = 1 / distribution.mean
        return lambda: rng.expovariate(rate)
    if isinstance(distribution, Lognormal):
        mu, sigma = math.log(distribution.median), distribution.sigma
        return lambda: rng.lognormvariate(mu, sigma)
    if isinstance(distribution, Limited):
        inner, limit = sampler(distribution.inner, rng), distribution.limit
        return lambda: min(inner(), limit)
    raise TypeError(f"no sampler for {distribution}")


class Cpu:
    """A CPU of the host, or of a guest: then with the host CPU and the priority of its vCPU."""

    def __init__(self, env: simpy.Environment, host: Cpu | None = None, priority: int = 0) -> None:
        self.env = env
        self.resource = simpy.PreemptiveResource(env, capacity=1)
        self.host = host
        self.priority = priority

    def execute(self, priority: int, work: float) -> Process:
        """Get `work` ns done on this CPU at `priority`, however often it is taken away."""
        while work > 0:
            since = math.inf
            with self.resource.request(priority=priority) as turn:
                try:
                    yield turn
                    if self.host is not None:
                        work = yield from self._carried(work)
                        continue
                    since = self.env.now
                    yield self.env.timeout(work)
                    return
                except simpy.Interrupt:
                    work -= max(0.0, self.env.now - since)

    def _carried(self, work: float) -> Generator[simpy.Event, Any, float]:
        """Execute on the host CPU until done, or until a stronger task of the guest preempts; return what is left."""
        assert self.host is not None
        while work > 0:
            since = math.inf
            with self.host.resource.request(priority=self.priority) as turn:
                try:
                    yield turn
                    since = self.env.now
                    yield self.env.timeout(work)
                    return 0.0
                except simpy.Interrupt as interrupt:
                    work -= max(0.0, self.env.now - since)
                    preempted: Any = interrupt.cause
                    if preempted.resource is self.resource:
                        return work
        return work


class Baseline:
    """The scenario of an assembly as SimPy processes."""

    def __init__(self, assembly: Assembly, seed: int = 1) -> None:
        self.env = simpy.Environment()
        self.rng = random.Random(seed)
        self.assembly = assembly
        self.costs = assembly.host.profile.costs
        (guest,) = assembly.guests
        self.guest = guest
        placement = guest.placement
        self.host = [Cpu(self.env) for _ in assembly.host.topology.cpu_ids]
        self.vcpus = [
            Cpu(self.env, self.host[min(placement.vcpu_pins[vcpu])], 98 if vcpu in placement.rt_vcpus else FAIR)
            for vcpu in range(placement.vcpus)
        ]
        self.lock = simpy.Resource(self.env)
        self.latencies: list[float] = []
        self._add_noise(self.host, assembly.host.profile.noise_on(assembly.host.isolation))
        isolation = guest.kernel.isolation(range(placement.vcpus))
        self._add_noise(self.vcpus, assembly.host.profile.guest_noise_on(isolation))
        self._add_emulator()
        for cpu in set(range(len(self.host))) - assembly.host.isolation.nohz_full:
            self.env.process(self._tick(self.host[cpu], assembly.host.kernel.tick_ns))
        for cpu in set(range(placement.vcpus)) - isolation.nohz_full:
            self.env.process(self._tick(self.vcpus[cpu], guest.kernel.tick_ns))
        for cpu in guest.measured_vcpus():
            self.env.process(self._cyclictest(self.vcpus[cpu]))

    def run(self, until_ns: float) -> list[float]:
        """Run to `until_ns`; return all latencies of the cyclictests so far, ns."""
        self.env.run(until=until_ns)
        return self.latencies

    def _draw(self, entry: DistributionEntry) -> Draw:
        return sampler(entry.distribution(), self.rng)

    def _draw_together(self, *entries: DistributionEntry) -> Draw:
        """Return a draw of the sum of `entries`, which are slow together."""
        seed = self.rng.random()
        draws = [sampler(entry.distribution(), random.Random(seed)) for entry in entries]
        return lambda: sum(draw() for draw in draws)

    # ---- noise ------------------------------------------------------------------------------------------------------

    def _add_noise(self, cpus: list[Cpu], sources: Iterable[tuple[NoiseSource, tuple[int, ...]]]) -> None:
        priorities = {"hardware": STALL, "nmi": STALL, "irq": INTERRUPT, "softirq": SOFTIRQ}
        for source, struck in sources:
            priority = priorities.get(source.kind, STOP if source.policy == "stop" else FAIR)
            targets = [cpus[cpu] for cpu in (struck if source.scope == "machine" else struck[:1])]
            self.env.process(self._noise(source.arrival, self._draw(source.duration), targets, priority))

    def _noise(self, arrival: Arrival, duration: Draw, targets: list[Cpu], priority: int) -> Process:
        for wait in self._waits(arrival):
            yield self.env.timeout(wait)
            work = duration()
            for cpu in targets:
                self.env.process(cpu.execute(priority, work))

    def _waits(self, arrival: Arrival) -> Generator[float, None, None]:
        """Yield the times between arrivals."""
        if arrival.periodic is not None:
            period = arrival.periodic.period
            yield self.rng.random() * period
            draw = sampler(arrival.jitter() or Constant(0), self.rng)
            late = 0.0
            while True:
                now = draw()
                yield period + now - late
                late = now
        draw = sampler(arrival.interval(), self.rng)
        while True:
            yield draw()
            if arrival.bursts is not None:
                yield from [float(arrival.bursts.spacing)] * (arrival.bursts.size - 1)

    def _tick(self, cpu: Cpu, period: int) -> Process:
        """Tick where somebody runs: an idle CPU has no tick."""
        cost = self._draw(self.costs.tick)
        while True:
            yield self.env.timeout(period)
            if cpu.resource.count:
                yield from cpu.execute(INTERRUPT, cost())

    # ---- QEMU -------------------------------------------------------------------------------------------------------

    def _add_emulator(self) -> None:
        cpus = [self.host[cpu] for cpu in sorted(self.guest.placement.emulator_cpus)]
        profile = self.assembly.host.profile
        for item in profile.emulator:
            self.env.process(self._emulator(item.arrival, self._draw(item.duration), cpus, item.holds_lock))
        for exits in profile.vcpu_exits:
            for number, vcpu in enumerate(self.vcpus):
                if exits.vcpus == "all" or (exits.vcpus == "rt") == (number in self.guest.placement.rt_vcpus):
                    self.env.process(self._exits(exits.arrival, self._draw(exits.duration), vcpu))

    def _emulator(self, arrival: Arrival, duration: Draw, cpus: list[Cpu], locked: bool) -> Process:
        for wait in self._waits(arrival):
            yield self.env.timeout(wait)
            cpu = next((cpu for cpu in cpus if not cpu.resource.count), cpus[0])
            if locked:
                with self.lock.request() as held:
                    yield held
                    yield from cpu.execute(FAIR, duration())
            else:
                yield from cpu.execute(FAIR, duration())

    def _exits(self, arrival: Arrival, duration: Draw, vcpu: Cpu) -> Process:
        assert vcpu.host is not None
        for wait in self._waits(arrival):
            yield self.env.timeout(wait)
            if vcpu.resource.count:
                with self.lock.request() as held:
                    yield held
                    yield from vcpu.host.execute(vcpu.priority, duration())

    # ---- cyclictest -------------------------------------------------------------------------------------------------

    def _cyclictest(self, vcpu: Cpu) -> Process:
        """Each step by who takes it: interrupt or thread, of the host or of the guest."""
        assert vcpu.host is not None
        host, costs, draw = vcpu.host, self.costs, self._draw
        idle_exit = draw(costs.idle_states()[-1][1])
        irq_entry, timer, wake = draw(costs.irq_entry), draw(costs.timer_irq), draw(costs.wake)
        switch, syscall_exit = draw(costs.context_switch), draw(costs.syscall_exit)
        vm_entry, vm_exit = draw(costs.vm_entry), draw(costs.vm_exit.hlt)
        programming = self._draw_together(costs.vm_exit.timer, costs.vm_entry)  # the guest's clock event device
        task = 99 - 95
        release = self.rng.random() * INTERVAL_NS
        while True:
            release += INTERVAL_NS
            yield self.env.timeout(max(0.0, release - self.env.now))
            if not host.resource.count:
                yield from host.execute(INTERRUPT, idle_exit())
            yield from host.execute(INTERRUPT, irq_entry() + timer() + wake())
            yield from host.execute(vcpu.priority, switch() + vm_entry())
            yield from vcpu.execute(INTERRUPT, irq_entry() + timer() + wake() + programming())
            yield from vcpu.execute(task, switch() + syscall_exit())
            self.latencies.append(self.env.now - release)
            yield from vcpu.execute(task, LOOP_NS)
            yield from vcpu.execute(task, programming() + switch())
            yield from host.execute(vcpu.priority, vm_exit() + switch())
