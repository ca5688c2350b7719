"""What ``rtsim validate`` prints: quantiles, distances and tails of a comparison, and how configurations rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rtsim.cli.tables import console, interval, microseconds, table
from rtsim.inputs.units import format_ns

if TYPE_CHECKING:
    from rich.console import Console

    from rtsim.measure.distance import Comparison, QuantityError
    from rtsim.measure.distribution import AtLeast
    from rtsim.measure.ranking import Ranking

__all__ = ["show_comparison", "show_rankings"]


def show_comparison(comparison: Comparison, name: str | None = None) -> None:
    """Print a measured distribution beside a predicted one; `name` where there are several."""
    out = console()
    columns = ["", "measured", "95 % of it", "predicted", "error", "error %", "allowed", ""]
    counts = f"{comparison.measured_count:,} samples measured, {comparison.predicted_count:,} predicted"
    title = f"{'Latency' if name is None else name} (µs): {counts}"
    out.print(table(out, title, columns, [_cells(row) for row in comparison.rows], words=(0, 6, 7)))
    if comparison.ks is not None:
        distance = comparison.wasserstein_ns
        apart = "" if distance is None else f", {microseconds(distance)} µs apart on average"
        out.print(f"Largest gap between the distribution functions {comparison.ks:.3f}{apart}")
        out.print()
    _show_tail(comparison, out)


def _show_tail(comparison: Comparison, out: Console) -> None:
    from rtsim.measure.agreement import exceedances

    rows = [
        [f"{each.threshold_ns / 1000:g}", *_share(each.measured, each.measured_ci),
         *_share(each.predicted, each.predicted_ci), "apart" if each.apart else ""]
        for each in exceedances(comparison.measured, comparison.predicted)
    ]  # fmt: skip
    if not rows:
        return
    columns = ["at or above", "measured", "95 % of it", "predicted", "95 % of it", ""]
    out.print(table(out, "The tail: shares of samples at or above a latency (µs)", columns, rows, words=(2, 4, 5)))
    limit = comparison.measured.limit_ns
    if limit is not None:
        out.print(
            f"{comparison.censored:,} measured samples lie beyond the measured histogram, which ends at "
            f"{format_ns(limit)}: nothing above it is compared but how many there are"
        )


def _share(share: float, ends: tuple[float, float]) -> tuple[str, str]:
    return f"{share:.3g}", " to ".join(f"{end:.2g}" for end in ends)


def _cells(row: QuantityError) -> list[object]:
    low, high = row.measured_ci_ns
    spread = interval((low, high)) if low is not None and high is not None else ""
    relative = "" if row.relative_error is None else f"{100 * row.relative_error:+.1f}"
    return [
        row.quantity, _value(row.measured_ns), spread, _value(row.predicted_ns),
        "" if row.error_ns is None else microseconds(row.error_ns, sign=True), relative,
        "" if row.tolerance is None else str(row.tolerance), row.verdict,
    ]  # fmt: skip


def _value(value_ns: int | AtLeast | None) -> str:
    return microseconds(value_ns) if value_ns is None or isinstance(value_ns, int) else str(value_ns)


def show_rankings(comparisons: Mapping[str, Comparison], quantiles: Sequence[float]) -> None:
    """Print whether the predictions rank the configurations as they were measured, by each of `quantiles`."""
    from rtsim.measure.quantiles import quantile_name
    from rtsim.measure.ranking import rank

    out = console()
    for q in quantiles:
        ranking = rank(q, [(name, each.measured, each.predicted) for name, each in comparisons.items()])
        _show_ranking(ranking, quantile_name(q), out)


def _show_ranking(ranking: Ranking, quantity: str, out: Console) -> None:
    pairs = f"{ranking.counted} of {ranking.pairs} pairs, those whose measured 95 % intervals do not meet"
    tau = "not known: no pair is apart" if ranking.tau is None else f"{ranking.tau:+.2f} over {pairs}"
    out.print(f"Kendall's tau of the {quantity}: {tau}")
    for verb, found in (("in the other order", ranking.discordant), ("as equal", ranking.tied)):
        for low, high in found:
            out.print(
                f"  predicted {verb}: {low.name} ({_value(low.measured_ns)} µs, predicted {_value(low.predicted_ns)}) "
                f"and {high.name} ({_value(high.measured_ns)} µs, predicted {_value(high.predicted_ns)})"
            )
