"""Decisions: which of several variants is better, by how much, and at what price."""

from rtsim.planning.compare import Comparison, RankBy, compare
from rtsim.planning.levers import Levers, levers
from rtsim.planning.vary import parse_vary, varied

__all__ = ["Comparison", "Levers", "RankBy", "compare", "levers", "parse_vary", "varied"]
