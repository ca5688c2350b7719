"""Deadline tasks that sched_setattr refuses: too many for their root domain, or tied to a part of it."""

from __future__ import annotations

from typing import Any

import pytest

from rtsim.inputs.errors import InputError
from rtsim.scenario import Scenario, simulate

HALF = {"policy": "SCHED_DEADLINE", "dl-runtime": 5_000, "dl-period": 10_000, "run": 100, "sleep": 1_000}


def run(tasks: dict[str, Any], *, release: str = "6.1", cmdline: str = "") -> None:
    simulate(
        Scenario.of(
            {
                "host": {
                    "topology": {"sockets": 1, "cores": 2},
                    "kernel": {"release": release, "cmdline": cmdline},
                    "profile": "tuned",
                },
                "workload": {"tasks": tasks},
                "warmup": 0,
                "duration": "50 ms",
            }
        )
    )


def test_what_fits_is_admitted() -> None:
    run({"a": {**HALF, "instance": 3}})


@pytest.mark.parametrize(("release", "found"), [("6.1", "2"), ("6.12", "2.1")])
def test_each_cpu_has_95_percent_and_its_fair_server_counts(release: str, found: str) -> None:
    with pytest.raises(InputError, match=rf"at most 1.9 CPUs of 2, found {found} with this one \(EBUSY"):
        run({"a": {**HALF, "instance": 4}}, release=release)


def test_a_part_of_the_root_domain_is_not_enough() -> None:
    with pytest.raises(
        InputError, match=r"a.cpus: expected all CPUs of the root domain, \[0, 1\], found \[0\] \(EPERM"
    ):
        run({"a": {**HALF, "cpus": "0"}})


def test_an_isolated_cpu_is_a_root_domain_of_its_own() -> None:
    run({"a": {**HALF, "cpus": "1"}}, cmdline="isolcpus=1")
