"""A compute node that takes guests one after the other, and gives them back, as Nova's resource tracker counts them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rtsim.nova.capabilities import CapabilitiesCell, CapabilitiesCpu, host_cells
from rtsim.nova.cell import HostCell
from rtsim.nova.conf import NovaConf
from rtsim.nova.constraints import GuestRequest, guest_request
from rtsim.nova.cputopology import CpuTopology, best_topology
from rtsim.nova.errors import NovaRefusal, at_stage, refuse
from rtsim.nova.fit import Limits, fit_guest
from rtsim.nova.flavor import Flavor, Image, image_properties
from rtsim.nova.guest import GuestCell, GuestTopology
from rtsim.nova.hazards import warnings_for
from rtsim.nova.misspelt import misspelt
from rtsim.nova.pci import PciState
from rtsim.nova.placement import Placement
from rtsim.nova.rules import Release
from rtsim.nova.spawn import Spawn, describe_guest
from rtsim.nova.usage import account

if TYPE_CHECKING:
    from rtsim.topology import Topology

__all__ = ["AS_CONFIGURED", "ComputeHost", "guest_cpu_topology", "place"]


@dataclass(frozen=True, slots=True)
class _AsConfigured:
    """Stands for the limits that follow from the host's allocation ratios."""


AS_CONFIGURED = _AsConfigured()


class ComputeHost:
    """A host, its configuration and its present use.

    Parameters
    ----------
    cells
        The NUMA cells as the compute node reports them.
    conf
        Its ``nova.conf``.
    release
        Its release of Nova.
    online
        Its online CPUs; by default all that the cells name.
    """

    def __init__(
        self,
        cells: Sequence[HostCell],
        conf: NovaConf | None = None,
        release: Release | str | None = None,
        online: set[int] | None = None,
    ) -> None:
        self.cells = tuple(cells)
        self.conf = conf or NovaConf()
        self.release = Release.parse(release)
        self.online = set().union(*(cell.online_cpus() for cell in cells)) if online is None else online

    @classmethod
    def from_capabilities(
        cls,
        cells: Sequence[CapabilitiesCell],
        conf: NovaConf | None = None,
        release: Release | str | None = None,
        online: set[int] | None = None,
    ) -> ComputeHost:
        """Return the unused host that libvirt's capabilities and ``nova.conf`` describe, as the scheduler sees it.

        Raises
        ------
        NovaRefusal
            Stage ``host``: a CPU set of the configuration is wrong.
        """
        conf, known = conf or NovaConf(), Release.parse(release)
        if online is None:
            online = {cpu.id for cell in cells for cpu in cell.cpus}
        with at_stage("host"):
            made = host_cells(cells, conf, known, online)
        # Releases on Python 2 keep the order of their own sets, which reloading here would not reproduce.
        return cls(made if known.python2 else [cell.reloaded() for cell in made], conf, known, online)

    @classmethod
    def from_topology(
        cls, topology: Topology, conf: NovaConf | None = None, release: Release | str | None = None
    ) -> ComputeHost:
        """Return the unused host of a topology; raises as ``from_capabilities`` does."""
        cells = [
            CapabilitiesCell(
                node.id,
                node.memory_kib,
                tuple(CapabilitiesCpu(cpu.id, cpu.siblings or (cpu.id,), cpu.socket, cpu.core) for cpu in node.cpus),
                tuple(node.pages.items()),
            )
            for node in topology.numa_nodes
        ]
        return cls.from_capabilities(cells, conf, release)

    @property
    def limits(self) -> Limits:
        """Overcommit limits by the host's allocation ratios."""
        return Limits(self.conf.cpu_allocation_ratio, self.conf.ram_allocation_ratio)

    @property
    def packing(self) -> bool:
        """Whether the most used cells are tried first."""
        chosen = self.conf.packing_host_numa_cells_allocation_strategy
        return self.release.rules.packing_default if chosen is None else chosen

    def place(
        self,
        flavor: Flavor,
        image: Image | None = None,
        *,
        explain: bool = False,
        canonical: bool = False,
        limits: Limits | _AsConfigured | None = AS_CONFIGURED,
        pci: PciState | None = None,
    ) -> Placement:
        """Return where Nova would put the guest on this host as it is now used; the host does not change.

        Parameters
        ----------
        flavor, image
            What the guest asks for.
        explain
            Keep a line for each host cell and permutation tried, in ``Placement.explanation``.
        canonical
            Walk sibling sets in ascending order, lowest core first, instead of Nova's order, which follows hashes.
        limits
            Overcommit limits of guests without pinned CPUs; by default those of the configuration, none for no check.
        pci
            Free devices, and those the guest asks for.

        Raises
        ------
        NovaRefusal
            Nova refuses the guest, finds no cells for it, or would fail to spawn it.
        """
        lines: list[str] = []
        tell: Callable[[str], None] | None = lines.append if explain else None
        properties = image_properties(image.properties if image else {}, self.release.rules)
        request = guest_request(flavor, properties, self.release.rules)
        if tell:
            tell(_summary(flavor, request))
        cells = [cell.canonical() for cell in self.cells] if canonical else self.cells
        if request.numa is not None:
            checked = self.limits if isinstance(limits, _AsConfigured) else limits
            self._fit(cells, request.numa, checked, pci, tell, lines)
        with at_stage("cpu_topology"):
            topology = guest_cpu_topology(flavor, request, self.release)
        node = Spawn(cells, self.conf, self.release.rules, self.online)
        placement = describe_guest(node, flavor, properties, request, topology)
        claimed = tuple(request.numa.cells) if request.numa else ()
        return replace(
            placement,
            claimed=claimed,
            explanation=tuple(lines),
            warnings=(*misspelt(flavor.extra_specs), *warnings_for(placement, self.cells, request, self.conf)),
        )

    def _fit(
        self,
        cells: Sequence[HostCell],
        guest: GuestTopology,
        limits: Limits | None,
        pci: PciState | None,
        tell: Callable[[str], None] | None,
        lines: list[str],
    ) -> None:
        rules = self.release.rules
        if pci is not None and not pci.requests and not rules.claim_avoids_pci:
            pci = None
        with at_stage("fit"):
            fits = fit_guest(cells, guest, rules, packing=self.packing, limits=limits, pci=pci, explain=tell)
        if not fits:
            devices = " together with requested PCI devices" if pci and pci.requests else ""
            reason = f"Requested instance NUMA topology{devices} cannot fit the given host NUMA topology"
            refusal = refuse("ComputeResourcesUnavailable", reason=reason)
            raise NovaRefusal(refusal.exception, refusal.message, "fit", tuple(lines))

    def claim(self, placement: Placement) -> ComputeHost:
        """Account for a guest placed on this host, and return the host.

        Raises
        ------
        NovaRefusal
            Stage ``usage``: its CPUs are not free here.
        """
        return self._account(placement, remove=False)

    def remove(self, placement: Placement) -> ComputeHost:
        """Give back what a guest took, and return the host.

        Raises
        ------
        NovaRefusal
            Stage ``remove``: it is not on this host.
        """
        return self._account(placement, remove=True)

    def _account(self, placement: Placement, *, remove: bool) -> ComputeHost:
        guest = placement.claimed if isinstance(placement.claimed, tuple) else _cells_of(placement)
        with at_stage("remove" if remove else "usage"):
            after = account(self.cells, guest, self.release.rules, remove=remove)
        self.cells = tuple(cell if self.release.python2 else cell.reassigned().reloaded() for cell in after)
        return self


