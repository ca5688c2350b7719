"""Nova's placement of guests on a host's NUMA cells and CPUs, exactly as the running Nova decides it."""

from rtsim.nova.capabilities import CapabilitiesCell, CapabilitiesCpu
from rtsim.nova.conf import NovaConf
from rtsim.nova.errors import NovaRefusal
from rtsim.nova.fit import Limits
from rtsim.nova.flavor import Flavor, Image
from rtsim.nova.hazards import host_warnings
from rtsim.nova.host import ComputeHost, place
from rtsim.nova.pci import PciPool, PciRequest, PciState
from rtsim.nova.placement import PlacedCell, Placement
from rtsim.nova.rules import CHANGES, Change, Release, Rules

__all__ = [
    "CHANGES",
    "CapabilitiesCell",
    "CapabilitiesCpu",
    "Change",
    "ComputeHost",
    "Flavor",
    "Image",
    "Limits",
    "NovaConf",
    "NovaRefusal",
    "PciPool",
    "PciRequest",
    "PciState",
    "PlacedCell",
    "Placement",
    "Release",
    "Rules",
    "host_warnings",
    "place",
]
