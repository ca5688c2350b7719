"""What a host is: the files of proc, sysfs and cgroups that say so, its tasks, and what lscpu and libvirt print.

Files are copied under ``host/`` at their own paths, so that what reads a live sysfs reads the copy. Of nova.conf only
the options that place guests are kept: the file holds passwords.
"""

from __future__ import annotations

import configparser
import csv
import glob
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

__all__ = ["collect_host"]

_CPU = "/sys/devices/system/cpu"
_NODE = "/sys/devices/system/node"
_FILES = (
    "/proc/cmdline", "/proc/version", "/proc/cpuinfo", "/proc/interrupts", "/proc/softirqs", "/proc/stat",
    "/proc/config.gz", f"/boot/config-{platform.release()}",
    "/proc/sys/kernel/sched*", "/proc/sys/kernel/*watchdog*", "/proc/sys/kernel/numa_balancing",
    "/proc/sys/kernel/timer_migration", "/proc/sys/kernel/ftrace_enabled", "/proc/sys/vm/stat_interval",
    "/proc/irq/default_smp_affinity", "/proc/irq/*/smp_affinity_list", "/proc/irq/*/effective_affinity_list",
    f"{_CPU}/online", f"{_CPU}/possible", f"{_CPU}/present", f"{_CPU}/isolated", f"{_CPU}/nohz_full",
    f"{_CPU}/smt/*", f"{_CPU}/cpu[0-9]*/topology/*", f"{_CPU}/cpu[0-9]*/online",
    f"{_CPU}/cpu[0-9]*/cache/index*/*", f"{_CPU}/cpu[0-9]*/cpufreq/scaling_*",
    f"{_CPU}/cpu[0-9]*/cpuidle/state*/*", f"{_CPU}/cpuidle/current_*", f"{_CPU}/intel_pstate/*",
    f"{_NODE}/online", f"{_NODE}/node[0-9]*/cpulist", f"{_NODE}/node[0-9]*/meminfo", f"{_NODE}/node[0-9]*/distance",
    f"{_NODE}/node[0-9]*/hugepages/*/*",
    "/sys/devices/system/clocksource/clocksource0/*", "/sys/devices/virtual/workqueue/cpumask",
    "/sys/kernel/realtime", "/sys/kernel/debug/sched/*", "/sys/kernel/debug/sched/domains/cpu*/domain*/*",
    "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/kernel/mm/ksm/run",
    "/sys/module/kvm*/parameters/*", "/etc/tuned/active_profile", "/etc/tuned/realtime*-variables.conf",
)  # fmt: skip
_LARGEST_FILE = 1024 * 1024
_MOST_FILES = 50_000

_CGROUP_FILES = (
    "cpu.shares", "cpu.weight", "cpu.weight.nice", "cpu.max", "cpu.idle", "cpu.cfs_quota_us", "cpu.cfs_period_us",
    "cpu.rt_runtime_us", "cpu.rt_period_us", "cpu.uclamp.min", "cpu.uclamp.max", "cpuset.cpus",
    "cpuset.cpus.effective", "cpuset.cpus.partition", "cpuset.mems", "cpuset.sched_load_balance",
)  # fmt: skip

_NOVA_CONF = Path("/etc/nova/nova.conf")
_NOVA_OPTIONS = {
    "DEFAULT": (
        "vcpu_pin_set", "reserved_host_cpus", "reserved_host_memory_mb", "reserved_huge_pages",
        "cpu_allocation_ratio", "ram_allocation_ratio",
    ),
    "compute": ("cpu_dedicated_set", "cpu_shared_set", "packing_host_numa_cells_allocation_strategy"),
    "libvirt": ("virt_type", "cpu_mode", "cpu_models", "cpu_power_management", "hw_machine_type", "num_pcie_ports"),
    "workarounds": ("disable_fallback_pcpu_query",),
    "filter_scheduler": ("enabled_filters", "pack_with_larger_cores"),
}  # fmt: skip

_COMMANDS = {
    "lscpu.json": ("lscpu", "-J"),
    "capabilities.xml": ("virsh", "--readonly", "capabilities"),
}
_COMMAND_SECONDS = 20


