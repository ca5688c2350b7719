"""What runs: cyclictest, and tasks in rt-app's words, each as a model of its options and as rows of the engine."""

from rtsim.workload.cyclictest import CyclictestModel, add_cyclictest
from rtsim.workload.rtapp import TaskModel, add_task

__all__ = ["CyclictestModel", "TaskModel", "add_cyclictest", "add_task"]
