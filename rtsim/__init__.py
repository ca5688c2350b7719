"""rtsim predicts the scheduling latency of realtime virtual machines before they are deployed.

    from rtsim import Scenario, compare, simulate

    scenario = Scenario.load("realtime4.yaml")
    result = simulate(scenario)      # one run: result.latencies(), result.worst(10)
    comparison = compare(scenario)   # its variants, ranked: comparison.table(), comparison.plot_ccdf()

This page is the whole public interface. Names are imported when they are first used: ``import rtsim`` itself is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rtsim.inputs.errors import InputError, RtsimError
    from rtsim.kernel import Kernel
    from rtsim.nova import Flavor, Image, NovaConf, NovaRefusal, Placement, place
    from rtsim.planning import Comparison, Levers, compare, levers
    from rtsim.profile import Profile, load_profile
    from rtsim.profile.calibration import Calibration, calibrate
    from rtsim.report.html import write_report
    from rtsim.scenario import Host, Result, Scenario, simulate
    from rtsim.topology import Topology, read_capabilities
    from rtsim.traces.cyclictest import read_cyclictest
    from rtsim.traces.reader import read_measured
    from rtsim.traces.validation import validate_measured as validate

__version__ = "0.1.0"

_HOME = {
    # what there is
    "Topology": "rtsim.topology",
    "read_capabilities": "rtsim.topology",
    "Kernel": "rtsim.kernel",
    "Profile": "rtsim.profile",
    "load_profile": "rtsim.profile",
    "Host": "rtsim.scenario",
    # what Nova makes of it
    "Flavor": "rtsim.nova",
    "Image": "rtsim.nova",
    "NovaConf": "rtsim.nova",
    "Placement": "rtsim.nova",
    "place": "rtsim.nova",
    # what will happen
    "Scenario": "rtsim.scenario",
    "simulate": "rtsim.scenario",
    "Result": "rtsim.scenario",
    "compare": "rtsim.planning",
    "Comparison": "rtsim.planning",
    "levers": "rtsim.planning",
    "Levers": "rtsim.planning",
    "write_report": "rtsim.report.html",
    # what did happen
    "read_cyclictest": "rtsim.traces.cyclictest",
    "read_measured": "rtsim.traces.reader",
    "calibrate": "rtsim.profile.calibration",
    "Calibration": "rtsim.profile.calibration",
    "validate": "rtsim.traces.validation:validate_measured",
    # what can go wrong
    "RtsimError": "rtsim.inputs.errors",
    "InputError": "rtsim.inputs.errors",
    "NovaRefusal": "rtsim.nova",
}

__all__ = [
    "Calibration",
    "Comparison",
    "Flavor",
    "Host",
    "Image",
    "InputError",
    "Kernel",
    "Levers",
    "NovaConf",
    "NovaRefusal",
    "Placement",
    "Profile",
    "Result",
    "RtsimError",
    "Scenario",
    "Topology",
    "calibrate",
    "compare",
    "levers",
    "load_profile",
    "place",
    "read_capabilities",
    "read_cyclictest",
    "read_measured",
    "simulate",
    "validate",
    "write_report",
]


def __getattr__(name: str) -> Any:
    home, _, original = _HOME.get(name, "").partition(":")
    if not home:
        raise AttributeError(f"module 'rtsim' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), original or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
