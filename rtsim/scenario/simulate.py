"""Simulating a scenario once, on either clock, and reading the result off the state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
import simpy

from rtsim.engine import trace
from rtsim.engine.clock import ready, run_until
from rtsim.engine.constants import EXIT_NAMES, WORST_SAMPLES
from rtsim.engine.simpy_clock import SimpyHost
from rtsim.engine.state import State
from rtsim.inputs.errors import RtsimError
from rtsim.kernel.doubts import kernel_doubts
from rtsim.measure.histogram import LogLinearHistogram
from rtsim.scenario.assemble import Assembly, assemble, pins_of
from rtsim.scenario.bounds import Bound, bounds_of, largest
from rtsim.scenario.result import HISTOGRAMS, Result, TaskResult, WorstSample
from rtsim.scenario.scenario import Scenario
from rtsim.scenario.story import story
from rtsim.workload.policies import POLICIES

__all__ = ["Clock", "host_in", "read_result", "simulate"]

Clock = Literal["compiled", "simpy"]
Progress = Callable[[int, int], None]

POLICY_NAMES = {number: name for name, number in POLICIES.items()}
BUCKETS = ("task_ns", "irq_ns", "softirq_ns", "hardware_ns", "idle_ns")
TASK_COUNTS = ("cpu_ns", "smt_ns", "wakeups", "skipped", "voluntary", "involuntary", "migrations", "run_delay")


def simulate(scenario: Scenario, *, clock: Clock = "compiled", progress: Progress | None = None) -> Result:
    """Run a scenario once.

    Parameters
    ----------
    clock
        ``compiled``, or ``simpy`` for the same events as a SimPy process.
    progress
        Called now and then with simulated and total time in ns.

    Raises
    ------
    InputError
        The scenario is wrong.
    NovaRefusal
        Nova refuses one of its guests.
    """
    assembly = assemble(scenario)
    ready()
    end = assembly.warmup_ns + assembly.duration_ns
    if clock == "compiled":
        run_until(assembly.state, assembly.warmup_ns)
        before = _counters(assembly)
        run_until(assembly.state, end, progress)
    else:
        env = simpy.Environment(initial_time=0)
        host = SimpyHost(env, assembly.state, assembly.names)
        _run_simpy(env, host, assembly.warmup_ns)
        before = _counters(assembly)
        _run_simpy(env, host, end)
    return read_result(scenario, assembly, before)


def host_in(env: simpy.Environment, scenario: Scenario) -> SimpyHost:
    """Put the host of a scenario into a SimPy environment, beside your own processes; time is in ns.

    Examples
    --------
    >>> env = simpy.Environment(initial_time=0)
    >>> host = host_in(env, Scenario.load("data/scenarios/smt4.yaml"))
    >>> def control(env, host):
    ...     yield env.timeout(5_000_000)
    ...     yield host.irq(2, 30_000)
    ...     return (yield host.latency("realtime4/cyclictest/2"))
    >>> env.run(until=env.process(control(env, host))) > 0
    True

    Raises
    ------
    InputError, NovaRefusal
        As `simulate` does.
    """
    assembly = assemble(scenario)
    ready()
    return SimpyHost(env, assembly.state, assembly.names)


def _run_simpy(env: simpy.Environment, host: SimpyHost, until_ns: int) -> None:
    env.run(until=until_ns + 1)
    host.finish(until_ns)


Counters = dict[str, np.ndarray[Any, Any]]


def _counters(assembly: Assembly) -> Counters:
    """Return a copy of what has been counted so far, to be taken off at the end: the warm-up."""
    s = assembly.state
    return {
        **{name: np.array(s.cpus[name]) for name in BUCKETS},
        **{name: np.array(s.tasks[name]) for name in TASK_COUNTS},
        "charged": _charged(s),
        "exits": np.array(s.cpus["exits"]),
        "cpu_times": _cpu_times(s),
    }


def _charged(s: State) -> np.ndarray[Any, Any]:
    """Return what each task has been charged for by now, in ns."""
    charged = np.array(s.entities["sum_exec"][: len(s.tasks)])
    for cpu in s.cpus[s.cpus["curr"] >= 0]:
        curr = cpu["curr"]
        charged[curr] += cpu["clock_task"] - cpu["clock"] + s.m[0]["now"] - s.entities[curr]["exec_start"]
    return charged


def _cpu_times(s: State) -> np.ndarray[Any, Any]:
    """Return the time of each task that may use several CPUs on each host CPU, in ns, as rows of `State.cpu_times`."""
    times = np.array(s.cpu_times)
    spread = s.tasks["times_row"] >= 0
    rows, cpus = s.tasks["times_row"][spread], s.tasks["cpu"][spread]
    times[rows, cpus] += s.tasks["cpu_ns"][spread] - s.tasks["ns_before"][spread]
    return times


def read_result(scenario: Scenario, assembly: Assembly, before: Counters) -> Result:
    """Return the result that a finished state holds; `before` are the counters at the end of the warm-up."""
    s, names = assembly.state, assembly.names
    m = s.m[0]
    if m["broken_causes"]:
        raise RtsimError(f"{scenario.source}: causes of {m['broken_causes']} samples do not sum to their latency")
    told = assembly.told(scenario.model.observe)
    times = _cpu_times(s) - before["cpu_times"]
    charged = _charged(s) - before["charged"]
    tasks = {
        name: _task(assembly, row, before, int(charged[row]), times, name in told)
        for row, name in enumerate(names.tasks)
    }
    for together, threads in assembly.together.items():
        if len(threads) > 1:
            tasks[together] = tasks[threads[0]].merged(tasks[thread] for thread in threads[1:])
    cpus = {
        cpu: {name: int(s.cpus[cpu][name] - before[name][cpu]) for name in BUCKETS} for cpu in range(m["n_host_cpus"])
    }
    guests = {
        guest.name: {
            "placement": pins_of(guest.placement), "cpus_spent": guest.cpus_spent(),
            "workload_vcpus": guest.vcpus_left(), "warnings": list(guest.warnings),
        }
        for guest in assembly.guests
    }  # fmt: skip
    data = {key: value for key, value in scenario.data.items() if key != "variants"}
    return Result(
        version("rtsim"), data, tasks, cpus, guests, assembly.duration_ns, int(m["events"]), int(m["lost_jobs"]),
        _bounds(assembly), tuple(_warnings(assembly)),
    )  # fmt: skip


def _warnings(assembly: Assembly) -> Iterator[str]:
    """Yield what makes the input doubtful, and what will hurt the guests."""
    if assembly.host.replay:
        yield from assembly.host.replay.noise.warnings
    kernels = {"host": assembly.host.kernel, **{guest.name: guest.kernel for guest in assembly.guests}}
    for name, kernel in kernels.items():
        yield from (f"{name}: {doubt}" for doubt in kernel_doubts(kernel))
    for guest in assembly.guests:
        yield from (f"{guest.name}: {warning}" for warning in guest.warnings)


def _bounds(assembly: Assembly) -> dict[str, Bound]:
    """Return the bounds by task, and of threads that are shown together where all of them have one."""
    bounds = bounds_of(assembly.state, assembly.names)
    for together, threads in assembly.together.items():
        if len(threads) > 1 and all(thread in bounds for thread in threads):
            bounds[together] = largest(bounds[thread] for thread in threads)
    return bounds


def _task(
    assembly: Assembly, row: int, before: Counters, charged_ns: int, times: np.ndarray[Any, Any], told: bool
) -> TaskResult:
    s = assembly.state
    task = s.tasks[row]
    watch = int(task["watch"])
    counts = {name: int(task[name] - before[name][row]) for name in TASK_COUNTS}
    return TaskResult(
        policy=POLICY_NAMES[int(task["policy"])],
        cpus=_cpus(task["allowed"]),
        histograms=_histograms(assembly, watch),
        cpu_time_ns=counts["cpu_ns"],
        charged_ns=charged_ns,
        smt_ns=counts["smt_ns"],
        wakeups=counts["wakeups"],
        skipped=counts["skipped"],
        switches_voluntary=counts["voluntary"],
        switches_involuntary=counts["involuntary"],
        migrations=counts["migrations"],
        run_delay_ns=counts["run_delay"],
        cpu_times_ns=_by_cpu(times, int(task["times_row"])),
        exits=_exits(s, int(task["guest_cpu"]), before),
        causes_ns=_causes(assembly, s.cause_totals[watch]) if told else {},
        worst=_worst(assembly, watch) if told else (),
    )


def _exits(s: State, guest_cpu: int, before: Counters) -> dict[str, int]:
    """Return how often the vCPU that carries `guest_cpu` left guest mode, by the reasons that it did for."""
    if guest_cpu < 0:
        return {}
    counts = s.cpus["exits"][guest_cpu] - before["exits"][guest_cpu]
    return {name: int(count) for name, count in zip(EXIT_NAMES, counts, strict=True) if count}


def _by_cpu(times: np.ndarray[Any, Any], row: int) -> dict[int, int]:
    """Return the times of one row that are not zero, by CPU."""
    return {} if row < 0 else {int(cpu): int(times[row, cpu]) for cpu in np.flatnonzero(times[row])}


def _cpus(words: np.ndarray[Any, Any]) -> tuple[int, ...]:
    return tuple(64 * i + bit for i, word in enumerate(words) for bit in range(64) if (int(word) >> bit) & 1)


EMPTY = LogLinearHistogram(np.zeros(1, np.int64), total_ns=0, min_ns=None, max_ns=None)


def _histograms(assembly: Assembly, watch: int) -> dict[str, LogLinearHistogram]:
    if watch < 0:
        return dict.fromkeys(HISTOGRAMS, EMPTY)
    w = assembly.state.watches[watch]
    found = {}
    for which, name in enumerate(HISTOGRAMS):
        some = w["count"][which] > 0
        found[name] = LogLinearHistogram(
            assembly.state.histograms[watch, which], total_ns=int(w["total"][which]),
            min_ns=int(w["least"][which]) if some else None, max_ns=int(w["most"][which]) if some else None,
        )  # fmt: skip
    return found


def _causes(assembly: Assembly, vector: np.ndarray[Any, Any]) -> dict[str, int]:
    """Return the causes that are not zero, largest first."""
    names = assembly.names.causes()
    found = {names[i]: int(vector[i]) for i in np.flatnonzero(vector)}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _carriers(assembly: Assembly, task: int) -> set[int]:
    """Return the CPU of a task and, inside a guest, the host CPU that carries it."""
    s = assembly.state
    cpu = int(s.tasks[task]["cpu"])
    carrier = int(s.cpus[cpu]["carrier"])
    return {cpu} if carrier < 0 else {cpu, int(s.tasks[carrier]["cpu"])}


def _worst(assembly: Assembly, watch: int) -> tuple[WorstSample, ...]:
    s = assembly.state
    first = watch * WORST_SAMPLES
    concerned = _carriers(assembly, int(s.watches[watch]["task"]))
    samples = []
    for row in range(first, first + int(s.watches[watch]["worst_count"])):
        kept, causes = s.worst[row], _causes(assembly, s.worst_causes[row])
        release, latency = int(kept["release"]), int(kept["latency"])
        window = trace.rows(kept["window"], int(kept["trace_count"]))
        told = story(release, latency, causes, window, concerned, assembly.names)
        samples.append(WorstSample(release, latency, causes, told))
    return tuple(sorted(samples, key=lambda sample: (-sample.latency_ns, sample.release_ns)))
