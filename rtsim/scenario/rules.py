"""A kernel's scheduling rules as fields of the engine's kernel row."""

from __future__ import annotations

from rtsim.engine.constants import CFS, EEVDF, NEVER, PARITY_DEADLINE, PARITY_MOVED, PARITY_VPROT
from rtsim.kernel import Kernel
from rtsim.kernel.kernel import PREEMPTION_MODELS

__all__ = ["scheduler_fields"]

PROTECTION = {
    "none": PARITY_DEADLINE,  # CFS does not ask
    "deadline": PARITY_DEADLINE,
    "vprot": PARITY_VPROT,
    "vprot_moved": PARITY_MOVED,
}


def scheduler_fields(kernel: Kernel, cpus: int) -> dict[str, int]:
    """Return the fields of `rtsim.engine.KERNEL` that say how a kernel with `cpus` on line schedules."""
    rules = kernel.features(cpus)
    throttles = rules.guard == "rt_throttling" and kernel.rt_runtime_ns is not None
    return {
        "tick_ns": kernel.tick_ns,
        "fair": CFS if rules.fair == "cfs" else EEVDF,
        "sched_latency": rules.sched_latency_ns,
        "min_granularity": rules.min_granularity_ns,
        "idle_min_granularity": rules.idle_min_granularity_ns,
        "wakeup_granularity": rules.wakeup_granularity_ns,
        "sched_nr_latency": rules.sched_nr_latency,
        "alt_period": int(rules.alt_period),
        "base_slice": rules.base_slice_ns,
        "quantum": rules.quantum_ns,
        "run_to_parity": int(rules.run_to_parity),
        "protection": PROTECTION[rules.protection],
        "preempt_short": int(rules.preempt_short),
        "delay_dequeue": int(rules.delay_dequeue),
        "custom_slice": int(rules.custom_slice),
        "keep_deadline": int(rules.keep_deadline),
        "pick_buddy": int(rules.pick_buddy),
        "lag_of_queue": int(rules.lag_of_queue),
        "reweight_defect": int(rules.reweight_defect),
        "yield_forfeits": int(rules.yield_forfeits),
        "clock_skip": int(rules.clock_skip),
        "preempt": PREEMPTION_MODELS.index(kernel.preempt),
        "force_irqthreads": int(kernel.force_irqthreads),
        "softirq_defers": int(rules.softirq_defers),
        "timer_migration": int(kernel.sysctl["timer_migration"] or 0),
        "irq_time_accounting": int(kernel.config["irq_time_accounting"]),
        "bandwidth_slice": kernel.cfs_bandwidth_slice_ns,
        "rr_ticks": kernel.rr_timeslice_ticks,
        "rt_runtime": kernel.rt_runtime_ns if throttles and kernel.rt_runtime_ns is not None else NEVER,
        "rt_period": kernel.rt_period_ns,
        "rt_group_sched": int(kernel.config["rt_group_sched"]),
        "fair_server_runtime": kernel.fair_server_runtime_ns if rules.fair_server else 0,
        "fair_server_period": kernel.fair_server_period_ns,
        "fair_server_idle_wait": int(rules.fair_server_idle_wait),
        "migration_cost": rules.migration_cost_ns,
        "nr_migrate": 8 if kernel.preempt == "rt" else 32,
        "ttwu_queue": int(kernel.preempt != "rt"),
        "ni_random": int(rules.ni_random),
        "sibling_cores": int(rules.sibling_cores),
    }
