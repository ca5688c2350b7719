"""Results as rtsim writes them, made up: realistic in shape and size, so that pages and pictures can be looked at."""

import numpy as np

from rtsim.measure.comparison import Outcome, compare_outcomes
from rtsim.measure.histogram import LogLinearHistogram

SCENARIO = {
    "host": {
        "topology": {"sockets": 2, "cores": 8, "threads": 2, "numa_nodes": 2},
        "kernel": {"release": "6.1.192", "preempt": "rt", "hz": 250, "cmdline": "isolcpus=2-15 nohz_full=2-15"},
        "profile": "tuned",
        "nova": {"cpu_dedicated_set": "2-15", "cpu_shared_set": "0-1", "release": "2026.2"},
    },
    "guests": [{"name": "realtime4", "flavor": {"vcpus": 4, "properties": {"hw:cpu_realtime_mask": "^0-1"}}}],
    "rank_by": {"task": "realtime4/cyclictest", "quantile": 0.9999, "over": "worst"},
    "duration": "60 s",
    "warmup": "1 s",
    "seed": 1,
}  # fmt: skip

CAUSES = ("vm_exit", "vm_entry", "irq", "switch", "guest/switch", "guest/irq", "hardware")


def latencies(rng, base_us, tail_us, stall_us=0.0, count=60_000):
    values = rng.lognormal(np.log(base_us * 1000), 0.12, count)
    rare = rng.random(count) < 2e-3
    values[rare] += rng.exponential(tail_us * 1000, rare.sum())
    if stall_us:
        stalled = rng.random(count) < 4e-4
        values[stalled] += rng.uniform(0.3, 1, stalled.sum()) * stall_us * 1000
    return values.astype(np.int64)


def task(rng, values, thread=""):
    total = int(values.sum())
    shares = rng.dirichlet([9, 6, 2, 3, 5, 1, 0.5])
    causes = {cause: int(total * share * 0.95) for cause, share in zip(CAUSES, shares, strict=True)}
    if thread:
        causes = {cause: part * 3 // 4 for cause, part in causes.items()} | {thread: total // 5}
    causes["timer_slack"] = total - sum(causes.values())
    dist = LogLinearHistogram.from_values(values).to_dist()
    worst = [
        {
            "release_ns": 1_000_000 * int(index),
            "latency_ns": int(values[index]),
            "causes_ns": {
                "irq": int(values[index]) // 3,
                thread or "hardware": int(values[index]) - int(values[index]) // 3,
            },
            "story": f"released while CPU 5 ran {thread or 'an SMI'};\nthen irq/24-eth0 on CPU 5 for 3.1 us",
        }
        for index in np.argsort(values)[-10:]
    ]
    return {
        "policy": "SCHED_FIFO 95", "cpus": "2-3",
        **dict.fromkeys(("latency", "waking_to_run", "run_length", "response"), dist),
        "cpu_time_ns": 10**9, "cpu_share": 0.0167, "wakeups": len(values), "skipped": 0,
        "switches_voluntary": len(values), "switches_involuntary": 12, "migrations": 0,
        "causes_ns": causes, "worst": worst,
    }  # fmt: skip


def result(seed=1, base_us=7, tail_us=2, stall_us=0.0, thread=""):
    rng = np.random.default_rng(seed)
    per_cpu = {cpu: latencies(rng, base_us, tail_us, stall_us) for cpu in (2, 3)}
    tasks = {f"realtime4/cyclictest/{cpu}": task(rng, values, thread) for cpu, values in per_cpu.items()}
    together = np.concatenate(list(per_cpu.values()))
    tasks = {"realtime4/cyclictest": task(rng, together, thread)} | tasks
    tasks["realtime4/emulator"] = {
        **task(rng, latencies(rng, 30, 50, count=500)), "policy": "SCHED_OTHER 0", "causes_ns": {}, "worst": []
    }  # fmt: skip
    spent = {
        "task_ns": 7 * 10**9,
        "irq_ns": 2 * 10**8,
        "softirq_ns": 10**8,
        "hardware_ns": 10**6,
        "idle_ns": 5 * 10**10,
    }
    return {
        "schema": 1, "rtsim": "0.1.0", "scenario": SCENARIO, "tasks": tasks,
        "cpus": {str(cpu): spent for cpu in range(6)},
        "bounds": {"realtime4/cyclictest": {"rtsl_ns": 250_000, "rta_ns": 310_000, "parts": {}}},
    }  # fmt: skip


VARIANTS = {
    "mask ^0": {"base_us": 7.4, "tail_us": 3},
    "mask ^0-1": {"base_us": 7.0, "tail_us": 2},
    "mask ^0-2": {"base_us": 7.0, "tail_us": 2.05},
    "mask ^0-1, emulator isolated": {"base_us": 6.9, "tail_us": 1.9},
    "no realtime": {"base_us": 9, "tail_us": 40, "stall_us": 800, "thread": "thread:qemu emulator"},
    "hw:cpu_realtime=no": {"base_us": 9, "tail_us": 45, "stall_us": 850, "thread": "thread:qemu emulator"},
    "no pinning": {"base_us": 14, "tail_us": 300, "stall_us": 9000, "thread": "thread:kworker/2:1"},
}


def comparison():
    results = {name: result(seed, **kwargs) for seed, (name, kwargs) in enumerate(VARIANTS.items())}
    outcomes = []
    rng = np.random.default_rng(5)
    common = rng.normal(0, 0.1, 10)
    for name, each in results.items():
        main = each["tasks"]["realtime4/cyclictest"]
        value = main["latency"]["quantiles_ns"]["0.9999"]
        causes = {cause: total / main["latency"]["count"] for cause, total in main["causes_ns"].items()}
        values = list(value * (1 + common + rng.normal(0, 0.03, 10)))
        cpus, vcpus = 5 if "isolated" in name else 4, 1 if name == "mask ^0-2" else 2
        outcomes.append(Outcome(name, values, causes, cpus, vcpus))
    text = "RealtimeMaskNotFoundOrInvalid: Realtime policy needs vCPU(s) mask configured with at least 1 RT vCPU"
    outcomes.append(Outcome("mask ^0-3", refused=f"{text} and 1 ordinary vCPU."))
    return {
        "schema": 1, "rtsim": "0.1.0", "rank_by": SCENARIO["rank_by"],
        "rows": compare_outcomes(outcomes), "variants": results,
    }  # fmt: skip
