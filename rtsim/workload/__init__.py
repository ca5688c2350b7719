"""What runs: rt-app's tasks, cyclictest, oslat and timerlat, each as a model of its options and as rows."""

from rtsim.workload.autogroups import add_autogroups, autogroup_of
from rtsim.workload.cgroups import CgroupModel, Cgroups, checked_path
from rtsim.workload.cyclictest import CyclictestModel, add_cyclictest
from rtsim.workload.model import WorkloadModel, load_workload
from rtsim.workload.observers import OslatModel, TimerlatModel, add_oslat, add_timerlat
from rtsim.workload.programs import Setting, add_task, instance_names
from rtsim.workload.rtapp import TaskModel

__all__ = [
    "CgroupModel",
    "Cgroups",
    "CyclictestModel",
    "OslatModel",
    "Setting",
    "TaskModel",
    "TimerlatModel",
    "WorkloadModel",
    "add_autogroups",
    "add_cyclictest",
    "add_oslat",
    "add_task",
    "add_timerlat",
    "autogroup_of",
    "checked_path",
    "instance_names",
    "load_workload",
]
