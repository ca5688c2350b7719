"""KVM's parameters and a guest's idle loop, from command lines."""

from __future__ import annotations

import pytest

from rtsim.inputs.errors import InputError
from rtsim.kernel import Kernel
from rtsim.kernel.kvm import guest_idle, kvm_parameters, spinlocks


@pytest.mark.parametrize(("release", "shrink"), [("6.1", 0), ("6.12", 2), ("7.2", 2)])
def test_defaults_by_release(release: str, shrink: int) -> None:
    kvm = kvm_parameters(Kernel.of(release))
    assert (kvm.halt_poll_ns, kvm.halt_poll_ns_grow, kvm.halt_poll_ns_grow_start) == (200_000, 2, 10_000)
    assert kvm.halt_poll_ns_shrink == shrink
    assert (kvm.lapic_timer_advance_ns, kvm.lapic_timer_advance_adapts) == (1_000, True)
    assert kvm.preemption_timer


@pytest.mark.parametrize(
    ("release", "cmdline", "advance_ns", "adapts"),
    [
        ("6.1", "kvm.lapic_timer_advance_ns=0", 0, False),
        ("6.1", "kvm.lapic_timer_advance_ns=2500", 2_500, False),
        ("6.1", "kvm.lapic_timer_advance_ns=-1", 1_000, True),
        ("6.1", "kvm.lapic_timer_advance=N", 1_000, True),
        ("6.12", "kvm.lapic_timer_advance_ns=0", 1_000, True),
        ("6.12", "kvm.lapic_timer_advance=N", 0, False),
        ("6.12", "kvm.lapic-timer-advance=1", 1_000, True),
    ],
)
def test_the_timer_advance_is_fixed_or_adapts(release: str, cmdline: str, advance_ns: int, adapts: bool) -> None:
    kvm = kvm_parameters(Kernel.of(release, cmdline=cmdline))
    assert (kvm.lapic_timer_advance_ns, kvm.lapic_timer_advance_adapts) == (advance_ns, adapts)


@pytest.mark.parametrize(
    ("cmdline", "window", "grow", "shrink"),
    [
        ("", 4096, 2, 0),
        ("kvm_intel.ple_window=8192 kvm_intel.ple_window_grow=512 kvm_intel.ple_window_shrink=2", 8192, 512, 2),
        ("kvm_intel.ple_gap=0", 0, 2, 0),
    ],
)
def test_pause_loops_that_end_guest_mode(cmdline: str, window: int, grow: int, shrink: int) -> None:
    kvm = kvm_parameters(Kernel.of("6.12", cmdline=cmdline))
    assert (kvm.ple_window, kvm.ple_window_grow, kvm.ple_window_shrink) == (window, grow, shrink)
    assert kvm.ple_window_max == 2**32 - 1


@pytest.mark.parametrize(
    ("cmdline", "vcpus", "pv_unhalt", "dedicated", "kind"),
    [
        ("", 4, True, False, "pv"),
        ("", 4, False, False, "virt"),
        ("nopvspin", 4, True, False, "native"),
        ("nopvspin", 4, False, False, "native"),
        ("", 4, True, True, "native"),
        ("", 1, True, False, "native"),
    ],
)
def test_which_spinlocks_a_guest_has(cmdline: str, vcpus: int, pv_unhalt: bool, dedicated: bool, kind: str) -> None:
    kernel = Kernel.of("6.1", cmdline=cmdline)
    assert spinlocks(kernel, vcpus, pv_unhalt=pv_unhalt, dedicated=dedicated) == kind


def test_how_a_guest_idles() -> None:
    assert not guest_idle(Kernel.of("6.1")).polls
    assert guest_idle(Kernel.of("6.1")).poll_ns == 0
    assert guest_idle(Kernel.of("6.1", cmdline="idle=poll cpuidle_haltpoll.force=1")).polls
    forced = Kernel.of("6.1", cmdline="cpuidle_haltpoll.force haltpoll.guest_halt_poll_ns=50000")
    assert guest_idle(forced).poll_ns == 50_000


@pytest.mark.parametrize(
    ("cmdline", "said"),
    [
        ("kvm.halt_poll_ns=much", "kvm.halt_poll_ns: expected a number of ns, cycles or times, found 'much'"),
        ("kvm.halt_poll_ns=-1", "kvm.halt_poll_ns: expected a number of ns, cycles or times, found '-1'"),
        ("kvm_intel.preemption_timer=2", "kvm_intel.preemption_timer: expected 1 or 0, found '2'"),
    ],
)
def test_values_that_the_module_would_refuse(cmdline: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        kvm_parameters(Kernel.of("6.12", cmdline=cmdline))
