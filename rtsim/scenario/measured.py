"""Measured device interrupts as noise: where each lands under an isolation, how often, and what it costs.

Rates are those of `rtsim.kernel.devices`; costs are not in ``/proc/interrupts`` and come from the profile: those of its
interrupt of the same kind (``eth``, ``nvme``), else of its first one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction

from rtsim.inputs.errors import InputError
from rtsim.kernel import Isolation
from rtsim.kernel.devices import InterruptSource
from rtsim.profile import NoiseSource, Profile

__all__ = ["is_device", "landing", "measured_noise"]

SLOWEST_HZ = Fraction(1, 10**6)
"""Rarer interrupts are rounded up: a rate needs to be above zero."""

_IPI = re.compile(r"(.*[\s-])?ipi", re.IGNORECASE)


def is_device(source: NoiseSource) -> bool:
    """Tell whether a profile's source is a device's interrupt, not one that CPUs send each other."""
    return source.kind == "irq" and _IPI.fullmatch(source.name) is None


def landing(interrupt: InterruptSource, isolation: Isolation) -> dict[int, float]:
    """Return CPU -> interrupts a second under `isolation`.

    What isolation keeps off a CPU goes to the CPUs it leaves, evenly: device interrupts to the default affinity,
    managed ones to the CPUs of their own mask that ``isolcpus=managed_irq`` does not name, if there are any.
    """
    rates = dict(interrupt.rates_hz)
    if not interrupt.is_device:
        return rates
    mask = interrupt.affinity or frozenset(rates)
    allowed = isolation.irq_affinity
    if interrupt.is_managed:
        allowed = (mask - isolation.managed_irq) or mask
    moved = sum(rate for cpu, rate in rates.items() if cpu not in allowed)
    stay = {cpu: rate for cpu, rate in rates.items() if cpu in allowed}
    targets = (mask & allowed) or allowed
    if moved:
        for cpu in targets:
            stay[cpu] = stay.get(cpu, 0.0) + moved / len(targets)
    return stay


def measured_noise(
    interrupts: Sequence[InterruptSource], profile: Profile, isolation: Isolation
) -> list[tuple[NoiseSource, tuple[int, ...]]]:
    """Return the devices among `interrupts` as noise sources, each with the one CPU it strikes.

    Raises
    ------
    InputError
        An interrupt struck a CPU that the host does not have, or the profile has no interrupt to take costs from.
    """
    return [found for interrupt in interrupts for found in _sources(interrupt, profile, isolation)]


def _sources(
    interrupt: InterruptSource, profile: Profile, isolation: Isolation
) -> Iterator[tuple[NoiseSource, tuple[int, ...]]]:
    if not interrupt.is_device:
        return
    unknown = interrupt.rates_hz.keys() - isolation.cpus
    if unknown:
        place, expected = f"{interrupt.irq} {interrupt.name}", f"expected CPUs of the host, found {min(unknown)}"
        raise InputError("interrupts", place, expected)
    like = _like(interrupt.name, profile)
    for cpu, rate in sorted(landing(interrupt, isolation).items()):
        exact = max(Fraction(rate).limit_denominator(10**6), SLOWEST_HZ)
        source = NoiseSource.model_validate(
            {
                "name": f"{interrupt.irq} {interrupt.name}"[:90] + f"/{cpu}", "class": "irq", "cpus": [cpu],
                "arrival": {"poisson": {"rate": exact}}, "duration": like.duration,
                "source": f"measured; cost of {like.name}",
            }
        )  # fmt: skip
        yield source, (cpu,)


def _like(name: str, profile: Profile) -> NoiseSource:
    devices = [source for source in profile.noise if is_device(source)]
    if not devices:
        raise InputError("profile", "noise", f"expected an interrupt (class irq) to take the cost of {name} from")
    stem = re.match(r"[a-z]*", name)
    kind = stem[0] if stem else ""
    return next((source for source in devices if kind and source.name.startswith(kind)), devices[0])
