"""Recording a host: what it is, and how late its tasks run, into one folder.

`recording.record` does it; `host` collects what the host is, `tracefs` records kernel events, `tools` runs the tools.
"""

from rtsim.traces.recorder.recording import PARTS, Plan, check, record

__all__ = ["PARTS", "Plan", "check", "record"]