def _cells_of(placement: Placement) -> list[GuestCell]:
    """Return the cells of a placement that was read from a domain."""
    return [
        GuestCell(
            -1 if cell.host_id is None else cell.host_id,
            {vcpu for vcpu in cell.vcpus if vcpu not in placement.pinned},
            {vcpu for vcpu in cell.vcpus if vcpu in placement.pinned},
            cell.memory_kib // 1024,
            cell.page_size_kib,
            "mixed" if set(cell.vcpus) & placement.pinned else None,
            pins={vcpu: placement.vcpu_pins[vcpu][0] for vcpu in cell.vcpus if vcpu in placement.pinned},
        )
        for cell in placement.cells
    ]


def guest_cpu_topology(flavor: Flavor, request: GuestRequest, release: Release) -> CpuTopology:
    """Return the sockets, cores and threads the guest sees.

    Raises
    ------
    NovaRefusal
        ``ImageVCPULimitsRangeImpossible``.
    """
    preferred, limit = request.topology
    threads = None
    if request.numa and not release.rules.topology_from_flavor_alone:
        threads = min((cell.threads for cell in request.numa.cells if cell.threads), default=None)
    return best_topology(flavor.vcpus, preferred, limit, threads)


def _summary(flavor: Flavor, request: GuestRequest) -> str:
    if request.numa is None:
        return f"{flavor.name}: no NUMA topology, {flavor.vcpus} vCPUs float"
    cells = request.numa.cells
    pinned = sum(len(cell.pinned) for cell in cells)
    return (
        f"{flavor.name}: {len(cells)} NUMA cell(s), policy {cells[0].policy or 'shared'}, threads "
        f"{cells[0].thread_policy or 'prefer'}, {pinned} of {flavor.vcpus} vCPUs pinned, emulator "
        f"{request.numa.emulator_policy or 'on the guest CPUs'}"
    )


def place(
    where: Topology | ComputeHost,
    flavor: Flavor,
    image: Image | None = None,
    *,
    conf: NovaConf | None = None,
    release: Release | str | None = None,
    explain: bool = False,
    canonical: bool = False,
) -> Placement:
    """Return where Nova would put a guest on a host.

    Parameters
    ----------
    where
        A topology (an unused host) or a ``ComputeHost`` (with the guests it has).
    flavor, image
        What the guest asks for.
    conf, release
        Configuration and release of the compute node, for a topology; a ``ComputeHost`` has its own.
    explain, canonical
        As for ``ComputeHost.place``.

    Raises
    ------
    NovaRefusal
        Nova refuses the guest, or has no place for it.
    """
    host = where if isinstance(where, ComputeHost) else ComputeHost.from_topology(where, conf, release)
    return host.place(flavor, image, explain=explain, canonical=canonical)
