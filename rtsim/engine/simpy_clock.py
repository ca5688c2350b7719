"""The SimPy clock: the same model as a process in a `simpy.Environment`, beside people's own processes.

The process pops the same calendar as the compiled clock, one event at a time, and waits for each event's time. Its
waits are urgent: at any instant the model's events come first, then what other processes do. A process that only looks
on leaves the event trace unchanged. Environment time is integer nanoseconds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator
from typing import Any

import simpy
from simpy.events import URGENT

from rtsim.engine.builder import Names
from rtsim.engine.clock import step
from rtsim.engine.constants import ACT_IRQ, ACT_JOB, ACT_WAKE, NEVER, TR_SAMPLE
from rtsim.engine.state import State

__all__ = ["SimpyHost"]


class _ModelTime(simpy.Event):
    """Like `simpy.Timeout`, but ahead of everybody else's events of the same time."""

    def __init__(self, env: simpy.Environment, delay: int) -> None:
        super().__init__(env)
        self._ok = True
        self._value = None
        env.schedule(self, priority=URGENT, delay=delay)


class SimpyHost:
    """One host in a SimPy environment; several may share it.

    Parameters
    ----------
    env
        The environment; its time must be an integer, in ns.
    s, names
        A state that has not been advanced yet, and the names of its rows.
    """

    def __init__(self, env: simpy.Environment, s: State, names: Names) -> None:
        self.env = env
        self.state = s
        self.names = names
        self._origin = int(env.now)
        self._tasks = {name: row for row, name in enumerate(names.tasks)}
        self._cpus = {name: row for row, name in enumerate(names.cpus)}
        self._waiting: defaultdict[int, list[simpy.Event]] = defaultdict(list)
        self._seen = 0
        step(s, 0, 0)  # the start of all tasks
        self.process = env.process(self._run())

    @property
    def now_ns(self) -> int:
        """Simulated time since this host began, ns."""
        return int(self.env.now) - self._origin

    def wake(self, task: str) -> simpy.Event:
        """Wake `task` now, as an interrupt of its CPU would; the event has happened when it has been asked for.

        Raises
        ------
        KeyError
            There is no such task.
        """
        return self._act(ACT_WAKE, self._task(task), 0)

    def job(self, task: str, duration_ns: int) -> simpy.Event:
        """Give a kernel thread or an emulator thread `duration_ns` of work now."""
        return self._act(ACT_JOB, self._task(task), duration_ns)

    def irq(self, cpu: int, duration_ns: int) -> simpy.Event:
        """Raise a device interrupt on host CPU `cpu` now whose handler takes `duration_ns`."""
        return self._act(ACT_IRQ, self._cpus[f"host/cpu{cpu}"], duration_ns)

    def latency(self, task: str) -> simpy.Event:
        """Return an event that happens with the next latency sample of `task`; its value is the latency in ns."""
        row = self._task(task)
        if self.state.tasks[row]["watch"] < 0:
            raise KeyError(f"{task!r} is not observed")
        event = self.env.event()
        self._waiting[row].append(event)
        self._seen = int(self.state.m[0]["trace_next"])
        return event

    def finish(self, until_ns: int) -> None:
        """Account every CPU up to `until_ns`, after the environment has run to that time."""
        while step(self.state, until_ns, 1):
            pass

    def _task(self, name: str) -> int:
        try:
            return self._tasks[name]
        except KeyError:
            raise KeyError(f"no task {name!r}; there are {', '.join(sorted(self._tasks))}") from None

    def _act(self, action: int, entity: int, value: int) -> simpy.Event:
        while int(self.state.m[0]["next_at"]) <= self.now_ns:  # the model's events of this instant come first
            step(self.state, self.now_ns, 1)
            self._announce()
        m = self.state.m[0]
        m["now"] = self.now_ns
        m["action"], m["action_entity"], m["action_value"] = action, entity, value
        step(self.state, self.now_ns, 0)
        self.process.interrupt()
        done = self.env.event()
        done.succeed()
        return done

    def _run(self) -> Generator[simpy.Event, Any, None]:
        while True:
            try:
                upcoming = int(self.state.m[0]["next_at"])
                if upcoming == NEVER:
                    yield self.env.event()
                if upcoming > self.now_ns:
                    yield _ModelTime(self.env, upcoming - self.now_ns)
                step(self.state, upcoming, 1)
                self._announce()
            except simpy.Interrupt:  # somebody acted: what comes next may be sooner
                continue

    def _announce(self) -> None:
        """Let the samples taken by the last event happen for those who wait for them."""
        if not any(self._waiting.values()):
            return
        newest, length = int(self.state.m[0]["trace_next"]), len(self.state.trace)
        for number in range(self._seen, newest):
            record = self.state.trace[number % length]
            if record["kind"] == TR_SAMPLE:
                for event in self._waiting.pop(int(record["task"]), []):
                    event.succeed(int(record["value"]))
        self._seen = newest
