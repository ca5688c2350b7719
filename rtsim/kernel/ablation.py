"""Rules taken out of a kernel one at a time, to see what each explains. For validation only: no such kernel exists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from rtsim.inputs.errors import InputError, shown
from rtsim.kernel.features import Features

__all__ = ["ABLATIONS", "ablated", "checked_ablations"]

ABLATIONS: Mapping[str, Mapping[str, Any]] = {
    # CFS: any wakee that is behind preempts.
    "no_wakeup_granularity": {"wakeup_granularity_ns": 0},
    # CFS: the period is not stretched by long queues.
    "no_period_stretch": {"sched_nr_latency": 1 << 30},
    # CFS: the period counts the tasks of a group's own queue, not those of the whole hierarchy.
    "no_alt_period": {"alt_period": False},
    # schedule() reads the clock anew after a wake-up: who was preempted pays for the way to the switch.
    "no_clock_skip": {"clock_skip": False},
    # EEVDF: the best eligible deadline runs at once.
    "no_run_to_parity": {"run_to_parity": False},
    # EEVDF: who blocks leaves, and takes its lag along.
    "no_delay_dequeue": {"delay_dequeue": False},
    "no_preempt_short": {"preempt_short": False},
    "no_reweight_defect": {"reweight_defect": False},
    # 6.12 and later: realtime throttling in place of the fair server.
    "no_fair_server": {"guard": "rt_throttling"},
    "no_rt_slack_zero": {"rt_slack_zero": False},
}
"""By name, the features that change."""


def checked_ablations(names: Iterable[object], source: str) -> tuple[str, ...]:
    """Return the names; raises InputError for one that is unknown."""
    checked = []
    for name in names:
        if name not in ABLATIONS:
            raise InputError(source, "ablate", f"expected one of {', '.join(ABLATIONS)}, found {shown(name)}")
        checked.append(str(name))
    return tuple(checked)


def ablated(features: Features, names: Iterable[str]) -> Features:
    """Return the rules without those named."""
    for name in names:
        features = replace(features, **ABLATIONS[name])
    return features
