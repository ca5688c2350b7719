"""Fixtures for the tables of placement cases."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rtsim.nova import CapabilitiesCell, CapabilitiesCpu

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).parent / "oracle"))


@pytest.fixture
def four_cpus() -> list[CapabilitiesCell]:
    """The host of the OpenStack example: one cell, CPUs 0-3, sibling pairs (0,1) and (2,3)."""
    cpus = tuple(CapabilitiesCpu(cpu, (cpu // 2 * 2, cpu // 2 * 2 + 1), 0, cpu // 2) for cpu in range(4))
    return [CapabilitiesCell(0, 8 * 1024**2, cpus, ((4, 2 * 1024**2),))]


@pytest.fixture
def data() -> Path:
    """The folder of data files."""
    return ROOT / "data"
