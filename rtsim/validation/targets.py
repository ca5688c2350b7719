"""How many figures must be inside, and why those outside are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources

from rtsim.inputs.errors import InputError
from rtsim.inputs.yaml import load_yaml
from rtsim.kernel import Kernel
from rtsim.traces.recording import Recording
from rtsim.validation.figures import ONE_CPU, Figure, rules_of

__all__ = ["Score", "Target", "explanations", "score", "target_of"]


@dataclass(frozen=True)
class Target:
    """Shares of figures inside: of a whole recording, and of each of its cases."""

    recording: float
    case: float


TARGETS = {"cfs": Target(0.98, 0.75), "eevdf": Target(0.96, 0.75), "rt": Target(0.93, 0.75)}
"""By scheduler, or rt with PREEMPT_RT whatever the scheduler; of kernels with every task on one CPU."""
SEVERAL_CPUS = Target(0.90, 0.75)
"""Of kernels whose tasks were spread over CPUs."""


def target_of(recording: Recording) -> Target | None:
    """Return what a recording is held to; None where its figures are shown only."""
    if recording.native:
        return None
    if rules_of(recording) is not ONE_CPU:
        return SEVERAL_CPUS
    kernel = Kernel.of(recording.release, preempt=recording.preempt)
    return TARGETS["rt" if recording.preempt == "rt" else kernel.features(1).fair]


@dataclass(frozen=True)
class Score:
    """Figures inside, of all."""

    inside: int
    count: int

    @property
    def share(self) -> float:
        """Share inside; 1 where there is no figure."""
        return self.inside / self.count if self.count else 1.0

    def __str__(self) -> str:
        return f"{self.inside} of {self.count} ({100 * self.share:.0f} %)"


def score(figures: Iterable[Figure]) -> Score:
    """Count the figures inside."""
    verdicts = [figure.inside for figure in figures]
    return Score(sum(verdicts), len(verdicts))


def explanations() -> Mapping[str, Mapping[str, str]]:
    """Return why figures are outside: text by recording and `Figure.key`.

    Raises
    ------
    InputError
        The file of explanations is not two levels of names and texts.
    """
    path = str(resources.files("rtsim.validation") / "misses.yaml")
    data = load_yaml(path).data or {}
    for recording, reasons in data.items():
        for key, reason in reasons.items() if isinstance(reasons, dict) else [("", None)]:
            if not isinstance(reason, str):
                raise InputError(path, f"{recording}: {key}", "expected a text")
    return data
