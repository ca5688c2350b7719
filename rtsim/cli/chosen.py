"""The scenario a command runs: its file, with the seed and the duration given on the command line."""

from __future__ import annotations

from pathlib import Path

from rtsim.scenario import Scenario

__all__ = ["chosen_scenario"]


def chosen_scenario(path: Path, seed: int | None, duration: str | None) -> Scenario:
    """Return the scenario of `path`; raises InputError as `Scenario.load` and `Scenario.lasting` do."""
    scenario = Scenario.load(path)
    if seed is not None:
        scenario = scenario.seeded(seed)
    return scenario if duration is None else scenario.lasting(duration)
