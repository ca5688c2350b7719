"""How a kernel is set up: release, preemption model, HZ, command line, isolation, and the scheduler's rules by it."""

from rtsim.kernel.commandline import CommandLine
from rtsim.kernel.cpusets import Cpuset, partitions_of
from rtsim.kernel.features import Features, features, scaling_factor
from rtsim.kernel.isolation import Isolation, Masks
from rtsim.kernel.kernel import HZ, PREEMPTION_MODELS, Kernel
from rtsim.kernel.release import Release
from rtsim.kernel.weights import IDLE_WEIGHT, NICE_0_WEIGHT, NICE_WEIGHTS, nice_weight, shares_of_weight

__all__ = [
    "HZ",
    "IDLE_WEIGHT",
    "NICE_0_WEIGHT",
    "NICE_WEIGHTS",
    "PREEMPTION_MODELS",
    "CommandLine",
    "Cpuset",
    "Features",
    "Isolation",
    "Kernel",
    "Masks",
    "Release",
    "features",
    "nice_weight",
    "partitions_of",
    "scaling_factor",
    "shares_of_weight",
]
