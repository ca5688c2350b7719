"""PCI devices: which host cells may serve a request, by its NUMA affinity policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rtsim.nova.cell import HostCell

__all__ = ["PciPool", "PciRequest", "PciState"]


@dataclass(slots=True)
class PciPool:
    """Free devices of one product at one NUMA node (or at none)."""

    node: int | None
    count: int
    product: str = "10fb"


@dataclass(frozen=True, slots=True)
class PciRequest:
    """Devices a guest asks for; policy ``required``, ``legacy`` (default), ``preferred`` or ``socket``."""

    count: int = 1
    policy: str | None = None
    product: str = "10fb"


@dataclass(slots=True)
class PciState:
    """The host's free devices and the guest's requests."""

    pools: list[PciPool]
    requests: list[PciRequest]

    def per_node(self) -> dict[int | None, int]:
        """Return free devices per NUMA node."""
        devices: dict[int | None, int] = {}
        for pool in self.pools:
            devices[pool.node] = devices.get(pool.node, 0) + pool.count
        return devices

    def supports(self, chosen: list[int], host: Sequence[HostCell], *, together: bool = True) -> bool:
        """Return whether all requests can be served to a guest on the `chosen` host cells.

        `together`: one after the other from what is left; otherwise each from all devices.
        """
        pools = self._copy()
        return all(_consume(pools if together else self._copy(), request, chosen, host) for request in self.requests)

    def _copy(self) -> list[PciPool]:
        return [PciPool(pool.node, pool.count, pool.product) for pool in self.pools]


def _consume(pools: list[PciPool], request: PciRequest, chosen: list[int], host: Sequence[HostCell]) -> bool:
    usable = [pool for pool in pools if pool.product.lower() == request.product.lower()]
    if _devices(usable) < request.count:
        return False
    usable = _near(usable, request, chosen, host)
    if not usable or _devices(usable) < request.count:
        return False
    missing = request.count
    for pool in usable:
        if pool.count > missing:
            pool.count -= missing
            break
        missing -= pool.count
        pools.remove(pool)
        if not missing:
            break
    return True


def _devices(pools: list[PciPool]) -> int:
    return sum(pool.count for pool in pools)


def _near(pools: list[PciPool], request: PciRequest, chosen: list[int], host: Sequence[HostCell]) -> list[PciPool]:
    """Return the pools near enough: on the chosen cells if they suffice, else as far away as the policy allows."""
    policy = request.policy or "legacy"
    on_cells = [pool for pool in pools if pool.node in chosen]
    if policy == "required" or _devices(on_cells) >= request.count:
        return on_cells
    if policy == "socket":
        if any(cell.socket is None for cell in host):
            return []
        sockets = {cell.socket for cell in host if cell.host_id in chosen}
        nodes = {cell.host_id for cell in host if cell.socket in sockets}
        return [pool for pool in pools if pool.node in nodes]
    or_nowhere = [pool for pool in pools if pool.node is None or pool.node in chosen]
    if policy == "legacy" or _devices(or_nowhere) >= request.count:
        return or_nowhere
    return sorted(pools, key=lambda pool: pool.node is not None and pool.node not in chosen)
