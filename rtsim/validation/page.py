"""The page that lays every measured figure beside the predicted one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from rtsim.inputs.files import write_whole
from rtsim.report.theme import theme
from rtsim.traces.recording import Recording
from rtsim.validation.ablations import Loss
from rtsim.validation.decide import Agreement
from rtsim.validation.figures import Figure
from rtsim.validation.targets import score, target_of

__all__ = ["plot_times", "validation_page", "write_page"]

Found = Sequence[tuple[Recording, Sequence[Figure]]]
Decided = Mapping[str, Mapping[str, Agreement]]
"""By recording and case."""
Reasons = Mapping[str, Mapping[str, str]]

HEAD = """# Validation

Made by `make validation`; do not edit.

Each case of `data/recorded` is simulated with {seeds} seeds and laid beside what was measured on the real kernel. The
prediction is the lowest and the highest value over the seeds; a figure is inside if the measured value is not further
from them than the tolerance. What is compared, and how far apart it may be, is in `data/recorded/README.md`; the rules
as code are in `rtsim/validation/figures.py`. Of cases with several busy CPUs much is not compared: the emulator they
were recorded in executes one CPU after the other, which stretches wake-ups and the CPU times of those that wake up.

"""


DECISIONS = """## Decisions

Nothing is simulated here. The wake-ups, sleeps, ticks and run times of each trace are put to the model's scheduler, and
at each `sched_switch` it is asked who is next; then it is made to do what the kernel did. Up to 6.6 the trace carries
the running task's vruntime, which the model takes over; later it runs free from the run times
(`rtsim/validation/decide.py`).
"""

LOSSES = """## Rules left out

