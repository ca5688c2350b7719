"""A rule left out changes its feature and no other."""

from __future__ import annotations

import pytest

from rtsim.inputs.errors import InputError
from rtsim.kernel import Kernel
from rtsim.kernel.ablation import ABLATIONS
from rtsim.kernel.features import Features

HAVE = {
    "no_wakeup_granularity": "6.1", "no_period_stretch": "6.1", "no_alt_period": "6.1", "no_clock_skip": "6.1",
    "no_run_to_parity": "6.12", "no_delay_dequeue": "6.12",
    "no_preempt_short": "6.12", "no_reweight_defect": "6.18.44", "no_fair_server": "6.12", "no_rt_slack_zero": "6.12",
}  # fmt: skip
"""A release that has each rule."""


@pytest.mark.parametrize("name", ABLATIONS)
def test_a_rule_left_out_changes_its_features_and_no_other(name: str) -> None:
    whole, without = (Kernel.of(HAVE[name], ablate=rules).features(4) for rules in ((), (name,)))
    changed = {field for field in Features.__dataclass_fields__ if getattr(whole, field) != getattr(without, field)}
    assert changed == set(ABLATIONS[name])
    for field, value in ABLATIONS[name].items():
        assert getattr(without, field) == value


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"host.kernel: ablate: expected one of no_wakeup_granularity, .* found 'no_such'"
    ):
        Kernel.of("6.1", ablate=["no_such"], source="host.kernel")
