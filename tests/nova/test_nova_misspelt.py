"""Extra specs that look like ones that Nova knows."""

from __future__ import annotations

import pytest

from rtsim.nova.misspelt import misspelt

NOVAS = """
cpu_realtime cpu_realtime_mask hide_hypervisor_id cpu_policy cpu_thread_policy emulator_threads_policy
cpu_dedicated_mask mem_page_size locked_memory numa_nodes numa_cpus.1 numa_mem.10 pci_numa_affinity_policy cpu_sockets
cpu_cores cpu_threads cpu_max_sockets cpu_max_cores cpu_max_threads boot_menu vif_multiqueue_enabled mem_encryption
mem_encryption_model pmem pmu serial_port_count tpm_model tpm_version tpm_secret_security watchdog_action viommu_model
virtio_packed_ring sound_model usb_model redirected_usb_ports ephemeral_encryption ephemeral_encryption_format
"""
"""Of the namespace hw, as Nova 34.0.0 validates them (nova/api/validation/extra_specs/hw.py)."""


def test_novas_own_names_are_right() -> None:
    names = [f"hw:{name}" for name in NOVAS.split()]
    others = [
        "quota:cpu_quota",
        "quota:cpu_period",
        "resources:VCPU",
        "trait:HW_CPU_X86_VMX",
        "hw_rng:allowed",
        "pinned",
    ]
    assert not list(misspelt(dict.fromkeys([*names, *others], "yes")))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("hw:cpu_realtime_maks", "hw:cpu_realtime_mask"),
        ("hw:cpu_polcy", "hw:cpu_policy"),
        ("hw_cpu_policy", "hw:cpu_policy"),  # as an image has it
        ("cpu_policy", "hw:cpu_policy"),
        ("hw:cpu-realtime", "hw:cpu_realtime"),
        ("hw:emulator_thread_policy", "hw:emulator_threads_policy"),
        ("hw:mem_pagesize", "hw:mem_page_size"),
    ],
)
def test_a_name_that_nova_ignores_is_told(written: str, meant: str) -> None:
    (warning,) = misspelt({"hw:cpu_policy": "dedicated", written: "yes"})
    assert warning.startswith(f"the extra spec {written} ")
    assert warning.endswith(f": is {meant} meant?")


@pytest.mark.parametrize(("value", "told"), [("yes", 0), ("True", 0), ("off", 0), ("yess", 1), ("", 1), ("2", 1)])
def test_a_yes_that_is_none_is_told(value: str, told: int) -> None:
    warnings = list(misspelt({"hw:cpu_realtime": value}))
    assert len(warnings) == told
    assert all(f"hw:cpu_realtime={value} as no" in warning for warning in warnings)
