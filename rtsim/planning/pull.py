"""The six levers of a realtime guest, as patches of its scenario: each can be pulled, or not, in any combination.

==========  ====================================  ================================================================
lever       pulled                                 not pulled
==========  ====================================  ================================================================
pinning     a host CPU for each vCPU               vCPUs float over the shared CPUs, or all where none are
host        as the scenario isolates CPUs          no isolation; other guests float over all CPUs
emulator    away from the realtime vCPUs           on the CPUs of all vCPUs
policy      realtime vCPUs under SCHED_FIFO        all under SCHED_OTHER
hugepages   huge pages, reserved at boot           pages of 4 KiB, or what transparent huge pages make of them
locked      memory locked, its pages not merged    pages may be reclaimed, and merged where KSM is on
==========  ====================================  ================================================================

What is pulled is as the scenario has it; what it does not have is added.

Some levers stand in for each other (`PAIRS`): beside the others each of them buys little, both together much.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rtsim.inputs.errors import InputError
from rtsim.scenario import Host, Scenario
from rtsim.scenario.guests import Guest, guests_of

__all__ = ["LEVERS", "PAIRS", "Levered"]

LEVERS: Mapping[str, str] = {
    "pinning": "CPU pinning",
    "host": "host resources",
    "emulator": "emulator thread",
    "policy": "vCPU policy",
    "hugepages": "huge pages",
    "locked": "locked memory",
}
"""By name, in words; in the order in which guides pull them."""

PAIRS = (("emulator", "policy"), ("hugepages", "locked"))
"""Realtime vCPUs preempt an emulator thread that is on their CPUs; neither huge pages nor locked memory is swapped."""

ISOLATION_ARGUMENTS = frozenset(
    {"isolcpus", "nohz_full", "rcu_nocbs", "rcu_nocb_poll", "irqaffinity", "nowatchdog", "nosoftlockup"}
    | {"nmi_watchdog", "skew_tick"}
)
PAGES = {2048: "2 MiB", 1048576: "1 GiB"}


@dataclass(frozen=True)
class Levered:
    """A scenario and the guest in it whose levers are pulled."""

    scenario: Scenario
    guest: Guest
    host: Host

    @classmethod
    def of(cls, scenario: Scenario, name: str) -> Levered:
        """Return the guest called `name` with its levers.

        Raises
        ------
        InputError
            There is no such guest, its vCPUs have no CPUs of their own, or the host isolates none.
        NovaRefusal
            Nova refuses one of the guests.
        """
        host = Host.of(scenario.model.host, scenario.folder, scenario.source)
        guests = {guest.name: guest for guest in guests_of(scenario, host)}
        if name not in guests:
            known = ", ".join(guests) or "none"
            raise InputError(
                scenario.source, "guests", f"expected a guest to pull levers of, found {name!r} of {known}"
            )
        if not guests[name].placement.pinned:
            expected = "expected pinned vCPUs (hw:cpu_policy=dedicated), whose pins are a lever to let go"
            raise InputError(scenario.source, f"guests.{name}", expected)
        if not host.isolation.isolated:
            expected = "expected isolated CPUs (isolcpus=, nohz_full=, tuned, cpusets), which are a lever to let go"
            raise InputError(scenario.source, "host.kernel", expected)
        return cls(scenario, guests[name], host)

    def pulled(self, levers: frozenset[str]) -> Scenario:
        """Return the scenario with `levers` (names of `LEVERS`) pulled and the others let go."""
        patch: dict[str, Any] = {"guests": {self.guest.name: {"overrides": self._overrides(levers)}}}
        if "host" not in levers:
            patch["host"] = {"kernel": {"cmdline": self._plain_cmdline()}, "tuned": None, "cpusets": None}
            for other in self.scenario.model.guests:
                if other.name != self.guest.name:
                    patch["guests"][other.name] = {"overrides": {"vcpupin": "all", "emulatorpin": "all"}}
        return self.scenario.patched(patch)

    def _overrides(self, levers: frozenset[str]) -> dict[str, Any]:
        """Return the guest's overrides; keys set to None give back what Nova decided."""
        locked = "locked" in levers
        return {
            "vcpupin": None if "pinning" in levers else self._floating("host" in levers),
            "emulatorpin": self._emulator_cpus() if "emulator" in levers else "vcpus",
            "vcpusched": "fifo" if "policy" in levers else "other",
            "hugepages": self._pages() if "hugepages" in levers else "none",
            "locked": locked,
            "nosharepages": locked,
        }

    def _floating(self, isolated: bool) -> list[int] | str:
        shared = sorted(self.guest.shared_cpus or self.host.isolation.housekeeping)
        return shared if isolated else "all"

    def _emulator_cpus(self) -> list[int]:
        """Return the emulator's CPUs without those of the realtime vCPUs; the housekeeping ones if that leaves none."""
        placement = self.guest.placement
        taken = {cpu for vcpu in self.guest.measured_vcpus() for cpu in placement.vcpu_pins[vcpu]}
        return sorted(set(placement.emulator_cpus) - taken) or sorted(self.host.isolation.housekeeping)

    def _pages(self) -> str:
        sizes = [size for _, size in self.guest.placement.huge_pages]
        return PAGES.get(max(sizes, default=1048576), "1 GiB")

    def _plain_cmdline(self) -> str:
        words = self.scenario.model.host.kernel.cmdline.split()
        return " ".join(word for word in words if word.partition("=")[0].replace("-", "_") not in ISOLATION_ARGUMENTS)

    def locked_mib(self, levers: frozenset[str]) -> int:
        """Return the memory that is the guest's whether it uses it or not (MiB)."""
        return self.guest.placement.memory_kib // 1024 if levers & {"hugepages", "locked"} else 0
