"""The cgroups that libvirt puts the threads of a guest into, one below the other."""

from __future__ import annotations

from typing import Any

from rtsim.inputs.models import validate
from rtsim.scenario.guests import Guest
from rtsim.workload import CgroupModel

__all__ = ["libvirt_cgroups", "thread_cgroup"]


def thread_cgroup(guest: str, thread: str) -> str:
    """Return the path of a thread's cgroup; `thread` is ``vcpu0``, ``emulator``, ..."""
    return f"/machine.slice/{guest}.scope/libvirt/{thread}"


def libvirt_cgroups(guest: Guest) -> dict[str, CgroupModel]:
    """Return the cgroups of a guest's threads by path.

    ``<shares>`` of the domain are those of its scope; ``<quota>`` and ``<period>`` those of each vCPU.
    """
    placement = guest.placement
    files: dict[str, Any] = {}
    if placement.cpu_quota is not None and placement.cpu_quota > 0:
        files["cpu.max"] = " ".join(str(us) for us in (placement.cpu_quota, placement.cpu_period) if us is not None)
    vcpu = validate(CgroupModel, files, f"guest {guest.name}: cputune")
    shares = {} if placement.cpu_shares is None else {"cpu.shares": placement.cpu_shares}
    return {
        f"/machine.slice/{guest.name}.scope": validate(CgroupModel, shares, f"guest {guest.name}: cputune"),
        **{thread_cgroup(guest.name, f"vcpu{number}"): vcpu for number in range(placement.vcpus)},
        thread_cgroup(guest.name, "emulator"): CgroupModel(),
        **{thread_cgroup(guest.name, f"iothread{number}"): CgroupModel() for number in placement.iothreads},
    }
