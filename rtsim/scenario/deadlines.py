"""Whether the kernel admits the deadline tasks of a workload: by their CPU masks, and by what they reserve."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rtsim.inputs.errors import InputError
from rtsim.kernel import Kernel
from rtsim.kernel.admission import Reservation, check_deadline_admission
from rtsim.workload import WorkloadModel
from rtsim.workload.programs import instance_names

__all__ = ["check_deadline_tasks"]


def check_deadline_tasks(
    workload: WorkloadModel, kernel: Kernel, root_domains: Iterable[frozenset[int]], source: str, place: str
) -> None:
    """Check that the deadline tasks of `workload` span a root domain each, and fit into it.

    Raises
    ------
    InputError
        With the kernel's errno: EPERM for a mask that leaves out a CPU of the root domain (a deadline task may run
        anywhere in it), EINVAL and EBUSY as `check_deadline_admission`.
    """
    domains = [domain for domain in root_domains if domain]
    tasks: dict[frozenset[int], list[Reservation]] = {domain: [] for domain in domains}
    everywhere = frozenset().union(*domains)
    for name, mask, reservation in _deadline_tasks(workload):
        whole = [domain for domain in domains if domain & (mask or everywhere)]
        if mask is not None and not whole[0] <= mask:
            expected = f"expected all CPUs of the root domain, {sorted(whole[0])}, found {sorted(mask)}"
            raise InputError(source, f"{place}.tasks.{name}.cpus", f"{expected} (EPERM: Operation not permitted)")
        tasks[whole[0]].append(reservation)
    server = _fair_server(kernel)
    for domain, reserved in tasks.items():
        check_deadline_admission(
            reserved, len(domain), rt_runtime_ns=kernel.rt_runtime_ns, rt_period_ns=kernel.rt_period_ns,
            fair_server=server, source=source,
        )  # fmt: skip


def _deadline_tasks(workload: WorkloadModel) -> Iterator[tuple[str, frozenset[int] | None, Reservation]]:
    for name, task in workload.tasks.items():
        if task.effective_policy(workload.settings.default_policy) == "deadline":
            mask = frozenset(task.cpus) if task.cpus else None
            for thread in instance_names(name, task):
                yield name, mask, Reservation(thread, *task.deadline_ns())


def _fair_server(kernel: Kernel) -> Reservation | None:
    if not kernel.features(1).fair_server or kernel.fair_server_runtime_ns == 0:
        return None
    period = kernel.fair_server_period_ns
    return Reservation("fair server", kernel.fair_server_runtime_ns, period, period)
