"""What rules are worth: the figures that are lost when one is left out of the kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rtsim.kernel import Kernel
from rtsim.traces.recording import Recording
from rtsim.validation.figures import Figure
from rtsim.validation.targets import Score, score, target_of

__all__ = ["STUDIED", "Loss", "loss", "rules_studied"]

STUDIED: Mapping[str, tuple[str, ...]] = {
    "no_wakeup_granularity": ("cfs",),
    "no_alt_period": ("cfs",),
    "no_run_to_parity": ("eevdf",),
    "no_delay_dequeue": ("eevdf",),
    "no_clock_skip": ("cfs", "eevdf"),
}
"""Rules of `rtsim.kernel.ablation.ABLATIONS` that recordings tell apart, and the schedulers that have them."""


@dataclass(frozen=True)
class Loss:
    """The figures of one recording with and without a rule."""

    rule: str
    recording: str
    whole: Score
    without: Score
    lost: tuple[Figure, ...]
    """Inside with the rule and outside without it, as they come out without it."""


def rules_studied(recording: Recording) -> tuple[str, ...]:
    """Return the rules to leave out of a recording's kernel: those it has, where figures are held to a share."""
    if target_of(recording) is None:
        return ()
    fair = Kernel.of(recording.release, preempt=recording.preempt).features(1).fair
    return tuple(rule for rule, schedulers in STUDIED.items() if fair in schedulers)


def loss(rule: str, recording: str, whole: Sequence[Figure], without: Sequence[Figure]) -> Loss:
    """Compare the same figures, predicted `whole` and `without` the rule."""
    pairs = zip(whole, without, strict=True)
    lost = tuple(after for before, after in pairs if before.inside and not after.inside)
    return Loss(rule, recording, score(whole), score(without), lost)
