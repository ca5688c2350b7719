"""KVM's module parameters on a host, how the CPUs of a guest idle and spin: from the kernel's command line.

Sources: arch/x86/kvm/{x86,lapic}.c, arch/x86/kvm/vmx/vmx.c, virt/kvm/kvm_main.c and
drivers/cpuidle/governors/haltpoll.c of 6.1.192, 6.12.117 and 7.2.13; arch/x86/kvm/x86.h, arch/x86/kernel/kvm.c and
kernel/locking/qspinlock_paravirt.h of the first two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rtsim.inputs.errors import InputError, shown
from rtsim.kernel.features import rule
from rtsim.kernel.kernel import Kernel

__all__ = ["SPIN_THRESHOLD", "GuestIdle", "KvmParameters", "Spinlocks", "guest_idle", "kvm_parameters", "spinlocks"]

ADVANCE_INIT_NS = 1_000
"""LAPIC_TIMER_ADVANCE_NS_INIT."""
SPIN_THRESHOLD = 1 << 15
"""Turns of a paravirtual spinlock's waiter before it halts."""

Spinlocks = Literal["native", "virt", "pv"]
"""Queued; test-and-set; queued, and waiters that spin for long halt their vCPUs."""


@dataclass(frozen=True)
class KvmParameters:
    """What a host's KVM does for all its guests; times in ns."""

    halt_poll_ns: int
    """Longest time that a halted vCPU polls before it sleeps; 0: it never polls."""
    halt_poll_ns_grow: int
    halt_poll_ns_grow_start: int
    halt_poll_ns_shrink: int
    """Divisor of the time after a long sleep; 0: back to none."""
    lapic_timer_advance_ns: int
    """How early a guest's timer fires on the host; what is too early is waited for before the guest is entered."""
    lapic_timer_advance_adapts: bool
    """Whether that is only where it begins."""
    preemption_timer: bool
    """Whether the CPU itself ends guest mode when the timer of a running guest expires (VMX); else an hrtimer does."""
    ple_window: int
    """First length of the pause loop that ends guest mode, in cycles; 0: none does (``ple_gap=0``)."""
    ple_window_grow: int
    """Factor after such an exit, or cycles to be added if not below `ple_window`; 0: back to that."""
    ple_window_shrink: int
    """Divisor when the vCPU comes back to a CPU, or cycles to be taken off; 0: back to `ple_window`."""
    ple_window_max: int
    pml: bool
    """Whether the CPU itself notes which pages a guest writes to (PML); else each page is write-protected."""


@dataclass(frozen=True)
class GuestIdle:
    """How long a guest's CPU polls before it halts (cpuidle-haltpoll); times in ns."""

    polls: bool
    """It never halts (``idle=poll``)."""
    poll_ns: int = 0
    """Longest time that it polls before it halts; 0: it halts at once."""
    grow: int = 2
    grow_start: int = 50_000
    shrink: int = 2


def kvm_parameters(kernel: Kernel) -> KvmParameters:
    """Return the parameters of a host's KVM: those of ``kvm.`` and ``kvm_intel.`` on its command line, or the defaults.

    Raises
    ------
    InputError
        One of them has a value that the module would refuse.
    """
    loops = _number(kernel, "kvm_intel.ple_gap", 128) > 0
    if rule("timer_advance_in_ns", kernel.release):
        advance = _number(kernel, "kvm.lapic_timer_advance_ns", -1)
    else:
        advance = -1 if _switch(kernel, "kvm.lapic_timer_advance", True) else 0
    return KvmParameters(
        halt_poll_ns=_number(kernel, "kvm.halt_poll_ns", 200_000),
        halt_poll_ns_grow=_number(kernel, "kvm.halt_poll_ns_grow", 2),
        halt_poll_ns_grow_start=_number(kernel, "kvm.halt_poll_ns_grow_start", 10_000),
        halt_poll_ns_shrink=_number(kernel, "kvm.halt_poll_ns_shrink", int(rule("halt_poll_shrink", kernel.release))),
        lapic_timer_advance_ns=ADVANCE_INIT_NS if advance < 0 else advance,
        lapic_timer_advance_adapts=advance < 0,
        preemption_timer=_switch(kernel, "kvm_intel.preemption_timer", True),
        ple_window=_number(kernel, "kvm_intel.ple_window", 4096) if loops else 0,
        ple_window_grow=_number(kernel, "kvm_intel.ple_window_grow", 2),
        ple_window_shrink=_number(kernel, "kvm_intel.ple_window_shrink", 0),
        pml=_switch(kernel, "kvm_intel.pml", True),
        ple_window_max=_number(kernel, "kvm_intel.ple_window_max", 2**32 - 1),
    )


def guest_idle(kernel: Kernel) -> GuestIdle:
    """Return how the CPUs of a guest with this kernel idle.

    ``idle=poll`` never halts. ``cpuidle_haltpoll.force=1`` loads cpuidle-haltpoll, which without it needs a hint that
    Nova does not give (``kvm-hint-dedicated``).

    Raises
    ------
    InputError
        A parameter has a value that the module would refuse.
    """
    if kernel.command_line.value("idle") == "poll":
        return GuestIdle(polls=True)
    if not _switch(kernel, "cpuidle_haltpoll.force", False):
        return GuestIdle(polls=False)
    return GuestIdle(
        polls=False,
        poll_ns=_number(kernel, "haltpoll.guest_halt_poll_ns", 200_000),
        grow=_number(kernel, "haltpoll.guest_halt_poll_grow", 2),
        grow_start=_number(kernel, "haltpoll.guest_halt_poll_grow_start", 50_000),
        shrink=_number(kernel, "haltpoll.guest_halt_poll_shrink", 2),
    )


def spinlocks(kernel: Kernel, vcpus: int, *, pv_unhalt: bool, dedicated: bool) -> Spinlocks:
    """Return what the spinlocks of a guest with this kernel are (kvm_spinlock_init).

    Parameters
    ----------
    kernel, vcpus
        The guest's.
    pv_unhalt
        Whether its host offers to kick halted vCPUs (``kvm_pv_unhalt``).
    dedicated
        Whether its host says that each vCPU has a CPU of its own (``kvm-hint-dedicated``).
    """
    if dedicated or vcpus == 1 or kernel.command_line.has("nopvspin"):
        return "native"
    return "pv" if pv_unhalt else "virt"


def _number(kernel: Kernel, name: str, default: int) -> int:
    text = kernel.command_line.value(name)
    if text is None:
        return default
    try:
        value = int(text)
    except ValueError:
        value = -2
    if not min(default, 0) <= value < 2**32:
        raise InputError(
            kernel.command_line.source, name, f"expected a number of ns, cycles or times, found {shown(text)}"
        )
    return value


def _switch(kernel: Kernel, name: str, default: bool) -> bool:
    if not kernel.command_line.has(name):
        return default
    text = kernel.command_line.value(name)
    if text is not None and text.lower() not in _SWITCH:
        raise InputError(kernel.command_line.source, name, f"expected 1 or 0, found {shown(text)}")
    return text is None or _SWITCH[text.lower()]


_SWITCH = {"1": True, "y": True, "on": True, "0": False, "n": False, "off": False}
