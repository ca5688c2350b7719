"""Where a guest's threads may run and where its memory is: the outcome of Nova's decision, or of a domain XML.

``Placement`` holds what libvirt is told, and writes it as libvirt's fragments; reading them back is
``rtsim.nova.domain``'s matter.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from rtsim.nova.cpuspec import format_cpu_spec
from rtsim.nova.cputopology import CpuTopology

__all__ = ["PlacedCell", "Placement"]


@dataclass(frozen=True, slots=True)
class PlacedCell:
    """One NUMA cell of a placed guest."""

    host_id: int | None
    """The host cell that holds its memory; none if a domain leaves it open."""
    vcpus: tuple[int, ...]
    memory_kib: int
    page_size_kib: int | None = None
    """Size of the pages asked for, or none where the host's smallest do."""


@dataclass(frozen=True, slots=True)
class Placement:
    """One guest on one host.

    ``vcpu_pins`` gives each vCPU's allowed host CPUs: one for a pinned vCPU, several for one that floats; none where a
    domain XML leaves them open, which means any. ``emulator_cpus`` likewise.
    """

    vcpus: int
    memory_kib: int
    vcpu_pins: Mapping[int, tuple[int, ...]]
    pinned: frozenset[int] = frozenset()
    """vCPUs with a host CPU each of their own."""
    emulator_cpus: tuple[int, ...] = ()
    rt_vcpus: tuple[int, ...] = ()
    rt_priority: int = 0
    """Priority of the realtime vCPUs, 1 to 99; 0 without any."""
    rt_policy: Literal["fifo", "rr"] = "fifo"
    rt_priorities: Mapping[int, tuple[str, int]] = field(default_factory=dict)
    """vCPU -> (policy, priority) where a domain gives its vCPUs different ones."""
    cells: tuple[PlacedCell, ...] = ()
    """NUMA cells in the guest's order; none for a guest without NUMA topology."""
    cpu_topology: CpuTopology | None = None
    iothreads: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    """I/O thread -> host CPUs."""
    cpu_shares: int | None = None
    cpu_quota: int | None = None
    cpu_period: int | None = None
    locked: bool = False
    nosharepages: bool = False
    file_backed: bool = False
    floating_cpus: tuple[int, ...] | None = None
    """The cpuset of ``<vcpu>``."""
    huge_pages: tuple[tuple[int, int], ...] = ()
    """(guest cell, KiB) of the cells backed by huge pages; a guest without cells is cell 0."""
    memory_nodes: tuple[int, ...] = ()
    """Host cells that a domain without NUMA cells of its own binds its memory to."""
    shared_memory: bool = False
    cpu_mode: str | None = "host-model"
    pvspinlock: bool | None = None
    """Whether halted vCPUs can be kicked for a spinlock (``kvm_pv_unhalt``); None: as the CPU model has it."""
    hint_dedicated: bool = False
    """Whether the guest is told that each vCPU has a CPU of its own (``kvm-hint-dedicated``)."""
    tuned: bool = True
    """Whether libvirt is told the pins; Nova leaves a guest without NUMA topology to the cpuset of ``<vcpu>``."""
    max_phys_addr: tuple[str, int | None] | None = None
    warnings: tuple[str, ...] = field(default=(), compare=False)
    """What will hurt, in words."""
    name: str = field(default="guest", compare=False)
    explanation: tuple[str, ...] = field(default=(), compare=False, repr=False)
    """What was tried on the way, if asked for."""
    claimed: object = field(default=None, compare=False, repr=False)
    """What ``ComputeHost.claim`` accounts for."""

    @classmethod
    def from_domain_xml(cls, source: str | os.PathLike[str]) -> Placement:
        """Read a domain XML or a ``virsh dumpxml``: a path, or the text itself.

        Raises
        ------
        InputError
            No domain XML, or one whose numbers contradict each other.
        """
        from rtsim.nova.domain import read_domain

        return read_domain(source)

    @property
    def page_sizes_kib(self) -> tuple[int | None, ...]:
        """Page size of each guest cell; none where the host's smallest pages do."""
        return tuple(cell.page_size_kib for cell in self.cells)

    @property
    def pv_unhalt(self) -> bool:
        """Whether the guest can have its halted vCPUs kicked; QEMU's named CPU models, host-model too, leave it off."""
        return self.cpu_mode in ("host-passthrough", "maximum") if self.pvspinlock is None else self.pvspinlock

    @property
    def cpus_used(self) -> frozenset[int]:
        """Host CPUs that pinned vCPUs, and an emulator with CPUs of its own, keep for themselves."""
        return frozenset(cpu for vcpu in self.pinned for cpu in self.vcpu_pins[vcpu])

    def to_xml(self) -> dict[str, str | None]:
        """Return the fragments of the domain XML: cputune, numatune, memoryBacking, cpu, vcpu, memory."""
        return {
            "cputune": self._cputune(),
            "numatune": self._numatune(),
            "memoryBacking": self._memory_backing(),
            "cpu": self._cpu(),
            "vcpu": self._vcpu(),
            "memory": f"<memory>{self.memory_kib}</memory>",
        }

    def _vcpu(self) -> str:
        if self.floating_cpus is None:
            return f"<vcpu>{self.vcpus}</vcpu>"
        return f'<vcpu cpuset="{format_cpu_spec(self.floating_cpus)}">{self.vcpus}</vcpu>'

    def _cputune(self) -> str | None:
        parts: list[str] = []
        for tag, value in (("shares", self.cpu_shares), ("quota", self.cpu_quota), ("period", self.cpu_period)):
            if value is not None:
                parts.append(f"<{tag}>{value}</{tag}>")
        if self.tuned:
            emulator = format_cpu_spec(self.emulator_cpus)
            parts.append(f'<emulatorpin cpuset="{emulator}"/>')
            parts += [
                f'<iothreadpin cpuset="{format_cpu_spec(cpus)}" iothread="{number}"/>'
                for number, cpus in self.iothreads.items()
                if cpus
            ]
            parts += [
                f'<vcpupin vcpu="{vcpu}" cpuset="{cpus[0] if len(cpus) == 1 else format_cpu_spec(cpus)}"/>'
                for vcpu, cpus in self.vcpu_pins.items()
            ]
            parts += [
                f'<vcpusched vcpus="{format_cpu_spec(vcpus)}" scheduler="{policy}" priority="{priority}"/>'
                for policy, priority, vcpus in self._schedulers()
            ]
        if not parts:
            return None
        return f"<cputune>{''.join(parts)}</cputune>"

    def _schedulers(self) -> list[tuple[str, int, list[int]]]:
        if not self.rt_priorities:
            return [(self.rt_policy, self.rt_priority, list(self.rt_vcpus))] if self.rt_vcpus else []
        groups: dict[tuple[str, int], list[int]] = {}
        for vcpu in self.rt_vcpus:
            groups.setdefault(self.rt_priorities.get(vcpu, (self.rt_policy, self.rt_priority)), []).append(vcpu)
        return [(policy, priority, vcpus) for (policy, priority), vcpus in groups.items()]

    def _numatune(self) -> str | None:
        hosts = [cell.host_id for cell in self.cells if cell.host_id is not None]
        if not hosts or len(hosts) < len(self.cells):
            return None
        nodes = format_cpu_spec(hosts)
        memnodes = "".join(
            f'<memnode cellid="{number}" mode="strict" nodeset="{cell.host_id}"/>'
            for number, cell in enumerate(self.cells)
        )
        return f'<numatune><memory mode="strict" nodeset="{nodes}"/>{memnodes}</numatune>'

    def _memory_backing(self) -> str | None:
        parts: list[str] = []
        if self.huge_pages:
            pages = "".join(f'<page size="{size}" nodeset="{cell}" unit="KiB"/>' for cell, size in self.huge_pages)
            parts.append(f"<hugepages>{pages}</hugepages>")
        if self.nosharepages:
            parts.append("<nosharepages/>")
        if self.locked:
            parts.append("<locked/>")
        if self.file_backed:
            parts.append('<source type="file"/><access mode="shared"/><allocation mode="immediate"/><discard/>')
        return f"<memoryBacking>{''.join(parts)}</memoryBacking>" if parts else None

    def _cpu(self) -> str | None:
        if self.cpu_topology is None:
            return None
        sockets, cores, threads = self.cpu_topology
        mode = f' mode="{self.cpu_mode}"' if self.cpu_mode else ""
        parts = [f'<topology sockets="{sockets}" cores="{cores}" threads="{threads}"/>']
        if self.max_phys_addr:
            kind, bits = self.max_phys_addr
            parts.append(f'<maxphysaddr mode="{kind}"' + (f' bits="{bits}"/>' if bits else "/>"))
        if self.cells:
            access = ' memAccess="shared"' if self.shared_memory else ""
            cells = "".join(
                f'<cell id="{number}" cpus="{format_cpu_spec(cell.vcpus)}" memory="{cell.memory_kib}"{access}/>'
                for number, cell in enumerate(self.cells)
            )
            parts.append(f"<numa>{cells}</numa>")
        return f'<cpu{mode} match="exact">{"".join(parts)}</cpu>'
