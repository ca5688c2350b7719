"""Assembling a state: kernels, CPUs, tasks, locks, noise sources and tables are added one by one, then laid out.

The builder knows rows and numbers only; what they mean (flavors, profiles, workloads) is for its callers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rtsim.engine import random
from rtsim.engine.constants import (
    BATCH,
    BURSTS,
    CAPACITY,
    DEADLINE,
    FIFO,
    FULL_SPEED,
    IDLE,
    IDLE_POLICY,
    IDLE_STATES,
    IN_HOST,
    MAX_CPUS,
    NEVER,
    NOISE_ARM,
    NONE,
    NOT_VCPU,
    ON_DEMAND,
    OP_BLOCK,
    OP_GUEST,
    OP_JOB,
    OP_JUMP,
    OP_LOOP,
    OP_RUN,
    OP_SOFTIRQ,
    OP_START,
    OP_TIMER,
    OTHER,
    PERIODIC,
    RECORDED,
    RENEWAL,
    RR,
    RUNNABLE,
    SLEEPING,
    STOP,
    VEC_NET_RX,
)
from rtsim.engine.domains import Domain, mask_words
from rtsim.engine.layout import Names, lay_out_state
from rtsim.engine.state import State
from rtsim.kernel.weights import IDLE_WEIGHT, nice_weight

__all__ = ["Builder", "Names", "Op"]

OPTIONAL_COSTS = (
    "schedule", "preempt_fair", "put_fair", "cgroup_level", "hrtimer_program", "irq_thread_hard", "ktimers",
    "softirq_exit", "sched_softirq", "enqueue_remote", "timer_work", "clock_program", "lock_release",
    "timer_rearm",
)  # fmt: skip

JOB_RING = 256
KERNEL_DEFAULTS = {
    "sched_nr_latency": 8, "alt_period": 1, "run_to_parity": 1, "pick_buddy": 1, "clock_skip": 1,
    "bandwidth_slice": 5_000_000, "rt_runtime": NEVER, "rt_period": 1_000_000_000, "rt_group_sched": 0, "rr_ticks": 1,
    "fair_server_runtime": 0, "fair_server_period": 1_000_000_000, "migration_cost": 500_000, "nr_migrate": 32,
    "ttwu_queue": 1, "preemption_timer": 1, "timer_task": NONE,
    "smt_speed": FULL_SPEED,
}  # fmt: skip
"""What a kernel does unless it is told otherwise: its own defaults, and nothing that holds realtime tasks back."""
DEFAULT_TRACE = 4096


class Op(NamedTuple):
    """One operation of a task's program (see `rtsim.engine.program`); jumps count from the program's first."""

    code: int
    value: int = 0
    extra: int = 0


@dataclass
class Builder:
    """Collects rows; `build` returns the state, ready for its first `advance`."""

    seed: int = 0
    trace_length: int = DEFAULT_TRACE
    kernels: list[dict[str, Any]] = field(default_factory=list)
    cpus: list[dict[str, Any]] = field(default_factory=list)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    groups: list[dict[str, Any]] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    timers: list[dict[str, int]] = field(default_factory=list)
    masks: list[list[int]] = field(default_factory=list)
    locks: list[dict[str, int]] = field(default_factory=list)
    jobs: int = 0
    sources: list[dict[str, Any]] = field(default_factory=list)
    arrivals: list[npt.NDArray[np.int64]] = field(default_factory=list)
    tables: list[npt.NDArray[np.int64]] = field(default_factory=list)
    domains: dict[int, Mapping[int, Sequence[Domain]]] = field(default_factory=dict)
    """Scheduling domains of each CPU, bottom up, by kernel; a kernel that is missing has one flat domain."""
    _table_rows: dict[bytes, int] = field(default_factory=dict)
    _names: dict[str, list[str]] = field(default_factory=lambda: {"cpus": [], "tasks": [], "sources": []})

    # ---- tables ---------------------------------------------------------------------------------------------

    def table(self, quantiles: npt.ArrayLike) -> int:
        """Add a quantile table (`random.TABLE_SIZE` values in ns, ascending) and return its row."""
        values = np.asarray(quantiles, dtype=np.int64)
        if values.shape != (random.TABLE_SIZE,):
            raise ValueError(f"a quantile table has {random.TABLE_SIZE} values, not {values.shape}")
        constant = values[0] if values[0] == values[-1] else NONE
        row = np.append(values, constant)
        return self._table_rows.setdefault(row.tobytes(), self._append_table(row))

    def constant(self, value_ns: int) -> int:
        """Add a table that always gives `value_ns`."""
        return self.table(np.full(random.TABLE_SIZE, value_ns))

    def _append_table(self, row: npt.NDArray[np.int64]) -> int:
        if row.tobytes() not in self._table_rows:
            self.tables.append(row)
        return len(self.tables) - 1

    # ---- machines -------------------------------------------------------------------------------------------

    def kernel(self, cpu_count: int, *, idle_exit: int | Sequence[tuple[int, int]] = 0, **fields: Any) -> int:
        """Add a kernel whose `cpu_count` CPUs are added next, by `cpu`; `fields` are those of `KERNEL`.

        Costs that are not given are those of `OPTIONAL_COSTS` only, and nothing.

        `idle_exit` is one table, or (residency in ns, table) of each idle state from shallow to deep.
        """
        states = [(0, idle_exit)] if isinstance(idle_exit, int) else list(idle_exit)[:IDLE_STATES]
        unused = [0] * (IDLE_STATES - len(states))
        optional = {name: self.constant(0) for name in OPTIONAL_COSTS if name not in fields}
        self.kernels.append(
            {
                "cpu_base": len(self.cpus), "cpu_count": cpu_count, "idle_states": len(states),
                "idle_residency": [residency for residency, _ in states] + unused,
                "idle_exit": [table for _, table in states] + unused, **KERNEL_DEFAULTS, **optional, **fields,
            }
        )  # fmt: skip
        return len(self.kernels) - 1

    def cpu(
        self, name: str, kernel: int, *, carrier: int = NONE, nohz_full: bool = False, isolated: bool = False,
        root_domain: int | None = None, tick_offset_ns: int = 0, frequency: float = 1.0, node: int = 0,
    ) -> int:  # fmt: skip
        """Add a CPU; one of a guest names the vCPU task that carries it. Host CPUs come first.

        Isolated CPUs share a root domain, and so do all others unless `root_domain` tells them apart. `frequency` is a
        share of the one at which all work is given.
        """
        key, gamma = random.stream(self.seed, name, "costs")
        self._names["cpus"].append(name)
        self.cpus.append(
            {
                "kernel": kernel, "carrier": carrier, "executing": int(carrier < 0), "bottom": IDLE, "curr": NONE,
                "prev": NONE, "ksoftirqd": NONE, "ktimers": NONE,
                "section_rest": NONE, "tick_at": NEVER, "nohz_full": int(nohz_full), "isolated": int(isolated),
                "node": node,
                "arm_source": NONE, "root_domain": int(isolated) if root_domain is None else root_domain,
                "dl_head": NONE, "timer_head": [NONE, NONE], "tick_offset": tick_offset_ns,
                "sched_timer": NONE, "sched_timer_at": NEVER,
                "watch_head": NONE, "wake_head": NONE, "stream_key": key, "stream_gamma": gamma,
                "sibling": NONE, "speed": round(FULL_SPEED * frequency), "frequency": round(FULL_SPEED * frequency),
                "capacity": CAPACITY,
            }
        )  # fmt: skip
        return len(self.cpus) - 1

    def core(self, cpus: Sequence[int]) -> None:
        """Let `cpus`, rows of `cpus`, be the threads of one core."""
        for cpu, following in zip(cpus, [*cpus[1:], cpus[0]], strict=True):
            self.cpus[cpu]["sibling"] = following if len(cpus) > 1 else NONE

    def lock(self, missing: int = 0) -> int:
        """Add a mutex, a condition variable, or a barrier at which the last of ``missing + 1`` tasks waits for none."""
        self.locks.append({"owner": NONE, "head": NONE, "tail": NONE, "missing": missing})
        return len(self.locks) - 1

    def timer(self, *, relative: bool = False, last_ns: int | None = None) -> int:
        """Add a timer for OP_TIMER; its first period starts at `last_ns`, or else at its first user's start."""
        begun = last_ns is not None
        self.timers.append({"expires": last_ns or 0, "begun": int(begun), "relative": int(relative)})
        return len(self.timers) - 1

    def mask(self, cpus: Iterable[int]) -> int:
        """Add an affinity mask for OP_AFFINITY."""
        self.masks.append(_mask(sorted(set(cpus))))
        return len(self.masks) - 1

    def group(
        self, path: str, *, kernel: int = 0, parent: int = NONE, shares: int = 1024, idle: bool = False,
        quota_ns: int = NONE, period_ns: int = 100_000_000, burst_ns: int = 0, phase_ns: int = 0,
        rt_runtime_ns: int = 0, rt_period_ns: int = 1_000_000_000,
    ) -> int:  # fmt: skip
        """Add a cgroup with the cpu controller; its parent comes first.

        A quota of NONE is no limit; its periods end `phase_ns` after whole periods. Its realtime tasks may run
        `rt_runtime_ns` (NONE: no limit) of each `rt_period_ns` on a CPU, where the kernel has CONFIG_RT_GROUP_SCHED.
        """
        self.groups.append(
            {
                "path": path, "kernel": kernel, "parent": parent, "idle": int(idle),
                "shares": (IDLE_WEIGHT if idle else shares) << 10,
                "quota": max(quota_ns, 0), "runtime": max(quota_ns, 0),
                "period": period_ns, "period_at": phase_ns, "burst": burst_ns,
                "rt_runtime": NEVER if rt_runtime_ns < 0 else rt_runtime_ns, "rt_period": rt_period_ns,
                "throttled_head": NONE, "throttled_tail": NONE,
            }
        )  # fmt: skip
        return len(self.groups) - 1

    # ---- tasks ----------------------------------------------------------------------------------------------

    def _task(self, name: str, kernel: int, cpus: Iterable[int], policy: int, priority: int, **fields: Any) -> int:
        allowed = sorted(set(cpus))
        first = self.kernels[kernel]["cpu_base"]
        self._names["tasks"].append(name)
        self.tasks.append(
            {
                "kernel": kernel, "cpu": first + allowed[0], "policy": policy, "prio": _kernel_prio(policy, priority),
                "weight": _weight(policy, priority), "slice": 0, "group": NONE,
                "cpus": allowed, "allowed": _mask(allowed), "nr_allowed": len(allowed),
                "next": NONE, "prev": NONE, "wake_next": NONE, "timer_cpu": NONE, "timer_next": NONE, "left": NONE,
                "job_sampled": NONE, "mode": NOT_VCPU, "guest_cpu": NONE, "lock": NONE, "lock_next": NONE,
                "watch": NONE, "pc": len(self.ops), "transit_next": NONE, "waker_last": NONE, "halted_at": NONE,
                "timer_deadline": NONE,
                "rr_left": self.kernels[kernel].get("rr_ticks", 1),
                "state": RUNNABLE,
                **fields,
            }
        )  # fmt: skip
        return len(self.tasks) - 1

    def program(
        self, name: str, kernel: int, cpus: Iterable[int], policy: int, priority: int, ops: Sequence[Op], **fields: Any
    ) -> int:
        """Add a task with a program of its own; `fields` are those of `TASK`."""
        task = self._task(name, kernel, cpus, policy, priority, **fields)
        start = len(self.ops)
        for op in ops:
            self.ops.append(op._replace(value=start + op.value) if op.code in (OP_JUMP, OP_LOOP) else op)
        return task

    def hog(
        self, name: str, kernel: int, cpus: Iterable[int], policy: int, priority: int, *, first_ns: int = 0,
        **fields: Any,
    ) -> int:  # fmt: skip
        """Add a task that computes for ever, from `first_ns` on."""
        sleep = [Op(OP_START), Op(OP_BLOCK)] if first_ns else []
        return self.program(
            name, kernel, cpus, policy, priority, [*sleep, Op(OP_RUN, NONE)], first=first_ns, **fields
        )  # fmt: skip

    def periodic(
        self, name: str, kernel: int, cpus: Iterable[int], policy: int, priority: int, *,
        period_ns: int, first_ns: int, work: int, slack_ns: int, catch_up: bool = False, **fields: Any,
    ) -> int:  # fmt: skip
        """Add a task released at ``first_ns + n * period_ns`` that then computes for a draw from table `work`."""
        timer = self.timer(last_ns=first_ns - period_ns)
        ops = [Op(OP_TIMER, timer, period_ns), Op(OP_BLOCK), Op(OP_RUN, work), Op(OP_JUMP, 0)]
        return self.program(
            name, kernel, cpus, policy, priority, ops, slack=slack_ns, catch_up=int(catch_up), **fields
        )  # fmt: skip

    def server(
        self,
        name: str,
        kernel: int,
        cpus: Iterable[int],
        policy: int,
        priority: int,
        *,
        lock: int = NONE,
        room: int = JOB_RING,
        **fields: Any,
    ) -> int:
        """Add a task that serves the jobs of noise sources, one after the other; up to `room` of them wait."""
        task = self._task(
            name, kernel, cpus, policy, priority,
            lock=lock, state=SLEEPING, job_base=self.jobs, job_size=room, **fields,
        )  # fmt: skip
        self.jobs += room
        self.ops.append(Op(OP_JOB))
        return task

    def softirq_thread(
        self, name: str, cpu: int, role: str, policy: int, priority: int, *, vectors: Iterable[int]
    ) -> int:
        """Add the thread that runs softirq `vectors` of `cpu`, a row of `cpus`; `role`: ksoftirqd or ktimers."""
        kernel = self.cpus[cpu]["kernel"]
        local = cpu - self.kernels[kernel]["cpu_base"]
        task = self._task(
            name, kernel, [local], policy, priority,
            kthread=1, state=SLEEPING, softirq_vectors=sum(1 << vector for vector in vectors),
        )  # fmt: skip
        self.ops.append(Op(OP_SOFTIRQ))
        self.cpus[cpu][role] = task
        return task

    def vcpu(
        self, name: str, kernel: int, cpus: Iterable[int], policy: int, priority: int, *, lock: int, **fields: Any
    ) -> int:
        """Add a vCPU thread; its guest CPU is added later with ``cpu(..., carrier=task)``."""
        task = self._task(name, kernel, cpus, policy, priority, lock=lock, mode=IN_HOST, **fields)
        self.ops.append(Op(OP_GUEST))
        return task

    # ---- noise ----------------------------------------------------------------------------------------------

    def source(
        self, name: str, kind: int, *, duration: int = NONE, cpu: int = NONE, task: int = NONE, locked: bool = False,
        lasting: bool = False, on_disk: bool = False, period_ns: int = 0, phase_ns: int = 0, interval: int = NONE,
        burst_size: int = 0, burst_spacing_ns: int = 0, vector: int = VEC_NET_RX, server: int = NONE,
        answer: int = NONE, recorded: npt.NDArray[np.int64] | None = None,
    ) -> int:  # fmt: skip
        """Add a noise source: periodic (with `interval` as a table of jitter), or with `interval` between arrivals.

        One that was `recorded`, shape (arrivals, 2): times, ascending, and durations, both in ns, has neither intervals
        nor a table of durations; with a period it begins again after each.
        """
        arrival_key, arrival_gamma = random.stream(self.seed, name, "arrival")
        duration_key, duration_gamma = random.stream(self.seed, name, "duration")
        arrival = PERIODIC if period_ns else BURSTS if burst_size else RENEWAL
        if recorded is not None:
            arrival = RECORDED
        elif kind == NOISE_ARM:
            arrival = ON_DEMAND
        self._names["sources"].append(name)
        self.sources.append(
            {
                "kind": kind, "cpu": cpu, "task": task, "locked": int(locked), "duration": duration, "vector": vector,
                "lasting": int(lasting), "on_disk": int(on_disk),
                "server": server, "answer": answer, "arrival": arrival, "period": period_ns, **self._rows(recorded),
                "phase": phase_ns, "interval": interval, "burst_size": burst_size, "burst_spacing": burst_spacing_ns,
                "last": 0 if period_ns else phase_ns, "arrival_key": arrival_key, "arrival_gamma": arrival_gamma,
                "duration_key": duration_key, "duration_gamma": duration_gamma,
            }
        )  # fmt: skip
        return len(self.sources) - 1

    def emulated_timer(self, name: str, cpu: int, *, hold: int) -> None:
        """Let the guest CPU `cpu` tell QEMU's main loop each timer that it arms, and hold QEMU's lock for `hold`."""
        source = self.source(name, NOISE_ARM, task=self.cpus[cpu]["carrier"], duration=hold)
        self.cpus[cpu]["arm_source"] = source

    def _rows(self, recorded: npt.NDArray[np.int64] | None) -> dict[str, int]:
        """Add the arrivals of a recorded source; return which rows are its own."""
        first = sum(map(len, self.arrivals))
        if recorded is not None:
            self.arrivals.append(recorded)
        return {"first_row": first, "rows": 0 if recorded is None else len(recorded)}

    # ---- phases ---------------------------------------------------------------------------------------------

    def rt_phase(self, kernel: int, period_ns: int) -> int:
        """Draw when the periods of RT throttling begin on a kernel."""
        return random.uniform_below(self.seed, f"kernel{kernel}", "rt_period", period_ns)

    def balance_phase(self, cpu: int, level: int, ticks: int) -> int:
        """Draw when the passes of balancing begin in a domain of a CPU."""
        return random.uniform_below(self.seed, f"{self._names['cpus'][cpu]}/domain{level}", "balance", ticks)

    # ---- layout ---------------------------------------------------------------------------------------------

    def build(self, watched: Sequence[int], observe_from_ns: int = 0) -> tuple[State, Names]:
        """Lay the state out; `watched` tasks get histograms, causes and worst samples."""
        for watch, task in enumerate(watched):
            self.tasks[task]["watch"] = watch
        for cpu in self.cpus:
            cpu["timer_home"] = self._timer_home(cpu)
        names = Names(
            tuple(self._names["cpus"]), tuple(self._names["tasks"]), tuple(self._names["sources"]), tuple(watched)
        )
        return lay_out_state(self, names, observe_from_ns), names

    def _timer_home(self, cpu: Mapping[str, Any]) -> int:
        """Return the first housekeeping CPU on the node of `cpu`, or of its kernel (housekeeping_any_cpu)."""
        kernel = self.kernels[cpu["kernel"]]
        first = kernel["cpu_base"]
        houses = [row for row in range(first, first + kernel["cpu_count"]) if not self.cpus[row]["nohz_full"]]
        near = [row for row in houses if self.cpus[row]["node"] == cpu["node"]]
        return next(iter(near or houses), NONE)


def _mask(cpus: Sequence[int]) -> list[int]:
    if cpus[-1] >= MAX_CPUS:
        raise ValueError(f"at most {MAX_CPUS} CPUs a kernel, not CPU {cpus[-1]}")
    return mask_words(cpus)


def _kernel_prio(policy: int, priority: int) -> int:
    if policy in (STOP, DEADLINE):
        return -1
    return 99 - priority if policy in (FIFO, RR) else 120 + priority


def _weight(policy: int, priority: int) -> int:
    if policy == IDLE_POLICY:
        return IDLE_WEIGHT
    return nice_weight(priority) if policy in (OTHER, BATCH) else 0
