"""Random small machines as plain data (JSON), and the state each describes: what the clocks are compared on."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder, Names, Op
from rtsim.engine.fields import KERNEL
from rtsim.engine.state import State

US = 1_000
MS = 1_000_000

COSTS = (
    "context_switch", "syscall_exit", "irq_entry", "timer_irq", "tick", "wake", "ipi", "softirq_entry", "idle_exit",
    "preempt_off", "vm_entry", "schedule", "preempt_fair", "put_fair", "cgroup_level", "hrtimer_program",
    "clock_program", "irq_thread_hard", "ktimers", "softirq_exit",
)  # fmt: skip

RULES = (
    "preempt", "force_irqthreads", "softirq_defers", "timer_migration", "idle_polls", "smt_speed", "halt_poll_ns",
    "halt_poll_grow", "halt_poll_grow_start", "halt_poll_shrink", "timer_advance_adapts", "preemption_timer",
    "guest_poll_ns", "guest_poll_grow", "guest_poll_grow_start", "guest_poll_shrink", "spinlocks", "spin_threshold",
    "ple_window", "ple_window_grow", "ple_window_shrink", "ple_window_max",
)  # fmt: skip

durations = st.one_of(st.just(0), st.integers(1, 20 * US))
long_durations = st.one_of(st.integers(1, 50 * US), st.integers(1, 2 * MS))


@st.composite
def kernels(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the rules and costs of a kernel."""
    return {
        "tick_ns": draw(st.sampled_from([1 * MS, 4 * MS])),
        "fair": draw(st.integers(0, 1)),
        "preempt": draw(st.integers(es.PREEMPT_NONE, es.PREEMPT_RT)),
        "force_irqthreads": draw(st.integers(0, 1)),
        "softirq_defers": draw(st.integers(0, 1)),
        "timer_migration": draw(st.integers(0, 1)),
        "idle_polls": draw(st.integers(0, 1)),
        "smt_speed": draw(st.sampled_from([es.FULL_SPEED, 635])),
        "halt_poll_ns": draw(st.sampled_from([0, 200 * US])),
        "halt_poll_grow": draw(st.integers(0, 2)),
        "halt_poll_grow_start": 10 * US,
        "halt_poll_shrink": draw(st.integers(0, 2)),
        "timer_advance_adapts": draw(st.integers(0, 1)),
        "preemption_timer": draw(st.integers(0, 1)),
        "guest_poll_ns": draw(st.sampled_from([0, 0, 200 * US])),
        "guest_poll_grow": 2,
        "guest_poll_grow_start": 50 * US,
        "guest_poll_shrink": 2,
        "spinlocks": draw(st.integers(es.SPIN_NATIVE, es.SPIN_PV)),
        "spin_threshold": 40 * US,
        "ple_window": draw(st.sampled_from([0, 4096])),
        "ple_window_grow": 2,
        "ple_window_shrink": draw(st.integers(0, 2)),
        "ple_window_max": 2**32 - 1,
        "softirq_threads": draw(st.sampled_from([(), ("ksoftirqd",), ("ksoftirqd", "ktimers")])),
        "costs": {name: [draw(durations), draw(durations)] for name in COSTS},
        "vm_exit": [draw(durations) for _ in range(KERNEL["vm_exit"].shape[0])],
    }


STEPS = ("run", "runtime", "sleep", "timer", "lock", "wait", "signal", "broad", "barrier", "yield", "affinity", "spin")


@st.composite
def workloads(draw: st.DrawFn, cpus: int) -> list[dict[str, Any]]:
    """Draw hogs and periodic tasks on `cpus` CPUs."""
    return [
        {
            "kind": draw(st.sampled_from(["hog", "periodic", "program"])),
            "steps": draw(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(1, 500 * US)), max_size=5)),
            "cpus": sorted(draw(st.sets(st.integers(0, cpus - 1), min_size=1))),
            "policy": draw(st.sampled_from([es.FIFO, es.RR, es.OTHER, es.BATCH, es.IDLE_POLICY])),
            "priority": draw(st.integers(1, 19)),
            "period": draw(st.integers(100 * US, 3 * MS)),
            "first": draw(st.integers(0, 2 * MS)),
            "work": draw(long_durations),
            "slack": draw(st.sampled_from([0, 50 * US])),
            "catch_up": draw(st.booleans()),
        }
        for _ in range(draw(st.integers(0, 3)))
    ]


