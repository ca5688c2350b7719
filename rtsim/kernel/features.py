"""What the scheduler of a release does: one table of rules, each with the release that brought each value.

Sources: kernel sources of 6.1.192, 6.12.117 and 7.2.13 (``kernel/sched/fair.c``, ``features.h``, ``deadline.c``), the
patches that made 6.17 and 6.18, and the commits named. A rule that a stable series took over later lists the patch
level there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rtsim.kernel.release import Release

__all__ = ["RULES", "Features", "features", "scaling_factor"]

US = 1_000
MS = 1_000_000


@dataclass(frozen=True)
class Since:
    """A value and the first release with it; `stable`: (major, minor, patch) of series that got it later."""

    release: tuple[int, int] | tuple[int, int, int]
    value: Any
    stable: tuple[tuple[int, int, int], ...] = ()

    def holds(self, release: Release) -> bool:
        version = (release.major, release.minor, release.patch)
        backported = any(version[:2] == since[:2] and version >= since for since in self.stable)
        return version >= self.release or backported


ALWAYS = (0, 0)

RULES: dict[str, tuple[Since, ...]] = {
    "fair": (Since(ALWAYS, "cfs"), Since((6, 6), "eevdf")),
    # Unscaled; CFS' own three, then EEVDF's request (2ae891b82695, in 6.12.y since 6.12.31).
    "sched_latency_ns": (Since(ALWAYS, 6 * MS),),
    "min_granularity_ns": (Since(ALWAYS, 750 * US),),
    "wakeup_granularity_ns": (Since(ALWAYS, 1 * MS),),
    "base_slice_ns": (Since(ALWAYS, 750 * US), Since((6, 15), 700 * US, stable=((6, 12, 31),))),
    # A blocking entity that is not eligible stays queued until it is.
    "delay_dequeue": (Since(ALWAYS, False), Since((6, 12), True)),
    "custom_slice": (Since(ALWAYS, False), Since((6, 12), True)),
    # A wakee with a shorter slice cancels the protection of the running task.
    "preempt_short": (Since(ALWAYS, False), Since((6, 12), True)),
    # PLACE_REL_DEADLINE: an entity that changes queue without sleeping keeps its deadline.
    "keep_deadline": (Since(ALWAYS, False), Since((6, 12), True)),
    # PICK_BUDDY: yield_to and the dequeue of a sleeper in a group name who is picked next (2a77e4be12cb).
    "pick_buddy": (Since(ALWAYS, False), Since((6, 14), True, stable=((6, 12, 13), (6, 13, 2)))),
    # Lag is limited by the longest slice in the queue and a tick, not by twice the own slice.
    "lag_of_queue": (Since(ALWAYS, False), Since((7, 0), True)),
    # RUN_TO_PARITY, and without it how long a running entity is protected since 6.17.
    "run_to_parity": (Since(ALWAYS, True),),
    "quantum_ns": (Since(ALWAYS, 700 * US),),
    # ALT_PERIOD: CFS counts the tasks of the whole hierarchy.
    "alt_period": (Since(ALWAYS, False), Since((5, 13), True)),
    # The period timers of cpu.max begin at a random offset, so that groups' periods interleave (41abdba93747).
    "random_cfs_period": (Since(ALWAYS, False), Since((6, 4), True)),
    # schedule() does not read the clock anew when a wake-up asked for it (rq_clock_skip_update).
    "clock_skip": (Since(ALWAYS, True),),
    # How a running EEVDF entity is protected: until its deadline changes; up to a virtual time; losing wakees move it.
    "protection": (
        Since(ALWAYS, "none"),
        Since((6, 6), "deadline"),
        Since((6, 17), "vprot"),
        Since((7, 0), "vprot_moved"),
    ),
    # sched_yield gives up the rest of the request.
    "yield_forfeits": (Since(ALWAYS, False), Since((6, 18), True, stable=((6, 12, 117),))),
    # reweight_entity through place_entity (6d71a9c61604), reverted by 101f3498b4bd.
    "reweight_defect": (
        Since(ALWAYS, False),
        Since((6, 13), True),
        Since((6, 18, 45), False),
    ),
    # What keeps realtime tasks from starving fair ones; with CONFIG_RT_GROUP_SCHED throttling stays beside the server.
    "guard": (Since(ALWAYS, "rt_throttling"), Since((6, 12), "fair_server")),
    "fair_server": (Since(ALWAYS, False), Since((6, 12), True)),
    # After a boost the server of 6.12 to 7.1 stays active until its own pick finds no fair task.
    "fair_server_idle_wait": (Since(ALWAYS, False), Since((7, 2), True)),
    # Groups of CPUs are compared by their cores, and idle cores come first (7ff1693236f5, b1bfeab9b002).
    "sibling_cores": (Since(ALWAYS, False), Since((6, 6), True)),
    # NI_RANDOM: new idle balancing is tried as often as it succeeds (33cf66d88306; read in 6.1.192 and 6.12.117).
    "ni_random": (Since(ALWAYS, False), Since((6, 19), True, stable=((6, 1, 192), (6, 12, 117)))),
    "lazy_preemption": (Since(ALWAYS, False), Since((6, 13), True)),
    # none and voluntary are gone on architectures that have lazy preemption.
    "only_full_or_lazy": (Since(ALWAYS, False), Since((7, 2), True)),
    # Slack becomes 0 when a task turns FIFO, RR or DEADLINE; before, only nanosleep and select looked at the policy.
    "rt_slack_zero": (Since(ALWAYS, False), Since((6, 12), True, stable=((6, 1, 192),))),
    # While ksoftirqd is runnable, the end of an interrupt leaves softirqs to it (until d15121be7485).
    "softirq_defers": (Since(ALWAYS, True), Since((6, 5), False)),
    # A thread for the softirqs of timers: in the realtime patch, in mainline.
    "ktimers_rt": (Since(ALWAYS, False), Since((6, 1), True)),
    "ktimers": (Since(ALWAYS, False), Since((6, 13), True)),
    # The scheduler's tick of nohz_full CPUs, once a second from a housekeeping CPU (d84b31313ef8).
    "remote_tick": (Since(ALWAYS, False), Since((4, 17), True)),
    "hrtick": (Since(ALWAYS, False), Since((7, 2), True)),
    # cpu.max takes effect on return to user space, and never on kernel threads.
    "throttle_at_user_return": (Since(ALWAYS, False), Since((6, 18), True)),
    # Debian's build default on x86.
    "preempt": (Since(ALWAYS, "voluntary"), Since((7, 2), "lazy")),
    # KVM: halt_poll_ns_shrink; 0 resets the poll time, 2 halves it.
    "halt_poll_shrink": (Since(ALWAYS, 0), Since((6, 12), 2)),
    # KVM: lapic_timer_advance_ns; lapic_timer_advance, a switch, has taken its place.
    "timer_advance_in_ns": (Since(ALWAYS, True), Since((6, 12), False)),
}

_SCALED = ("sched_latency_ns", "min_granularity_ns", "wakeup_granularity_ns", "base_slice_ns")


@dataclass(frozen=True)
class Features:
    """The rules of one release on a machine with a given number of CPUs; times in ns, scaled."""

    fair: str
    sched_latency_ns: int
    min_granularity_ns: int
    wakeup_granularity_ns: int
    base_slice_ns: int
    delay_dequeue: bool
    custom_slice: bool
    preempt_short: bool
    keep_deadline: bool
    pick_buddy: bool
    lag_of_queue: bool
    run_to_parity: bool
    quantum_ns: int
    alt_period: bool
    random_cfs_period: bool
    clock_skip: bool
    protection: str
    yield_forfeits: bool
    reweight_defect: bool
    guard: str
    fair_server: bool
    fair_server_idle_wait: bool
    sibling_cores: bool
    ni_random: bool
    lazy_preemption: bool
    only_full_or_lazy: bool
    rt_slack_zero: bool
    softirq_defers: bool
    ktimers_rt: bool
    ktimers: bool
    remote_tick: bool
    hrtick: bool
    throttle_at_user_return: bool
    preempt: str
    halt_poll_shrink: int
    timer_advance_in_ns: bool
    idle_min_granularity_ns: int = 750 * US
    """CFS; not scaled."""
    sched_nr_latency: int = 8
    """CFS: queues longer than this stretch the period."""
    migration_cost_ns: int = 500 * US
    """How long a task that ran counts as cache hot."""
    default_timer_slack_ns: int = 50 * US
    """A constant of the kernel, not a cost of the machine."""


def scaling_factor(n_cpus: int) -> int:
    """Return the factor of the default, logarithmic scaling: 1 + floor(log2(min(CPUs on line, 8))).

    Examples
    --------
    >>> [scaling_factor(n) for n in (1, 2, 3, 4, 7, 8, 64)]
    [1, 2, 2, 3, 3, 4, 4]
    """
    return min(n_cpus, 8).bit_length()


def rule(name: str, release: Release) -> Any:
    """Return the value of rule `name` in `release`, unscaled."""
    return next(since.value for since in reversed(RULES[name]) if since.holds(release))


def features(release: Release, n_cpus: int) -> Features:
    """Return the rules of `release` with `n_cpus` on line."""
    factor = scaling_factor(n_cpus)
    values = {name: rule(name, release) for name in RULES}
    values.update({name: values[name] * factor for name in _SCALED})
    return Features(**values)
