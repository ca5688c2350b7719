"""Kernels that are probably not described as meant."""

from __future__ import annotations

import pytest

from rtsim.kernel import Kernel
from rtsim.kernel.doubts import kernel_doubts

TUNED = "isolcpus=2-3 nohz_full=2-3 rcu_nocbs=2-3 nohz=on nmi_watchdog=0 watchdog_thresh=20 idle=poll audit=0 quiet"


def test_a_usual_command_line_of_a_modelled_release_raises_none() -> None:
    assert list(kernel_doubts(Kernel.of("6.12.117+deb12-amd64", cmdline=TUNED))) == []


@pytest.mark.parametrize(
    ("argument", "meant"),
    [("isolcpu=2-3", "isolcpus"), ("nohz_ful=2-3", "nohz_full"), ("irq-affinity=0", "irqaffinity")],
)
def test_misspelt_arguments_are_named(argument: str, meant: str) -> None:
    (doubt,) = kernel_doubts(Kernel.of("6.12", cmdline=f"quiet {argument}"))
    assert f"is {meant} meant?" in doubt


@pytest.mark.parametrize("release", ["4.18", "5.15"])
def test_older_releases_have_the_rules_of_another(release: str) -> None:
    (doubt,) = kernel_doubts(Kernel.of(release))
    assert doubt.endswith("are taken to be those of 6.1")


def test_a_vendors_kernel_is_named_as_one() -> None:
    first, second = kernel_doubts(Kernel.of("5.14.0-427.13.1.el9_4.x86_64"))
    assert "vendor" in first
    assert "6.1" in second


@pytest.mark.parametrize(("release", "has"), [("6.1", "lapic_timer_advance_ns"), ("6.12", "lapic_timer_advance")])
def test_a_parameter_of_another_releases_kvm(release: str, has: str) -> None:
    (other,) = {"lapic_timer_advance_ns", "lapic_timer_advance"} - {has}
    assert list(kernel_doubts(Kernel.of(release, cmdline=f"kvm.{has}=0"))) == []
    assert list(kernel_doubts(Kernel.of(release, cmdline=f"kvm.{has}=0 kvm.{other}=0"))) == []
    (doubt,) = kernel_doubts(Kernel.of(release, cmdline=f"kvm.{other}=0"))
    assert f"kvm.{other} on the command line" in doubt
    assert f"is kvm.{has} meant?" in doubt
