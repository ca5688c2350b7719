"""How a host's KVM and a guest's idle loop are set up, as fields of the engine's rows."""

from __future__ import annotations

from typing import Any

from rtsim.kernel import Kernel
from rtsim.kernel.kvm import guest_idle, kvm_parameters

__all__ = ["guest_fields", "host_fields", "vcpu_fields"]


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


def vcpu_fields(kernel: Kernel, timer_delivery: str) -> dict[str, int]:
    """Return how early the timers of a guest fire at first, as fields of its vCPUs; `kernel` is the host's."""
    return {"timer_advance": kvm_parameters(kernel).lapic_timer_advance_ns if timer_delivery == "kvm" else 0}
