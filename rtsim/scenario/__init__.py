"""A scenario: hosts, placements, workload, duration and seed; read from YAML, assembled, simulated, reported."""

from rtsim.scenario.cpu_sources import CpuSource, HostTask
from rtsim.scenario.host import Host
from rtsim.scenario.host_file import read_host
from rtsim.scenario.result import Result
from rtsim.scenario.scenario import Scenario
from rtsim.scenario.simulate import host_in, simulate
from rtsim.scenario.who import Who, who_can_preempt

__all__ = [
    "CpuSource",
    "Host",
    "HostTask",
    "Result",
    "Scenario",
    "Who",
    "host_in",
    "read_host",
    "simulate",
    "who_can_preempt",
]
