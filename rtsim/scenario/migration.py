"""A live migration under way: what logging its writes costs a guest, and what the migration thread computes.

QEMU goes over the guest in rounds. Each begins with a sync: which pages have been written to is read, under the global
lock, and asked for anew. From then on the first write to each page costs the vCPU something: with PML the CPU notes it
and makes the vCPU leave the guest once in 512 pages (vmx_flush_pml_buffer), without it each of these writes is a fault.
So faults come thick after a sync and thin out as the working set has been written to. The pages are sent by a thread of
QEMU's in windows of 100 ms (migration_rate_limit).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from rtsim.engine.constants import NOISE_FAULT, NOISE_THREAD
from rtsim.engine.random import uniform_below
from rtsim.kernel.kvm import kvm_parameters
from rtsim.profile import DistributionEntry
from rtsim.scenario.guests import Guest
from rtsim.scenario.host import Host
from rtsim.scenario.rows import Rows
from rtsim.scenario.schema import MigrationModel

__all__ = ["add_migration", "first_writes"]

PML_ENTITY_NUM = 512
WINDOW_NS = 100_000_000
"""BUFFER_DELAY."""
KIB_PER_GIB = 1 << 20


def add_migration(rows: Rows, guest: Guest, host: Host, tasks: Mapping[str, int]) -> None:
    """Add what the migration of `guest` from `host`, if it has one, costs it and QEMU.

    Parameters
    ----------
    rows, guest, host
        Where to, whose, and where from.
    tasks
        Rows of the guest's threads, by their names in the scenario.
    """
    model = guest.model.migration
    if model is None:
        return
    costs = host.profile.costs.dirty_log
    name = f"{guest.name}/migration"
    phase_ns = uniform_below(rows.seed, name, "phase", model.round)
    pml = kvm_parameters(host.kernel).pml
    writes = first_writes(model, PML_ENTITY_NUM if pml else 1)
    cost_ns = _mean_ns(costs.pml_entry) * PML_ENTITY_NUM if pml else _mean_ns(costs.fault)
    exits = np.column_stack([(writes + phase_ns) % model.round, np.full(len(writes), round(cost_ns))])
    exits = exits[np.argsort(exits[:, 0], kind="stable")]
    for vcpu in range(guest.placement.vcpus):
        if len(exits):
            rows.builder.source(
                f"{guest.name}/vcpu{vcpu}/migration/dirty", NOISE_FAULT, task=tasks[f"{guest.name}/vcpu{vcpu}"],
                recorded=exits, period_ns=model.round,
            )  # fmt: skip
    sync_ns = _mean_ns(costs.sync) * guest.placement.memory_kib / KIB_PER_GIB
    _add_work(rows, f"{name}/sync", tasks[name], sync_ns, model.round, phase_ns, locked=True)
    send_ns = _mean_ns(costs.send) * float(model.send_rate) * WINDOW_NS / 1e9
    send_phase_ns = uniform_below(rows.seed, f"{name}/send", "phase", WINDOW_NS)
    _add_work(rows, f"{name}/send", tasks[name], send_ns, WINDOW_NS, send_phase_ns, locked=False)


def first_writes(model: MigrationModel, every: int = 1) -> npt.NDArray[np.int64]:
    """Return when after a sync, in ns, a vCPU has written to `every` more pages that it had not written to since.

    Of W pages, each as likely, w writes have met W * (1 - exp(-w / W)) on average.
    """
    pages = model.working_set
    writes = float(model.dirty_rate) * model.round / 1e9
    met = int(-pages * np.expm1(-writes / pages))
    numbers = np.arange(every, min(met, pages - 1) + 1, every)
    return np.floor(-pages * np.log1p(-numbers / pages) / float(model.dirty_rate) * 1e9).astype(np.int64)


def _add_work(rows: Rows, name: str, task: int, work_ns: float, period_ns: int, phase_ns: int, *, locked: bool) -> None:
    rows.builder.source(
        name, NOISE_THREAD, task=task, locked=locked, duration=rows.builder.constant(max(round(work_ns), 1)),
        period_ns=period_ns, phase_ns=phase_ns,
    )  # fmt: skip


def _mean_ns(entry: DistributionEntry) -> float:
    return entry.distribution().mean_ns
