#!/usr/bin/env python3
"""record.py OUT POLICY CPU HOG: boot a 2-vCPU guest under TCG and trace its threads while it runs scen-qemu.sh.

POLICY is fifo or other (vCPU 1), CPU the emulator's, HOG 1 for a hog of the host on CPU 1; each vCPU is on the host's CPU
of its number. Needs root, QEMU, tracefs, and under $LAB vmlinuz-k-amd64, rtwl and initrd.gz: the initramfs of kernel-lab
with scen-qemu.sh as its scen.extra.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

LAB = Path(os.environ["LAB"])
TRACE = Path("/sys/kernel/tracing/instances/qemu-threads")
EVENTS = (
    "sched/sched_switch", "sched/sched_waking", "sched/sched_wakeup", "irq/irq_handler_entry", "irq/softirq_entry",
)  # fmt: skip
COMMAND_LINE = "console=ttyS0 nokaslr mitigations=off noautogroup no_timer_check panic=-1 rtset=qemu"


def main(folder: Path, policy: str, emulator_cpu: int, hog: bool) -> None:
    folder.mkdir(parents=True)
    TRACE.mkdir()
    for name, value in (("tracing_on", 0), ("buffer_size_kb", 120_000), ("trace_clock", "mono")):
        (TRACE / name).write_text(str(value))
    for event in EVENTS:
        (TRACE / "events" / event / "enable").write_text("1")
    console = folder / "console.log"
    guest = subprocess.Popen(
        ["qemu-system-x86_64", "-machine", "pc", "-cpu", "Nehalem", "-accel", "tcg,thread=multi", "-m", "512",
         "-smp", "2", "-nodefaults", "-display", "none", "-no-reboot", "-name", "guest,debug-threads=on",
         "-serial", f"file:{console}", "-kernel", LAB / "vmlinuz-k-amd64", "-initrd", LAB / "initrd.gz",
         "-append", COMMAND_LINE]
    )  # fmt: skip
    wait_for(b"PHASE idle", console)
    for thread in Path(f"/proc/{guest.pid}/task").iterdir():
        place(int(thread.name), (thread / "comm").read_text(), policy, emulator_cpu)
    others = [subprocess.Popen([LAB / "rtwl", "--dur", "60", "--out", folder, "hog0,cpus=1"])] if hog else []
    os.sched_setaffinity(0, {0})
    (TRACE / "tracing_on").write_text("1")
    wait_for(b"PHASE busy", console)
    (TRACE / "trace_marker").write_text("PHASE busy\n")
    wait_for(b"PHASE end", console)
    (TRACE / "tracing_on").write_text("0")
    for process in (*others, guest):
        process.kill()
    (folder / "trace.txt").write_text((TRACE / "trace").read_text())
    TRACE.rmdir()


def place(thread: int, name: str, policy: str, emulator_cpu: int) -> None:
    if name.startswith("CPU "):
        os.sched_setaffinity(thread, {int(name[4])})
        if name[4] == "1" and policy == "fifo":
            os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(1))
    else:
        os.sched_setaffinity(thread, {emulator_cpu})


def wait_for(text: bytes, console: Path) -> None:
    """Wait busily: this program is the hog of CPU 0 that the first recordings had too."""
    end = time.monotonic() + 300
    while not console.is_file() or text not in console.read_bytes():
        if time.monotonic() > end:
            sys.exit(f"{console}: expected {text.decode()!r}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4] == "1")
