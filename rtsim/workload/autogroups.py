"""Autogroups: where the kernel has them on, each session's tasks of the root cgroup share the CPU as one group does."""

from __future__ import annotations

from collections.abc import Mapping

from rtsim.engine.builder import Builder
from rtsim.engine.constants import NONE
from rtsim.kernel import Kernel, nice_weight
from rtsim.workload.policies import REALTIME
from rtsim.workload.rtapp import RtAppModel

__all__ = ["add_autogroups", "autogroup_of"]


def add_autogroups(builder: Builder, row: int, kernel: Kernel, prefix: str, workload: RtAppModel) -> dict[str, int]:
    """Add the autogroups of a workload's sessions for the kernel in `row`; return their rows, none if they are off.

    Their weight is that of their nice value in /proc/PID/autogroup (kernel/sched/autogroup.c).
    """
    if not kernel.autogroups:
        return {}
    nice = {task.session: 0 for task in workload.tasks.values() if task.session is not None} | workload.sessions
    return {
        session: builder.group(f"/autogroup-{prefix}{session}", kernel=row, shares=nice_weight(value))
        for session, value in nice.items()
    }


def autogroup_of(session: str | None, policy: str, rows: Mapping[str, int]) -> int:
    """Return the group of a task of the root cgroup: autogroups leave realtime tasks to the root group."""
    if session is None or policy in (*REALTIME, "deadline"):
        return NONE
    return rows.get(session, NONE)
