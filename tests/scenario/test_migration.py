"""A guest that is migrated: exits for the pages it writes to, thick after each sync, and the work of QEMU's thread."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from rtsim.engine import constants as es
from rtsim.engine.clock import run_until
from rtsim.engine.trace import recorded
from rtsim.inputs.errors import InputError
from rtsim.scenario import Scenario, simulate
from rtsim.scenario.assemble import Assembly, assemble
from rtsim.scenario.migration import first_writes
from rtsim.scenario.schema import MigrationModel

MS = 1_000_000
MIGRATION = {"dirty_rate": "20000 / s", "working_set": 512, "round": "50 ms", "send_rate": "30000 / s"}
QUIET = {"noise": [], "guest_noise": [], "emulator": [], "vcpu_exits": [], "requests": [], "memory_faults": []}


def scenario(migration: Any = MIGRATION, cmdline: str = "kvm_intel.pml=0") -> Scenario:
    """A vCPU that computes for ever on CPU 1, everything else on CPU 0."""
    hog = {"tasks": {"hog": {"run": -1}}}
    properties = {"hw:cpu_policy": "dedicated", "hw:emulator_threads_policy": "share"}
    return Scenario.of(
        {
            "host": {"topology": {"sockets": 1, "cores": 2}, "kernel": {"release": "6.1", "cmdline": cmdline},
                     "nova": {"cpu_dedicated_set": "1", "cpu_shared_set": "0"}, "profile_overrides": QUIET},
            "guests": [{"name": "g", "flavor": {"ram": 1024, "vcpus": 1, "disk": 1, "properties": properties},
                        "kernel": {"release": "6.1"}, "workload": hog, "migration": migration}],
            "warmup": 0, "duration": "100 ms",
        }
    )  # fmt: skip


def faults(built: Assembly) -> list[int]:
    """Return when the vCPU leaves its guest for a page in the first 100 ms."""
    run_until(built.state, 100 * MS)
    rows = recorded(built.state)
    return [int(row["time"]) for row in rows if row["kind"] == es.TR_VM_EXIT and row["value"] == es.EXIT_EPT]


def test_first_writes_thin_out_as_the_working_set_has_been_written_to() -> None:
    model = MigrationModel.model_validate({"dirty_rate": "1000 / s", "working_set": 100, "round": "1 s"})
    times = first_writes(model)
    assert len(times) == 99  # of 1000 writes to any of 100 pages
    for pages in (1, 50, 99):
        assert times[pages - 1] == pytest.approx(-0.1 * math.log(1 - pages / 100) * 1e9, abs=1)
    assert np.array_equal(first_writes(model, 10), times[9::10])


def test_each_first_write_after_a_sync_is_an_exit_without_pml() -> None:
    built = assemble(scenario(), trace_length=1 << 16)
    met = int(512 * (1 - math.exp(-1000 / 512)))
    sources = dict(zip(built.names.sources, built.state.sources, strict=True))
    found = faults(built)
    assert met - 2 <= len(found) / 2 <= met  # two rounds; what falls into another exit is none
    sync = int(sources["g/migration/sync"]["phase"])
    after = sorted((time - sync) % (50 * MS) for time in found)
    first, last = (sum(1 for time in after if low <= time < low + 10 * MS) for low in (0, 40 * MS))
    assert first > 3 * last


def test_with_pml_there_is_an_exit_in_512_pages() -> None:
    busy = {**MIGRATION, "dirty_rate": "100000 / s", "working_set": 100_000}
    found = faults(assemble(scenario(busy, ""), trace_length=1 << 16))
    met = 100_000 * (1 - math.exp(-5_000 / 100_000))
    assert len(found) == 2 * (met // 512)


def test_the_thread_that_sends_takes_its_time_where_the_emulator_is() -> None:
    tasks = simulate(scenario({**MIGRATION, "send_rate": "1000 / s"})).tasks
    sync_ns = 2 * 200_000  # a GiB, twice
    send_ns = 100 * 2_000
    assert tasks["g/migration"].cpu_time_ns == pytest.approx(sync_ns + send_ns, rel=0.05)
    assert tasks["g/migration"].cpus == tasks["g/emulator"].cpus == (0,)


def test_the_guest_gets_less_done() -> None:
    still = scenario().patched({"guests": {"g": {"migration": None}}})
    lost = simulate(still).task("g/hog").cpu_time_ns - simulate(scenario()).task("g/hog").cpu_time_ns
    assert lost > 2 * 430 * 2_000  # two rounds of exits and entries


def test_too_many_pages_are_refused() -> None:
    with pytest.raises(InputError, match="expected at most 1048576 writes a round"):
        scenario({"dirty_rate": "2000000 / s"})
