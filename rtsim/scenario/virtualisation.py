"""How a host's KVM and a guest's idle loop and spinlocks are set up, as fields of the engine's rows."""

from __future__ import annotations

from typing import Any

from rtsim.engine.constants import SPIN_NATIVE, SPIN_PV, SPIN_VIRT
from rtsim.kernel import Kernel
from rtsim.kernel.kvm import SPIN_THRESHOLD, guest_idle, kvm_parameters, spinlocks
from rtsim.nova import Placement
from rtsim.profile import Costs

__all__ = ["guest_fields", "host_fields", "spinlock_fields", "vcpu_fields"]

SPINLOCKS = {"native": SPIN_NATIVE, "virt": SPIN_VIRT, "pv": SPIN_PV}


def host_fields(kernel: Kernel) -> dict[str, Any]:
    """Return what KVM does on a host with this kernel, as fields of its row of `rtsim.engine.fields.KERNEL`."""
    kvm = kvm_parameters(kernel)
    return {
        "halt_poll_ns": kvm.halt_poll_ns,
        "halt_poll_grow": kvm.halt_poll_ns_grow,
        "halt_poll_grow_start": kvm.halt_poll_ns_grow_start,
        "halt_poll_shrink": kvm.halt_poll_ns_shrink,
        "timer_advance_adapts": int(kvm.lapic_timer_advance_adapts),
        "preemption_timer": int(kvm.preemption_timer),
        "ple_window": kvm.ple_window,
        "ple_window_grow": kvm.ple_window_grow,
        "ple_window_shrink": kvm.ple_window_shrink,
        "ple_window_max": kvm.ple_window_max,
    }


def guest_fields(kernel: Kernel, timer_delivery: str) -> dict[str, Any]:
    """Return how a guest with this kernel idles and uses its timers, for `rtsim.scenario.rows.Rows.add_kernel`."""
    idle = guest_idle(kernel)
    return {
        "idle_polls": int(idle.polls),
        "guest_poll_ns": idle.poll_ns,
        "guest_poll_grow": idle.grow,
        "guest_poll_grow_start": idle.grow_start,
        "guest_poll_shrink": idle.shrink,
        "apic_exits": timer_delivery == "kvm",
        "steal_accounting": int(kernel.config["paravirt_time_accounting"]),
    }


def spinlock_fields(kernel: Kernel, placement: Placement, costs: Costs, timer_delivery: str) -> dict[str, int]:
    """Return what the spinlocks of a guest with this kernel are; without KVM nobody offers it to kick its vCPUs."""
    offered = placement.pv_unhalt and timer_delivery == "kvm"
    kind = spinlocks(kernel, placement.vcpus, pv_unhalt=offered, dedicated=placement.hint_dedicated)
    turn_ns = costs.spin_turn.distribution().mean_ns
    return {"spinlocks": SPINLOCKS[kind], "spin_threshold": round(SPIN_THRESHOLD * turn_ns)}


def vcpu_fields(kernel: Kernel, timer_delivery: str) -> dict[str, int]:
    """Return how early the timers of a guest fire, and how long it may spin, at first; `kernel` is the host's."""
    if timer_delivery != "kvm":
        return {"timer_advance": 0, "ple_window": 0}
    kvm = kvm_parameters(kernel)
    return {"timer_advance": kvm.lapic_timer_advance_ns, "ple_window": kvm.ple_window}