The same simulations without one rule of the scheduler (`rtsim/kernel/ablation.py`): figures that are inside with the
rule and outside without it.
"""


def write_page(
    found: Found, reasons: Reasons, path: Path, seeds: int, *, decided: Decided | None = None,
    losses: Sequence[Loss] = (),
) -> None:  # fmt: skip
    """Write the page `path` and its pictures (``images/validation-RECORDING.png`` beside it).

    `seeds` is the number of runs of each case; for the rest see `validation_page`.
    """
    images = path.parent / "images"
    for recording, figures in found:
        with theme():
            picture, ax = plt.subplots(figsize=(5.2, 4.6), layout="constrained")
            plot_times(figures, ax=ax)
            picture.savefig(images / f"validation-{recording.name}.png", dpi=110, metadata={"Software": None})
            plt.close(picture)
    write_whole(path, HEAD.format(seeds=seeds) + validation_page(found, reasons, decided=decided, losses=losses))


def validation_page(
    found: Found, reasons: Reasons, *, decided: Decided | None = None, losses: Sequence[Loss] = ()
) -> str:
    """Return the page's tables as Markdown.

    Parameters
    ----------
    found
        Recordings with their figures, those of one case together.
    reasons
        Why figures are outside, by recording and key.
    decided
        How the single decisions of recordings came out.
    losses
        What rules are worth.
    """
    parts = [_scores(found), _decisions(decided or {}), _losses(losses)]
    parts += ["\n".join(_section(each, figures, reasons.get(each.name, {}))) + "\n" for each, figures in found]
    return "\n".join(filter(None, parts))


def _scores(found: Found) -> str:
    lines = ["| recording | kernel | inside | wanted |", "|---|---|---|---|"]
    for recording, figures in found:
        target = target_of(recording)
        wanted = f"{100 * target.recording:.0f} %" if target else "shown only"
        kernel = f"{recording.release}, {recording.preempt}"
        lines.append(f"| {recording.name} | {kernel} | {score(figures)} | {wanted} |")
    return "\n".join(lines) + "\n"


def _decisions(decided: Decided) -> str:
    """Return the table of single decisions as Markdown; empty if there are none."""
    if not decided:
        return ""
    lines = [DECISIONS, "| recording | switches | decided alike | least in a case | otherwise, by rule |"]
    lines.append("|---|---|---|---|---|")
    for name, cases in decided.items():
        switches = sum(agreement.switches for agreement in cases.values())
        rules = Counter(miss.rule for agreement in cases.values() for miss in agreement.misses)
        least = min(cases, key=lambda case: cases[case].share)
        alike = 1 - rules.total() / switches
        otherwise = ", ".join(f"{rule}: {count}" for rule, count in rules.most_common())
        lines.append(
            f"| {name} | {switches} | {100 * alike:.2f} % | {100 * cases[least].share:.2f} % ({least}) | {otherwise} |"
        )
    return "\n".join(lines) + "\n"


def _losses(losses: Sequence[Loss]) -> str:
    """Return the table of what rules are worth as Markdown; empty if none was left out."""
    if not losses:
        return ""
    lines = [
        LOSSES,
        "| rule | recording | inside with it | without it | lost | cases of these |",
        "|---|---|---|---|---|---|",
    ]
    for each in losses:
        cases = ", ".join(dict.fromkeys(figure.case for figure in each.lost))
        lines.append(f"| {each.rule} | {each.recording} | {each.whole} | {each.without} | {len(each.lost)} | {cases} |")
    return "\n".join(lines) + "\n"


def _section(recording: Recording, figures: Sequence[Figure], reasons: Mapping[str, str]) -> list[str]:
    lines = [
        f"## {recording.name}",
        "",
        f"![Measured and predicted times of {recording.name}](images/validation-{recording.name}.png)",
    ]
    for case, group in groupby(figures, key=lambda figure: figure.case):
        own = list(group)
        lines += ["", f"### {case}: {score(own)}", ""]
        lines += ["| task | figure | measured | predicted | tolerance | | why |", "|---|---|---|---|---|---|---|"]
        lines += [_row(figure, reasons.get(figure.key, "")) for figure in own]
    return lines


def _row(figure: Figure, reason: str) -> str:
    predicted = _interval(figure.name, figure.predicted) if figure.predicted else "no samples"
    verdict = "inside" if figure.inside else "**outside**"
    measured, tolerance = _interval(figure.name, figure.measured), _value(figure.name, figure.tolerance)
    return f"| {figure.task} | {figure.name} | {measured} | {predicted} | {tolerance} | {verdict} | {reason} |"


def _interval(name: str, interval: tuple[float, float]) -> str:
    low, high = (_value(name, value) for value in interval)
    return low if low == high else f"{low} to {high}"


def _value(name: str, value: float) -> str:
    """Write a value in the figure's unit: shares as they are, counts whole, times in us or ms."""
    if name == "share" or name.startswith("time on CPU"):
        return f"{value:.4f}"
    if name in ("migrations", "involuntary switches"):
        return f"{value:.0f}"
    return f"{value / 1e6:.3f} ms" if value >= 1e6 else f"{value / 1e3:.1f} µs"


def plot_times(figures: Sequence[Figure], *, ax: Axes | None = None) -> Axes:
    """Draw each measured time against the predicted envelope, on log-log axes: on the diagonal they agree."""
    ax = plt.gca() if ax is None else ax
    times = [figure for figure in figures if figure.name.startswith(("latency", "waking", "run length"))]
    for inside, colour, marker in ((True, "C0", "o"), (False, "C1", "X")):
        # matplotlib has no place on a log axis for a value of 0
        shown = [f for f in times if f.inside == inside and f.predicted and f.predicted[0] > 0]
        envelopes = [f.predicted for f in shown if f.predicted]
        ax.errorbar(
            [sum(f.measured) / 2e3 for f in shown], [sum(envelope) / 2e3 for envelope in envelopes],
            yerr=[(high - low) / 2e3 for low, high in envelopes], color=colour, marker=marker, markersize=4,
            linestyle="none", linewidth=0.8, label="inside" if inside else "outside",
        )  # fmt: skip
    if any(f.predicted for f in times):
        ax.axline((1, 1), slope=1, color="0.6", linewidth=0.8, zorder=0)
        ax.set(xscale="log", yscale="log")
    ax.set(xlabel="measured (µs)", ylabel="predicted (µs)")
    ax.legend()
    return ax
