"""Decisions: which of several variants is better, by how much, and at what price."""

from rtsim.planning.compare import Comparison, RankBy, compare
from rtsim.planning.vary import parse_vary, varied

__all__ = ["Comparison", "RankBy", "compare", "parse_vary", "varied"]
