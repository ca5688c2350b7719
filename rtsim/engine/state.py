"""The engine's whole state: a handful of structured arrays, one dtype each, a comment and a unit for each field.

Host and guest are rows of the same arrays. A CPU row of a guest names the vCPU task that carries it; everything else
is the same. All integers are int64 (numpy and Numba widen other mixes differently); times are nanoseconds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rtsim.engine.jit import INTERPRETED

__all__ = [
    "ARRAYS",
    "CPU",
    "HISTOGRAMS",
    "JOB",
    "KERNEL",
    "LOCK",
    "MACHINE",
    "NEVER",
    "NONE",
    "OP",
    "SLOT",
    "SOURCE",
    "TASK",
    "TRACE",
    "WATCH",
    "WORDS_PER_ARRAY",
    "WORST",
    "State",
    "allocate",
]

NEVER = 2**62
"""A time that does not come; as an amount of work, work without end."""
NONE = -1
"""No row, or no work under way."""

# ---- enumerations: plain integers, because compiled code reads them as constants --------------------------------

# What a CPU executes: levels of interruption; a higher level suspends the lower ones.
BASE, SOFTIRQ, IRQ, NMI, HARDWARE = 0, 1, 2, 3, 4
LEVELS = 5

# What is at level BASE.
IDLE, IDLE_EXIT, TASK_RUNS, SWITCH, SCHEDULE = 0, 1, 2, 3, 4

# Bits of CPU.irq_pending: why a CPU owes an interrupt.
IRQ_TIMER, IRQ_WAKE, IRQ_RESCHED, IRQ_NOISE = 1, 2, 4, 8

# Softirq vectors, in the order in which a round runs them.
(VEC_HI, VEC_TIMER, VEC_NET_TX, VEC_NET_RX, VEC_BLOCK, VEC_IRQ_POLL, VEC_TASKLET, VEC_SCHED, VEC_HRTIMER,
 VEC_RCU) = range(10)  # fmt: skip
VECTORS = 10

# Preemption models.
PREEMPT_NONE, PREEMPT_VOLUNTARY, PREEMPT_FULL, PREEMPT_LAZY, PREEMPT_RT = 0, 1, 2, 3, 4

# What CPU.need_resched asks for: at the next point that allows it, or lazily.
RESCHED, RESCHED_LAZY = 1, 2

# Scheduling policies, strongest class first.
STOP, FIFO, RR, OTHER, BATCH, IDLE_POLICY = 0, 1, 2, 3, 4, 5

# Task states.
SLEEPING, RUNNABLE, BLOCKED = 0, 1, 2

# Where a vCPU thread is (kvm/vcpu.py).
NOT_VCPU, IN_HOST, VM_ENTRY, IN_GUEST, VM_EXIT, WANTS_LOCK, IN_QEMU, HALTED = 0, 1, 2, 3, 4, 5, 6, 7

# Why a vCPU left the guest.
EXIT_TIMER, EXIT_HLT, EXIT_EXTERNAL, EXIT_IO = 0, 1, 2, 3

# Fair classes.
CFS, EEVDF = 0, 1

# Operations of a task's program.
OP_RUN, OP_TIMER, OP_JOB, OP_JUMP, OP_GUEST, OP_SOFTIRQ = 0, 1, 2, 3, 4, 5

# Noise sources: what an arrival does, and when arrivals come.
NOISE_HARDWARE, NOISE_NMI, NOISE_IRQ, NOISE_SOFTIRQ, NOISE_THREAD, NOISE_EXIT = 0, 1, 2, 3, 4, 5
PERIODIC, RENEWAL, BURSTS = 0, 1, 2

# What is asked of the engine from outside between events.
ACT_NOTHING, ACT_START, ACT_WAKE, ACT_JOB, ACT_IRQ = 0, 1, 2, 3, 4

# Trace records (numbers are part of stored traces: append only).
TR_IRQ, TR_IRQ_EXIT, TR_SOFTIRQ, TR_HARDWARE, TR_NMI, TR_WAKING, TR_SWITCH, TR_SAMPLE = 0, 1, 2, 3, 4, 5, 6, 7
TR_VM_ENTRY, TR_VM_EXIT, TR_TICK, TR_TIMER, TR_LOCK_WAIT, TR_BLOCK, TR_NOISE, TR_MIGRATE = 8, 9, 10, 11, 12, 13, 14, 15
TR_NAMES = (
    "irq_entry",
    "irq_exit",
    "softirq",
    "hardware",
    "nmi",
    "sched_waking",
    "sched_switch",
    "sample",
    "kvm_entry",
    "kvm_exit",
    "tick",
    "hrtimer_expire",
    "lock_wait",
    "block",
    "noise",
    "sched_migrate_task",
)

# Causes of latency; inside a guest the same again, CAUSES further on; then one a task ("thread:NAME").
CAUSE_NAMES = (
    "hardware",
    "irq",
    "softirq",
    "idle_exit",
    "preempt_off",
    "switch",
    "timer_slack",
    "vm_exit",
    "vm_entry",
    "emulator",
)
(C_HARDWARE, C_IRQ, C_SOFTIRQ, C_IDLE_EXIT, C_PREEMPT_OFF, C_SWITCH, C_TIMER_SLACK,
 C_VM_EXIT, C_VM_ENTRY, C_EMULATOR) = range(len(CAUSE_NAMES))  # fmt: skip
CAUSES = len(CAUSE_NAMES)

HISTOGRAMS = ("latency", "waking_to_run", "run_length", "response")
H_LATENCY, H_WAKING, H_RUN, H_RESPONSE = range(4)

IDLE_STATES = 8
AFFINITY_WORDS = 8
MAX_CPUS = AFFINITY_WORDS * 64
WORST_SAMPLES = 10
TRACE_WINDOW = 64


def _dtype(text: str) -> np.dtype[Any]:
    """Read a dtype from lines of ``name: comment`` (``name[n]`` for a small array); every field is int64."""
    fields: list[Any] = []
    for line in text.strip().splitlines():
        name = line.split(":", 1)[0].strip()
        if name.endswith("]"):
            name, size = name[:-1].split("[")
            fields.append((name, np.int64, (int(size),)))
        else:
            fields.append((name, np.int64))
    return np.dtype(fields)


MACHINE = _dtype("""
    now:            ns, simulated time
    events:         calendar events handled so far
    observe_from:   ns, samples released before this are warm-up and are not counted
    n_host_cpus:    the first rows of `cpus`; guests follow
    n_causes:       length of a cause vector
    source_slots:   first slot of a noise source
    heap_size[2]:   armed slots: of CPUs, of noise sources
    next_at:        ns, next event when `advance` returned
    handling:       slot whose event is being handled and that still stands in the heap, or -1
    trace_next:     trace records written so far; record n is at n modulo the trace's length
    waiting:        queued tasks, of host and guests, that may run on more than one CPU
    action:         what a SimPy process asks for
    action_entity:  for which task or CPU
    action_value:   ns
    broken_causes:  samples whose causes did not sum to their latency (must stay 0)
    lost_jobs:      arrivals dropped because a task's job ring was full