def collect_host(folder: Path) -> list[str]:
    """Write what this host is into `folder`; return what could not be, a sentence each."""
    missing = _copy_files(folder)
    _copy_cgroups(folder)
    _write_tasks(folder / "tasks.csv")
    for name, command in _COMMANDS.items():
        if (said := _output(command)) is None:
            missing.append(f"{name}: {command[0]} is not installed or fails")
        else:
            (folder / name).write_bytes(said)
    _write_domains(folder)
    if not _write_nova_conf(folder / "nova.conf"):
        missing.append(f"nova.conf: {_NOVA_CONF} is not there or cannot be read")
    return missing


def _copy_files(folder: Path) -> list[str]:
    missing, copied = [], 0
    for pattern in _FILES:
        found = [path for path in sorted(glob.iglob(pattern)) if os.path.isfile(path)]
        for path in found:
            copied += copied < _MOST_FILES and _copy(Path(path), folder)
        if not found and pattern.startswith("/sys/kernel/debug/sched/*"):
            missing.append("scheduler features: debugfs is not mounted or only root may read it")
    return missing


def _copy(path: Path, folder: Path) -> bool:
    """Copy a file that may be one of the kernel's, which have no size and may refuse to be read."""
    try:
        with open(path, "rb") as source:
            content = source.read(_LARGEST_FILE)
    except OSError:
        return False
    target = folder / str(path).lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return True


def _copy_cgroups(folder: Path) -> None:
    copied = 0
    for mount in _cgroup_mounts():
        for path, _, names in os.walk(mount):
            for name in _CGROUP_FILES:
                if name in names and copied < _MOST_FILES:
                    copied += _copy(Path(path, name), folder)


def _cgroup_mounts() -> Iterator[str]:
    with open("/proc/self/mounts", encoding="utf-8", errors="replace") as mounts:
        for line in mounts:
            _, place, kind, options, *_ = line.split()
            if kind == "cgroup2" or (kind == "cgroup" and {"cpu", "cpuset"} & set(options.split(","))):
                yield place


def _write_tasks(target: Path) -> None:
    """Write every thread's scheduling parameters; those that end meanwhile are left out."""
    columns = ("pid", "tid", "comm", "policy", "rt_priority", "nice", "cpus_allowed", "cgroup")
    with open(target, "w", encoding="utf-8", newline="") as sink:
        rows = csv.writer(sink)
        rows.writerow(columns)
        for path in sorted(glob.iglob("/proc/[0-9]*/task/[0-9]*")):
            try:
                rows.writerow(_task(Path(path)))
            except (OSError, ValueError, IndexError, StopIteration):
                continue


def _task(path: Path) -> tuple[object, ...]:
    stat = (path / "stat").read_text(encoding="utf-8", errors="replace")
    comm = stat[stat.index("(") + 1 : stat.rindex(")")]
    fields = stat[stat.rindex(")") + 2 :].split()  # from field 3 of proc(5) on
    status = (path / "status").read_text(encoding="utf-8", errors="replace").splitlines()
    allowed = next(line.split()[1] for line in status if line.startswith("Cpus_allowed_list:"))
    cgroup = " ".join((path / "cgroup").read_text(encoding="utf-8", errors="replace").split("\n")).strip()
    return path.parts[2], path.name, comm, fields[38], fields[37], fields[16], allowed, cgroup


def _output(command: tuple[str, ...]) -> bytes | None:
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_COMMAND_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def _write_domains(folder: Path) -> None:
    running = _output(("virsh", "--readonly", "list", "--uuid"))
    for uuid in (running or b"").decode().split():
        if (xml := _output(("virsh", "--readonly", "dumpxml", uuid))) is not None:
            (folder / f"domain-{uuid}.xml").write_bytes(xml)


def _write_nova_conf(target: Path) -> bool:
    """Write the options of nova.conf that place guests, and no other."""
    conf = configparser.RawConfigParser(strict=False, default_section="-", allow_no_value=True)
    try:
        with open(_NOVA_CONF, encoding="utf-8") as source:
            conf.read_file(source)
    except (OSError, UnicodeDecodeError, configparser.Error):
        return False
    kept = configparser.RawConfigParser(default_section="-")
    for section, options in _NOVA_OPTIONS.items():
        for option in options:
            if conf.has_option(section, option):
                if not kept.has_section(section):
                    kept.add_section(section)
                kept.set(section, option, conf.get(section, option))
    with open(target, "w", encoding="utf-8") as sink:
        kept.write(sink)
    return True
