"""A scenario: hosts, placements, workload, duration and seed; read from YAML, assembled, simulated, reported."""

from rtsim.scenario.host import Host
from rtsim.scenario.result import Result
from rtsim.scenario.scenario import Scenario
from rtsim.scenario.simulate import host_in, simulate

__all__ = ["Host", "Result", "Scenario", "host_in", "simulate"]