""")

KERNEL = _dtype(f"""
    cpu_base:       first row of this kernel's CPUs in `cpus`
    cpu_count:      how many
    tick_ns:        ns, 1/HZ
    fair:           CFS or EEVDF
    sched_latency:  ns, CFS targeted period
    min_granularity: ns, CFS least slice
    wakeup_granularity: ns, CFS
    base_slice:     ns, EEVDF request
    rr_ticks:       ticks of a round-robin slice
    context_switch: table of costs, ns, as all below
    syscall_exit:   return of a woken task to user space
    irq_entry:      interrupt entry
    timer_irq:      hrtimer interrupt
    tick:           tick handler
    wake:           one wake-up in an interrupt
    ipi:            flight of a reschedule interrupt
    softirq_entry:  softirq entry
    schedule:       schedule() before the switch
    preempt_fair:   a wake-up's test against a running fair task
    cgroup_level:   a wake-up, for each cgroup level of its task
    preempt_off:    length of a kernel section that cannot be preempted, by this kernel's model
    vm_entry:       VM entry
    vm_exit[4]:     VM exit by reason
    irq_thread_hard: hard part of an interrupt whose handler is a thread
    ktimers:        a run of ktimers, beyond the wake-ups it does
    preempt:        preemption model
    force_irqthreads: 1 = softirqs at the end of interrupts are left to threads (PREEMPT_RT, threadirqs)
    softirq_defers: 1 = softirqs are left to ksoftirqd while it is runnable
    timer_migration: 1 = timers of nohz_full CPUs may be queued on others
    idle_polls:     1 = the shallowest idle state polls for a resched mark
    idle_states:    idle states in use, shallow to deep
    idle_residency[{IDLE_STATES}]: ns, idle time from which the governor picks the state
    idle_exit[{IDLE_STATES}]: leaving the state
