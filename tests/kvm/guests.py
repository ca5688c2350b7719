"""Guests for tests: vCPU threads with their lock and emulator, and a guest kernel with known costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder
from tests.engine.small import MS, US, add_kernel


@dataclass(frozen=True)
class Guest:
    """Rows of a guest."""

    kernel: int
    vcpus: list[int]
    emulator: int


def add_guest(
    b: Builder, vcpu_cpus: list[list[int]], emulator_cpus: list[int], *, policy: int = es.FIFO,
    timer_advance: int = 0, halt_poll_ns: int = 0, ple_window: int = 0, **guest_kernel: Any,
) -> Guest:  # fmt: skip
    """Add a guest whose vCPUs have `policy` (priority 1) and these masks, and a SCHED_OTHER emulator thread."""
    lock = b.lock()
    priority = 1 if policy in (es.FIFO, es.RR) else 0
    start = {"timer_advance": timer_advance, "halt_poll_ns": halt_poll_ns, "ple_window": ple_window}
    vcpus = [b.vcpu(f"vcpu{n}", 0, cpus, policy, priority, lock=lock, **start) for n, cpus in enumerate(vcpu_cpus)]
    emulator = b.server("emulator", 0, emulator_cpus, es.OTHER, 0, lock=lock)
    kernel = add_kernel(b, len(vcpus), **guest_kernel)
    for n, vcpu in enumerate(vcpus):
        b.cpu(f"guest/cpu{n}", kernel, carrier=vcpu)
    return Guest(kernel, vcpus, emulator)


def cyclictest(b: Builder, kernel: int, cpu: int = 0) -> int:
    """Add a task released at 1 ms, 2 ms, ... that computes for a microsecond."""
    return b.periodic(
        "cyclictest", kernel, [cpu], es.FIFO, 95, period_ns=MS, first_ns=MS, work=b.constant(US), slack_ns=0
    )
