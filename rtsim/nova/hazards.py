"""What Nova allows and what will hurt a realtime guest all the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rtsim.nova.cell import HostCell
from rtsim.nova.conf import NovaConf
from rtsim.nova.constraints import GuestRequest
from rtsim.nova.cpuspec import format_cpu_spec
from rtsim.nova.placement import Placement

__all__ = ["host_warnings", "warnings_for"]


def warnings_for(
    placement: Placement, host: Sequence[HostCell], request: GuestRequest, conf: NovaConf
) -> Iterator[str]:
    """Yield what to know about a placement before relying on it."""
    core_of = {cpu: frozenset(core) for cell in host for core in cell.siblings for cpu in core}
    realtime = {cpu: vcpu for vcpu in placement.rt_vcpus for cpu in placement.vcpu_pins[vcpu]}
    if realtime:
        yield from _beside_realtime(placement, core_of, realtime)
        if not request.numa or any(vcpu not in placement.pinned for vcpu in placement.rt_vcpus):
            yield "a realtime vCPU floats: its pin was lost when the host cell was remembered as fitting"
        if placement.rt_priority < 2:
            yield (
                "realtime vCPUs run at SCHED_FIFO priority 1, the lowest: every other realtime thread of the host "
                "preempts them ([libvirt] realtime_scheduler_priority)"
            )
    lost = [
        vcpu
        for cell in (request.numa.cells if request.numa else ())
        for vcpu in sorted(cell.pinned)
        if vcpu not in cell.pins
    ]
    if lost:
        yield f"vCPUs {format_cpu_spec(lost)} should be pinned and are not: a remembered fit kept no pins"
    if request.numa and request.numa.cells[0].thread_policy == "require":
        yield from _odd_threads(placement, core_of)
    if placement.cells and not placement.emulator_cpus:
        yield "no CPU is left for the emulator thread: libvirt refuses the empty emulatorpin"
    if request.emulator_policy == "share" and not conf.cpu_shared_set and placement.cells:
        yield "hw:emulator_threads_policy=share has no effect: [compute] cpu_shared_set is not configured"


def _beside_realtime(
    placement: Placement, core_of: dict[int, frozenset[int]], realtime: dict[int, int]
) -> Iterator[str]:
    for cpu in placement.emulator_cpus:
        if cpu in realtime:
            yield f"the emulator thread may run on CPU {cpu}, which realtime vCPU {realtime[cpu]} is pinned to"
        for sibling in sorted(core_of.get(cpu, frozenset()) - {cpu}):
            if sibling in realtime:
                where = f"CPU {sibling} of realtime vCPU {realtime[sibling]}"
                yield f"the emulator thread's CPU {cpu} shares a core with {where}"
    for vcpu in sorted(placement.pinned - set(placement.rt_vcpus)):
        for cpu in placement.vcpu_pins[vcpu]:
            for sibling in sorted(core_of.get(cpu, frozenset()) - {cpu}):
                if sibling in realtime:
                    where = f"realtime vCPU {realtime[sibling]} on CPU {sibling}"
                    yield f"vCPU {vcpu} on CPU {cpu} shares a core with {where}"


def _odd_threads(placement: Placement, core_of: dict[int, frozenset[int]]) -> Iterator[str]:
    mine = {cpu for vcpu in placement.pinned for cpu in placement.vcpu_pins[vcpu]}
    alone = [cpu for cpu in sorted(mine) if len(core_of.get(cpu, frozenset()) & mine) == 1]
    if alone:
        yield (
            f"the thread policy is require, yet CPU {format_cpu_spec(alone)} is the guest's only thread of its core: "
            "another guest may get the sibling"
        )


def host_warnings(placement: Placement, isolated: frozenset[int] | None, rt_runtime_us: int | None) -> Iterator[str]:
    """Yield what the host kernel's set-up spoils.

    Parameters
    ----------
    placement
        The placement.
    isolated
        CPUs of ``isolcpus``; none if not known.
    rt_runtime_us
        ``sched_rt_runtime_us``; -1 switches throttling off, none if not known.
    """
    if isolated is not None:
        outside = sorted(cpu for vcpu in placement.rt_vcpus for cpu in placement.vcpu_pins[vcpu] if cpu not in isolated)
        if outside:
            yield f"realtime vCPUs run on CPUs {format_cpu_spec(outside)}, which isolcpus does not isolate"
    if placement.rt_vcpus and rt_runtime_us is not None and rt_runtime_us >= 0:
        yield f"realtime throttling is on (sched_rt_runtime_us={rt_runtime_us}): a busy realtime vCPU is stopped by it"