""")

CPU = _dtype(f"""
    kernel:         row of `kernels`
    carrier:        vCPU task that carries this CPU; -1 on the host
    executing:      1 while code of this CPU advances (guests: while the vCPU is in guest mode)
    since:          ns, start of the stretch not yet accounted
    level:          level of interruption in execution
    bottom:         what is at level BASE
    left[{LEVELS}]: ns, work left at each level (the running one's is in the calendar)
    irq_pending:    bits: interrupts owed
    irq_serving:    of these, what the interrupt under way still has to serve
    irq_read:       ns, clock as hrtimer_interrupt read it last; -1 = not yet
    irq_entered:    ns, its first reading
    irq_retries:    further readings
    hang_until:     ns, no clock event before: the last hrtimer_interrupt gave up
    irq_noise:      ns, durations of pending device interrupts
    softirq_pending: bits: vectors raised
    softirq_work[10]: ns, their work
    softirq_round:  bits: vectors of the round under way at level SOFTIRQ, the running one lowest
    softirq_rounds: rounds begun since the interrupt
    softirq_until:  jiffies before which another round may begin
    ksoftirqd:      its ksoftirqd, -1 none: softirqs then run inline without limit
    ktimers:        its ktimers, -1 none
    wake_head:      task list to be woken by the next interrupt
    curr:           task on this CPU, or being switched to; -1 idle
    prev:           task switched from last, -1 idle
    need_resched:   RESCHED or RESCHED_LAZY
    section_rest:   ns, work of `curr` beyond the preemption point it runs towards; -1 = not running towards one
    idle_from:      ns, since when it idles
    tick_at:        ns, next tick, NEVER = stopped
    tick_queued:    ns, when the tick's timer was queued
    nohz_full:      1 = tick stops with a single runnable task
    isolated:       1 = in no scheduling domain: no balancing, no wake-up choice
    tick_offset:    ns, its ticks come that long after multiples of 1/HZ
    timer_head[2]:  task whose hrtimer expires first, of the hard and the soft base
    soft_activated: 1 = the HRTIMER softirq has been raised and has not yet run
    rt_head:        strongest queued stop or realtime task
    fair_head:      leftmost queued fair task (CFS: by vruntime; EEVDF: by deadline)
    nr_running:     runnable tasks, the running one included
    nr_fair:        of these, fair ones
    load:           sum of weights of runnable fair tasks
    min_vruntime:   ns of virtual time
    buddy_next:     CFS next buddy, -1 none
    buddy_last:     CFS last buddy
    watch_head:     first watch charged by this CPU
    task_ns:        ns accounted: tasks and switches to them
    irq_ns:         interrupts and NMI
    softirq_ns:     softirqs
    hardware_ns:    stalls by the hardware
    idle_ns:        idle, idle exit and the switch to idle
    stream_key:     random stream of costs on this CPU
    stream_gamma:   its increment
    stream_n:       draws so far
""")

TASK = _dtype(f"""
    kernel:         row of `kernels`
    cpu:            CPU it is on or was last on
    policy:         scheduling policy
    prio:           kernel priority: 0..98 realtime, 100..139 fair
    weight:         fair weight
    group_levels:   cgroup levels above its run queue
    kthread:        1 = runs in the kernel: preemption points matter
    state:          task state
    allowed[{AFFINITY_WORDS}]: affinity mask over its kernel's CPUs
    nr_allowed:     CPUs in it
    queued:         1 = in a run queue
    next:           run queue link
    prev:           run queue link
    wake_next:      link in CPU.wake_head; -1 end
    wake_pending:   1 = in CPU.wake_head
    timer_cpu:      CPU whose hrtimer queue it is in, -1 none
    timer_base:     0 = hard, 1 = soft: expires in softirq context
    timer_next:     link in that queue
    timer_soft:     ns, earliest expiry = release
    timer_hard:     ns, latest expiry
    timer_queued:   ns, when it was queued
    slack:          ns, timer slack
    pc:             operation at hand, row of `ops`
    left:           ns, work left in it while off the CPU, NONE = not begun
    fresh:          1 = woken and not yet back in user space
    period:         ns of OP_TIMER
    catch_up:       1 = missed releases are served late; 0 = skipped
    release:        ns, release of the current activation
    released:       1 = it has had one
    softirq_vectors: bits: vectors that this thread runs
    softirq_round:  bits: vectors of its round under way, the running one lowest
    softirq_rounds: rounds of its batch
    softirq_until:  jiffies before which another round may begin
    job_base:       first row of its ring in `jobs`
    job_size:       rows of the ring
    job_head:       jobs taken so far
    job_tail:       jobs arrived so far
    job_sampled:    the newest job whose latency has been, or is being, sampled
    mode:           vCPU: where it is
    guest_cpu:      vCPU: the guest CPU it carries
    exit_reason:    vCPU: why it left the guest
    io_left:        ns, vCPU: work in QEMU asked for by the exit
    lock:           lock of its guest, -1 none
    holds:          1 = it has that lock
    lock_next:      link among its waiters
    vruntime:       ns of virtual time
    deadline:       EEVDF virtual deadline
    vlag:           EEVDF lag while off the queue
    protect:        EEVDF deadline at the last pick (run to parity)
    exec_start:     ns, start of the stretch not yet charged to vruntime
    exec_sum:       ns charged
    exec_at_pick:   exec_sum at the last pick
    rr_left:        ticks left of a round-robin slice
    to_tail:        1 = goes to the tail of its priority when it leaves the CPU
    watch:          row of `watches`, -1 not observed
    waking_at:      ns of the last wake-up
    run_from:       ns of the last switch to it
    waits_for_lock: 1 = among the waiters of its lock
    cpu_ns:         ns on a CPU
    wakeups:        count
    skipped:        releases skipped
    voluntary:      switches away by its own doing
    involuntary:    switches away by preemption
    migrations:     changes of CPU
""")

OP = _dtype("""
    code:           what to do
    value:          OP_RUN: table of durations, -1 = for ever; OP_JUMP: row of `ops`
""")

JOB = _dtype("""
    arrival:        ns
    duration:       ns
    locked:         1 = done under the task's lock
""")

LOCK = _dtype("""
    owner:          task, -1 free
    head:           first waiter, -1 none
    tail:           last waiter
""")

SOURCE = _dtype("""
    kind:           what an arrival does
    cpu:            where; -1 = on all host CPUs at the same instant
    task:           thread or vCPU it concerns, -1 none
    locked:         job is done under the lock
    vector:         softirq it raises
    arrival:        PERIODIC, RENEWAL or BURSTS
    period:         ns
    phase:          ns, first arrival
    interval:       table of intervals (RENEWAL, BURSTS) or of jitter (PERIODIC; -1 none)
    burst_size:     arrivals of a burst
    burst_spacing:  ns between them
    burst_left:     arrivals left in the current burst
    last:           ns, last arrival (start of the last burst)
    duration:       table
    n:              arrivals drawn so far
    arrival_key:    random stream of arrivals
    arrival_gamma:  its increment
    duration_key:   random stream of durations
    duration_gamma: its increment
""")

SLOT = _dtype("""
    time:           ns, of the heap entry at this position
    slot:           slot of the heap entry at this position
    position:       position of the slot of this index, -1 = not armed
""")

WATCH = _dtype("""
    task:           whom
    cpu:            CPU that charges it at present, -1 none
    next:           link in CPU.watch_head
    prev:           link
    open:           1 = a sample is under way
    release:        ns, its start
    since:          ns, start of the stretch not yet charged (used while no CPU charges)
    touched:        causes of the sample so far that are not zero
    count[4]:       samples, by histogram
    total[4]:       ns, exact sums
    least[4]:       ns, exact minima
    most[4]:        ns, exact maxima
    worst_least:    ns, smallest of the kept worst samples
    worst_count:    how many are kept
""")

WORST = _dtype(f"""
    release:        ns
    latency:        ns
    trace_count:    records of the window
    window[{TRACE_WINDOW * 5}]: trace records around it, five numbers each
""")

TRACE = _dtype("""
    time:           ns
    kind:           record kind
    cpu:            row of `cpus`
    task:           task or source, -1 none
    value:          by kind
""")


_INT64 = np.dtype(np.int64)

ARRAYS: dict[str, tuple[np.dtype[Any], int]] = {
    "m": (MACHINE, 1),  # one row
    "kernels": (KERNEL, 1),
    "cpus": (CPU, 1),
    "tasks": (TASK, 1),
    "ops": (OP, 1),
    "jobs": (JOB, 1),
    "locks": (LOCK, 1),
    "sources": (SOURCE, 1),
    "calendar": (SLOT, 1),
    "tables": (_INT64, 2),  # (tables, TABLE_SIZE + 1): the last column holds the value of a constant, or NONE
    "watches": (WATCH, 1),
    "causes": (_INT64, 2),  # (watches, n_causes): of the sample under way
    "touched": (_INT64, 2),  # (watches, n_causes): which causes the sample under way has, in order
    "cause_totals": (_INT64, 2),  # (watches, n_causes): over all samples
    "histograms": (_INT64, 3),  # (watches, len(HISTOGRAMS), buckets): counts
    "worst": (WORST, 1),  # (watches * WORST_SAMPLES,)
    "worst_causes": (_INT64, 2),  # (watches * WORST_SAMPLES, n_causes)
    "trace": (TRACE, 1),
}
"""The arrays of a state: dtype and number of dimensions."""

WORDS_PER_ARRAY = 4
"""Words of the directory an array takes: its address and up to three lengths."""


class State:
    """The arrays handlers work on, one attribute each (see `ARRAYS`), and the directory compiled code finds them by."""

    m: npt.NDArray[Any]
    kernels: npt.NDArray[Any]
    cpus: npt.NDArray[Any]
    tasks: npt.NDArray[Any]
    ops: npt.NDArray[Any]
    jobs: npt.NDArray[Any]
    locks: npt.NDArray[Any]
    sources: npt.NDArray[Any]
    calendar: npt.NDArray[Any]
    tables: npt.NDArray[np.int64]
    watches: npt.NDArray[Any]
    causes: npt.NDArray[np.int64]
    touched: npt.NDArray[np.int64]
    cause_totals: npt.NDArray[np.int64]
    histograms: npt.NDArray[np.int64]
    worst: npt.NDArray[Any]
    worst_causes: npt.NDArray[np.int64]
    trace: npt.NDArray[Any]

    def __init__(self, **arrays: npt.NDArray[Any]) -> None:
        directory = np.zeros(len(ARRAYS) * WORDS_PER_ARRAY, np.int64)
        for position, (name, (dtype, dimensions)) in enumerate(ARRAYS.items()):
            array = arrays[name]
            if array.dtype != dtype or array.ndim != dimensions or not array.flags.c_contiguous:
                raise TypeError(f"state array {name}: expected contiguous {dimensions}-d {dtype}, got {array.dtype}")
            setattr(self, name, array)
            at = position * WORDS_PER_ARRAY
            directory[at] = array.ctypes.data
            directory[at + 1 : at + 1 + dimensions] = array.shape
        self._directory = directory
        self.address = directory.ctypes.data


def allocate(dtype: np.dtype[Any], rows: int) -> npt.NDArray[Any]:
    """Return `rows` zeroed rows; interpreted handlers need record arrays for access by dot."""
    array = np.zeros(rows, dtype)
    return array.view(np.recarray) if INTERPRETED else array
