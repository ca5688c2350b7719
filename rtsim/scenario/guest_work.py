"""What occupies a guest and the threads of its process: its kernel's noise, QEMU's work, exits, faults, a migration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rtsim.engine.constants import NOISE_DOORBELL, NOISE_EXIT, NOISE_FAULT, NOISE_THREAD
from rtsim.kernel import Isolation
from rtsim.scenario.guests import Guest
from rtsim.scenario.host import Host
from rtsim.scenario.memory import faults_of
from rtsim.scenario.migration import add_migration
from rtsim.scenario.rows import Rows

__all__ = ["add_guest_work"]


def add_guest_work(
    rows: Rows, guest: Guest, host: Host, tasks: Mapping[str, int], kernel: int, isolation: Isolation
) -> None:
    """Add all of it for one guest.

    Parameters
    ----------
    rows, guest, host
        Where to, whose, and where it runs.
    tasks
        Rows of the guest's threads, by their names in the scenario.
    kernel
        Row of its kernel.
    isolation
        What that keeps off its CPUs.
    """
    for source, cpus in rows.profile.guest_noise_on(isolation, guest.placement.vcpus):
        rows.add_noise(guest.name, kernel, guest.kernel, source, cpus)
    work = _GuestWork(rows, guest, tasks)
    work.add_emulator()
    work.add_exits()
    work.add_requests()
    work.add_armed_timers(kernel)
    work.add_memory_faults(host)
    add_migration(rows, guest, host, tasks)


class _GuestWork:
    def __init__(self, rows: Rows, guest: Guest, tasks: Mapping[str, int]) -> None:
        self.rows = rows
        self.guest = guest
        self.tasks = tasks

    def add_emulator(self) -> None:
        """Add what the threads of the process do at times of their own."""
        for item in self.rows.profile.emulator:
            name = f"{self.guest.name}/{item.thread}/{item.name}"
            task, locked = self._server(item.thread)
            self.rows.builder.source(
                name, NOISE_THREAD, task=task, locked=item.holds_lock or locked,
                duration=self.rows.table(item.duration), **self.rows.arrival(name, item.arrival),
            )  # fmt: skip

    def add_exits(self) -> None:
        """Add the exits that QEMU handles."""
        for exits in self.rows.profile.vcpu_exits:
            for vcpu, task in self._vcpus_that(exits.vcpus):
                name = f"{self.guest.name}/vcpu{vcpu}/exits/{exits.name}"
                self.rows.builder.source(
                    name, NOISE_EXIT, task=task, duration=self.rows.table(exits.duration),
                    **self.rows.arrival(name, exits.arrival),
                )  # fmt: skip

    def add_requests(self) -> None:
        """Add what the guest asks of the threads of its process."""
        for request in self.rows.profile.requests:
            server, locked = self._server(request.thread)
            for vcpu, task in self._vcpus_that(request.vcpus):
                name = f"{self.guest.name}/vcpu{vcpu}/requests/{request.name}"
                self.rows.builder.source(
                    name, NOISE_DOORBELL, task=task, server=server, locked=locked,
                    duration=self.rows.table(request.duration), answer=self.rows.table(request.interrupt),
                    **self.rows.arrival(name, request.arrival),
                )  # fmt: skip

    def add_armed_timers(self, kernel: int) -> None:
        """Add what a vCPU does in QEMU to arm a timer, where KVM does not keep those."""
        if self.guest.model.timer_delivery != "emulator":
            return
        builder, hold = self.rows.builder, self.rows.table(self.rows.profile.costs.bql_arm)
        first = builder.kernels[kernel]["cpu_base"]
        for vcpu in range(self.guest.placement.vcpus):
            builder.emulated_timer(f"{self.guest.name}/vcpu{vcpu}/timer", first + vcpu, hold=hold)

    def add_memory_faults(self, host: Host) -> None:
        """Add the page faults of the guest on `host`."""
        for found in faults_of(self.guest, host):
            name = f"{self.guest.name}/vcpu{found.vcpu}/memory/{found.fault.name}"
            cost = self.rows.builder.constant(0) if found.cost is None else self.rows.table(found.cost)
            reason = found.fault.reason
            self.rows.builder.source(
                name, NOISE_FAULT, task=self._vcpu(found.vcpu), duration=cost, lasting=reason != "first_touch",
                on_disk=reason == "swap", **self.rows.arrival(name, found.arrival),
            )  # fmt: skip

    def _server(self, thread: str) -> tuple[int, bool]:
        """Return the thread that does the work of `thread`, and whether that needs the lock because of it.

        Without an iothread, the emulator does its work.
        """
        iothreads = self.guest.placement.iothreads
        if thread != "iothread":
            return self.tasks[f"{self.guest.name}/{thread}"], False
        if not iothreads:
            return self.tasks[f"{self.guest.name}/emulator"], True
        return self.tasks[f"{self.guest.name}/iothread{min(iothreads)}"], False

    def _vcpus_that(self, which: str) -> Iterator[tuple[int, int]]:
        """Yield the vCPUs that are meant by `which` (all, rt, other), and their threads."""
        for vcpu in range(self.guest.placement.vcpus):
            if which == "all" or (which == "rt") == (vcpu in self.guest.placement.rt_vcpus):
                yield vcpu, self._vcpu(vcpu)

    def _vcpu(self, number: int) -> int:
        return self.tasks[f"{self.guest.name}/vcpu{number}"]
