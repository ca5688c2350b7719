"""The tunables of /proc/sys/kernel (and the scheduler's debugfs files) that rtsim knows, with their defaults."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from rtsim.inputs.errors import InputError, shown

__all__ = ["CONFIG", "SYSCTL", "checked_config", "checked_sysctl"]

SYSCTL: Mapping[str, tuple[int | None, int, int]] = {
    "sched_rt_period_us": (1_000_000, 1, 2**31 - 1),
    "sched_rt_runtime_us": (950_000, -1, 2**31 - 1),
    "sched_rr_timeslice_ms": (100, 1, 2**31 - 1),
    "sched_cfs_bandwidth_slice_us": (5_000, 1, 2**31 - 1),
    "sched_autogroup_enabled": (1, 0, 1),
    "sched_child_runs_first": (0, 0, 1),
    "sched_deadline_period_min_us": (100, 1, 2**31 - 1),
    "sched_deadline_period_max_us": (1 << 22, 1, 2**31 - 1),
    "timer_migration": (1, 0, 1),
    "numa_balancing": (1, 0, 2),
    "watchdog": (1, 0, 1),
    "nmi_watchdog": (1, 0, 1),
    "watchdog_thresh": (10, 0, 60),
    # Tunables of the fair class; None: as the release scales them for the number of CPUs.
    "sched_latency_ns": (None, 100_000, 10**9),
    "sched_min_granularity_ns": (None, 100_000, 10**9),
    "sched_wakeup_granularity_ns": (None, 0, 10**9),
    "base_slice_ns": (None, 100_000, 10**9),
    # Debugfs: sched/fair_server/cpuN/runtime (0: none) and period.
    "fair_server_runtime_ns": (50_000_000, 0, (1 << 22) * 1000),
    "fair_server_period_ns": (1_000_000_000, 100_000, (1 << 22) * 1000),
}
"""Name -> default, lowest and highest value."""

CONFIG: Mapping[str, bool] = {
    "rt_group_sched": False,
    "irq_time_accounting": False,
    # A guest's scheduler takes steal into account.
    "paravirt_time_accounting": False,
}
"""Build options and their values in Debian's kernels."""


def checked_sysctl(given: Mapping[str, object], source: str) -> dict[str, int | None]:
    """Return all tunables, those `given` (with or without ``kernel.``) over the defaults.

    Raises
    ------
    InputError
        An unknown name, or a value out of range.
    """
    values = {name: default for name, (default, _, _) in SYSCTL.items()}
    for written, value in given.items():
        name = written.removeprefix("kernel.")
        if name not in SYSCTL:
            raise InputError(source, "sysctl", _unknown(written, SYSCTL))
        _, low, high = SYSCTL[name]
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise InputError(
                source, f"sysctl.{name}", f"expected an integer from {low} to {high}, found {shown(value)}"
            )
        values[name] = value
    for runtime_name, period_name in (
        ("sched_rt_runtime_us", "sched_rt_period_us"),
        ("fair_server_runtime_ns", "fair_server_period_ns"),
    ):
        runtime, period = values[runtime_name], values[period_name]
        assert runtime is not None
        assert period is not None
        if runtime > period:
            raise InputError(
                source, f"sysctl.{runtime_name}", f"expected at most {period_name} ({period}), found {runtime}"
            )
    return values


def checked_config(given: Mapping[str, object], source: str) -> dict[str, bool]:
    """Return all build options, those `given` (in any case, with or without ``CONFIG_``) over the defaults.

    Raises
    ------
    InputError
        An unknown option, or a value other than true and false.
    """
    values = dict(CONFIG)
    for written, value in given.items():
        name = written.lower().removeprefix("config_")
        if name not in CONFIG:
            raise InputError(source, "config", _unknown(written, CONFIG))
        if not isinstance(value, bool):
            raise InputError(source, f"config.{name}", f"expected true or false, found {shown(value)}")
        values[name] = value
    return values


def _unknown(name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
    return f"expected a known key, found {shown(name)}: {hint}"
