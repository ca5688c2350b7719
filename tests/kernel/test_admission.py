"""Which sets of deadline tasks a root domain admits (sched_dl_overflow)."""

from __future__ import annotations

import pytest

from rtsim.inputs.errors import InputError
from rtsim.kernel.admission import Reservation, check_deadline_admission

MS = 1_000_000


def task(name: str, runtime_ms: float, deadline_ms: float, period_ms: float) -> Reservation:
    return Reservation(name, int(runtime_ms * MS), int(deadline_ms * MS), int(period_ms * MS))


FAIR_SERVER = task("fair_server", 50, 1000, 1000)


def test_the_share_of_the_period_counts_not_that_of_the_deadline() -> None:
    check_deadline_admission([task("a", 50, 50, 100), task("b", 40, 40, 100)], 1)


@pytest.mark.parametrize("cpus", [1, 4])
def test_a_cpu_admits_95_percent(cpus: int) -> None:
    check_deadline_admission([task(f"t{n}", 94, 100, 100) for n in range(cpus)], cpus)
    with pytest.raises(InputError, match=r"EBUSY"):
        check_deadline_admission([task(f"t{n}", 96, 100, 100) for n in range(cpus)], cpus)


def test_what_other_cpus_leave_counts_too() -> None:
    check_deadline_admission([task("heavy", 100, 100, 100)], 2)


def test_the_task_that_does_not_fit_is_named_with_the_kernels_reason() -> None:
    with pytest.raises(InputError) as caught:
        check_deadline_admission([task("a", 50, 100, 100), task("b", 50, 100, 100)], 1, source="run.yaml")
    assert str(caught.value) == (
        "run.yaml: b: expected deadline tasks that reserve at most 0.95 CPUs of 1, found 1 with this one "
        "(EBUSY: Device or resource busy)"
    )


def test_fair_servers_take_their_part_first() -> None:
    tasks = [task("a", 92, 100, 100)]
    check_deadline_admission(tasks, 1)
    with pytest.raises(InputError, match="EBUSY"):
        check_deadline_admission(tasks, 1, fair_server=FAIR_SERVER)


def test_unlimited_realtime_time_admits_everything() -> None:
    check_deadline_admission([task("a", 100, 100, 100), task("b", 100, 100, 100)], 1, rt_runtime_ns=None)


@pytest.mark.parametrize(
    "wrong",
    [
        task("zero", 0, 100, 100), task("runtime", 20, 10, 100), task("deadline", 20, 110, 100),
        task("short", 0.01, 0.05, 0.05), task("long", 20, 5000, 5000),
    ],
)  # fmt: skip
def test_parameters_no_task_can_have_are_invalid(wrong: Reservation) -> None:
    with pytest.raises(InputError, match=f"{wrong.name}: expected .*EINVAL"):
        check_deadline_admission([wrong], 8)
