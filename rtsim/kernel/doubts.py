"""What about a kernel's description is probably not what was meant, in words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches

from rtsim.kernel.features import rule
from rtsim.kernel.kernel import Kernel

__all__ = ["kernel_doubts"]

OLDEST_RULES = (6, 1)
"""Of releases before it, the scheduler's rules are taken to be those of this one."""
_VENDOR = re.compile(r"\.(el\d+\w*|amzn\w*|oe\d+\w*)\b")
LATENCY_ARGUMENTS = (
    "isolcpus", "nohz_full", "rcu_nocbs", "rcu_nocb_poll", "irqaffinity", "idle", "skew_tick", "nowatchdog",
    "nosoftlockup", "nmi_watchdog", "processor.max_cstate", "intel_idle.max_cstate", "threadirqs", "preempt",
    "workqueue.unbound_cpus", "kthread_cpus", "default_hugepagesz", "hugepagesz", "hugepages",
    "transparent_hugepage", "noautogroup", "mitigations", "intel_pstate", "clocksource",
)  # fmt: skip
"""Arguments that people set for latency's sake."""
TIMER_ADVANCE = {True: "kvm.lapic_timer_advance_ns", False: "kvm.lapic_timer_advance"}
"""The parameter of a KVM that has it in ns, and of one where it is a switch."""
ALIKE = 0.88
"""Ratio of difflib from which an unknown argument is taken for a misspelt one of these."""


def kernel_doubts(kernel: Kernel) -> Iterator[str]:
    """Yield a sentence for each doubt: a release whose rules are another's, an argument that looks misspelt."""
    oldest = ".".join(map(str, OLDEST_RULES))
    vendor = _VENDOR.search(kernel.release.text)
    if vendor:
        yield (
            f"{kernel.release.text} is a vendor's kernel with parts of newer ones: it is taken for the release it names"
        )
    if kernel.release.series < OLDEST_RULES:
        yield f"the scheduler's rules of {kernel.release} are taken to be those of {oldest}"
    for argument in kernel.command_line.arguments:
        meant = get_close_matches(argument, LATENCY_ARGUMENTS, 1, ALIKE)
        if meant and meant[0] != argument:
            yield f"{argument} on the command line means nothing to the kernel: is {meant[0]} meant?"
    yield from _other_releases(kernel)


def _other_releases(kernel: Kernel) -> Iterator[str]:
    """Yield the parameters that KVM of other releases has in place of its own."""
    known = TIMER_ADVANCE[bool(rule("timer_advance_in_ns", kernel.release))]
    for other in set(TIMER_ADVANCE.values()) - {known}:
        if kernel.command_line.has(other) and not kernel.command_line.has(known):
            yield f"{other} on the command line means nothing to KVM of {kernel.release}: is {known} meant?"
