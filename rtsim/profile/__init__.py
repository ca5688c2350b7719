"""The numbers of a machine: costs and noise sources, their distributions, and the built-in profiles."""

from rtsim.profile.distributions import (
    Constant,
    Distribution,
    Empirical,
    Exponential,
    Gamma,
    Limited,
    Lognormal,
    Mixture,
    Uniform,
)
from rtsim.profile.empirical import read_empirical
from rtsim.profile.entries import Arrival, CostEntry, DistributionEntry, IdleEntry
from rtsim.profile.load import builtin_profiles, load_profile
from rtsim.profile.model import Costs, MemoryFault, NoiseSource, Profile, VcpuExit, WorkItem
from rtsim.profile.tables import sample

__all__ = [
    "Arrival",
    "Constant",
    "CostEntry",
    "Costs",
    "Distribution",
    "DistributionEntry",
    "Empirical",
    "Exponential",
    "Gamma",
    "IdleEntry",
    "Limited",
    "Lognormal",
    "MemoryFault",
    "Mixture",
    "NoiseSource",
    "Profile",
    "Uniform",
    "VcpuExit",
    "WorkItem",
    "builtin_profiles",
    "load_profile",
    "read_empirical",
    "sample",
]