@st.composite
def noises(draw: st.DrawFn, cpus: int, guest_cpus: int) -> list[dict[str, Any]]:
    """Draw noise of every class on host and guest."""
    return [
        {
            "kind": draw(st.integers(es.NOISE_HARDWARE, es.NOISE_DOORBELL)),
            "level": draw(st.sampled_from(["host", "guest"])) if guest_cpus else "host",
            "cpu": draw(st.integers(0, max(cpus, guest_cpus) - 1)),
            "policy": draw(st.sampled_from([es.STOP, es.FIFO, es.OTHER])),
            "kthread": draw(st.booleans()),
            "locked": draw(st.booleans()),
            "lasting": draw(st.booleans()),
            "vector": draw(st.integers(0, es.VECTORS - 1)),
            "threaded": draw(st.booleans()),
            "arrival": draw(st.sampled_from(["periodic", "renewal", "bursts", "recorded", "recorded again"])),
            "interval": [draw(st.integers(100 * US, 1 * MS)), draw(st.integers(1, 3 * MS))],
            "duration": [draw(durations), draw(long_durations)],
        }
        for _ in range(draw(st.integers(0, 5)))
    ]


@st.composite
def machines(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a host of 1 to 3 CPUs with 0 to 2 guests' vCPUs, tasks and noise."""
    cpus = draw(st.integers(1, 3))
    vcpus = draw(st.integers(0, 3))
    return {
        "seed": draw(st.integers(0, 2**31)),
        "cpus": cpus,
        "nohz_full": draw(st.booleans()),
        "isolated": draw(st.booleans()),
        "kernel": draw(kernels()),
        "guest_kernel": draw(kernels()),
        "vcpus": [
            {
                "cpus": sorted(draw(st.sets(st.integers(0, cpus - 1), min_size=1))),
                "policy": draw(st.sampled_from([es.FIFO, es.OTHER])),
                "timer_advance": draw(st.sampled_from([0, 1 * US])),
                "halt_poll_ns": draw(st.sampled_from([0, 40 * US])),
            }
            for _ in range(vcpus)
        ],
        "emulator_fires_timers": draw(st.booleans()),
        "emulator_cpus": sorted(draw(st.sets(st.integers(0, cpus - 1), min_size=1))),
        "tasks": draw(workloads(cpus)),
        "guest_tasks": draw(workloads(vcpus)) if vcpus else [],
        "noise": draw(noises(cpus, vcpus)),
        "until": draw(st.integers(1, 8)) * MS,
    }


def _uniform(b: Builder, bounds: list[int]) -> int:
    low, high = sorted(bounds)
    steps = 2048
    return b.table([low + (high - low) * i // steps for i in range(steps + 1)])


def _kernel(b: Builder, spec: dict[str, Any], cpus: int) -> int:
    return b.kernel(
        cpus, tick_ns=spec["tick_ns"], fair=spec["fair"], sched_latency=6 * MS,
        min_granularity=750 * US, wakeup_granularity=MS, base_slice=700 * US, rr_ticks=2,
        vm_exit=[b.constant(ns) for ns in spec["vm_exit"]],
        **{name: spec[name] for name in RULES},
        **{name: _uniform(b, bounds) for name, bounds in spec["costs"].items()},
    )  # fmt: skip


def _step(b: Builder, spec: dict[str, Any], step: str, ns: int, shared: list[int]) -> list[Op]:
    """Return the operations of one drawn step of a program."""
    mutex, condition, barrier, timer, spinlock = shared
    lock, unlock, wait = Op(es.OP_LOCK, mutex), Op(es.OP_UNLOCK, mutex), Op(es.OP_WAIT, condition, mutex)
    steps = {
        "run": [Op(es.OP_RUN, b.constant(ns))],
        "runtime": [Op(es.OP_RUNTIME, ns)],
        "sleep": [Op(es.OP_SLEEP, ns), Op(es.OP_BLOCK)],
        "timer": [Op(es.OP_TIMER, timer, ns), Op(es.OP_BLOCK)],
        "lock": [lock, Op(es.OP_RUN, b.constant(ns)), unlock],
        "wait": [lock, wait, lock, unlock],
        "signal": [Op(es.OP_SIGNAL, condition)],
        "broad": [Op(es.OP_BROADCAST, condition)],
        "barrier": [lock, Op(es.OP_BARRIER, barrier, mutex), lock, Op(es.OP_LEAVE, barrier), unlock],
        "yield": [Op(es.OP_YIELD)],
        "spin": [
            Op(es.OP_SPIN_LOCK, spinlock),
            Op(es.OP_RUN, b.constant(ns)),
            Op(es.OP_SPIN_UNLOCK, spinlock),
        ],
        "affinity": [Op(es.OP_AFFINITY, b.mask(spec["cpus"][:1]), 1)],
    }
    return steps[step]


def _add_softirq_threads(b: Builder, level: str, kernel: int, spec: dict[str, Any]) -> None:
    timers = {es.VEC_TIMER, es.VEC_HRTIMER}
    vectors = {
        "ktimers": timers,
        "ksoftirqd": set(range(es.VECTORS)) - (timers if "ktimers" in spec["softirq_threads"] else set()),
    }
    first = b.kernels[kernel]["cpu_base"]
    for role in spec["softirq_threads"]:
        policy, priority = (es.FIFO, 1) if role == "ktimers" else (es.OTHER, 0)
        for cpu in range(first, first + b.kernels[kernel]["cpu_count"]):
            b.softirq_thread(f"{level}/{role}/{cpu}", cpu, role, policy, priority, vectors=vectors[role])


def _add_tasks(b: Builder, kernel: int, level: str, specs: list[dict[str, Any]]) -> list[int]:
    rows = []
    shared = [b.lock(), b.lock(), b.lock(missing=1), b.timer(relative=True), b.lock()]
    for number, spec in enumerate(specs):
        common = (f"{level}/{spec['kind']}{number}", kernel, spec["cpus"], spec["policy"], spec["priority"])
        if spec["kind"] == "hog":
            rows.append(b.hog(*common))
        elif spec["kind"] == "program":
            ops = [Op(es.OP_RUN, b.constant(max(spec["work"], 20 * US)), 5 * US)]
            for step, ns in spec["steps"]:
                ops += _step(b, spec, step, ns, shared)
            rows.append(b.program(*common, [*ops, Op(es.OP_LOOP, 0, 3), Op(es.OP_JUMP, 0)], slack=spec["slack"]))
        else:
            rows.append(
                b.periodic(
                    *common, period_ns=spec["period"], first_ns=spec["first"], work=b.constant(spec["work"]),
                    slack_ns=spec["slack"], catch_up=spec["catch_up"],
                )
            )  # fmt: skip
    return rows


def _add_noise(
    b: Builder, number: int, spec: dict[str, Any], kernels: dict[str, int], vcpus: list[int], emu: int
) -> None:
    level, kind = spec["level"], spec["kind"]
    kernel = kernels[level]
    count = b.kernels[kernel]["cpu_count"]
    local = spec["cpu"] % count
    cpu = b.kernels[kernel]["cpu_base"] + local
    task, locked, fault = es.NONE, False, {}
    if kind == es.NOISE_FAULT:
        if not vcpus:
            return
        task, fault = vcpus[spec["cpu"] % len(vcpus)], {"lasting": spec["lasting"], "on_disk": spec["threaded"]}
    elif kind == es.NOISE_DOORBELL:
        if not vcpus:
            return
        answer = _uniform(b, spec["duration"])
        task, locked, fault = vcpus[spec["cpu"] % len(vcpus)], spec["locked"], {"server": emu, "answer": answer}
    elif kind == es.NOISE_EXIT or (level == "guest" and kind in (es.NOISE_HARDWARE, es.NOISE_NMI)):
        if not vcpus:
            return
        kind, task = es.NOISE_EXIT, vcpus[spec["cpu"] % len(vcpus)]
    elif kind == es.NOISE_THREAD:
        if spec["locked"] and emu >= 0:
            task, locked = emu, True
        else:
            task = b.server(
                f"{level}/kthread{number}", kernel, [local], spec["policy"], 5, kthread=int(spec["kthread"])
            )
    elif kind == es.NOISE_IRQ and spec["threaded"]:
        task = b.server(f"{level}/irq{number}", kernel, [local], es.FIFO, 50, kthread=1)
    elif kind == es.NOISE_HARDWARE and spec["locked"]:
        cpu = es.NONE
    arrival: dict[str, Any] = {"interval": _uniform(b, spec["interval"])}
    if spec["arrival"] == "periodic":
        arrival = {"period_ns": spec["interval"][0], "phase_ns": spec["interval"][1]}
    elif spec["arrival"] == "bursts":
        arrival |= {"burst_size": 3, "burst_spacing_ns": 5 * US}
    elif spec["arrival"].startswith("recorded"):
        length = sum(spec["interval"])
        arrival = {"recorded": np.array([[length // 2, spec["duration"][0]], [length // 2, spec["duration"][1]]])}
        arrival |= {"period_ns": length} if spec["arrival"] == "recorded again" else {}
    b.source(
        f"{level}/noise{number}",
        kind,
        cpu=cpu,
        task=task,
        locked=locked,
        vector=spec["vector"],
        duration=_uniform(b, spec["duration"]),
        **fault,
        **arrival,
    )


def build(spec: dict[str, Any], trace_length: int = 1 << 16) -> tuple[State, Names]:
    """Lay out the state of a drawn machine; every task but kernel threads is observed."""
    b = Builder(seed=spec["seed"], trace_length=trace_length)
    host = _kernel(b, {**spec["kernel"], "spinlocks": es.SPIN_NATIVE}, spec["cpus"])
    for cpu in range(spec["cpus"]):
        b.cpu(f"host/cpu{cpu}", host, nohz_full=spec["nohz_full"] and cpu > 0, isolated=spec["isolated"] and cpu > 0)
    if spec["cpus"] > 1:
        b.core([0, 1])
    _add_softirq_threads(b, "host", host, spec["kernel"])
    watched = _add_tasks(b, host, "host", spec["tasks"])
    vcpus: list[int] = []
    emulator = es.NONE
    kernels = {"host": host, "guest": host}
    if spec["vcpus"]:
        lock = b.lock()
        vcpus = [
            b.vcpu(
                f"guest/vcpu{i}", host, v["cpus"], v["policy"], 1, lock=lock, halt_poll_ns=v["halt_poll_ns"],
                timer_advance=0 if spec["emulator_fires_timers"] else v["timer_advance"],
                ple_window=spec["kernel"]["ple_window"],
            )
            for i, v in enumerate(spec["vcpus"])
        ]  # fmt: skip
        emulator = b.server("guest/emulator", host, spec["emulator_cpus"], es.OTHER, 0, lock=lock)
        kernels["guest"] = guest = _kernel(b, spec["guest_kernel"], len(vcpus))
        if spec["emulator_fires_timers"]:
            b.kernels[guest] |= {"timer_task": emulator, "timer_work": _uniform(b, [1, 20 * US]),
                "lock_release": _uniform(b, [0, 5 * US]), "timer_rearm": _uniform(b, [0, 20 * US]),
            }  # fmt: skip
        for i, vcpu in enumerate(vcpus):
            cpu = b.cpu(f"guest/cpu{i}", guest, carrier=vcpu)
            if spec["emulator_fires_timers"]:
                b.emulated_timer(f"guest/timer{i}", cpu, hold=_uniform(b, [0, 5 * US]))
        _add_softirq_threads(b, "guest", guest, spec["guest_kernel"])
        watched += [*vcpus, emulator, *_add_tasks(b, guest, "guest", spec["guest_tasks"])]
    for number, noise in enumerate(spec["noise"]):
        _add_noise(b, number, noise, kernels, vcpus, emulator)
    return b.build(watched)
