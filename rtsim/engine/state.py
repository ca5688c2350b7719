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
    "CFS_RQ",
    "CPU",
    "DL_ENTITY",
    "DOMAIN",
    "ENTITY",
    "GROUP",
    "HISTOGRAMS",
    "JOB",
    "KERNEL",
    "LB",
    "LB_GROUP",
    "LLC",
    "LOCK",
    "MACHINE",
    "NEVER",
    "NONE",
    "OP",
    "RT_RQ",
    "SCHED_GROUP",
    "SCHED_TIMER",
    "SLOT",
    "SOURCE",
    "TASK",
    "TASK_LIST",
    "TIMER",
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
STOP, DEADLINE, FIFO, RR, OTHER, BATCH, IDLE_POLICY = 0, 1, 2, 3, 4, 5, 6

# Task states.
SLEEPING, RUNNABLE, BLOCKED = 0, 1, 2

# Where a vCPU thread is (kvm/vcpu.py).
NOT_VCPU, IN_HOST, VM_ENTRY, IN_GUEST, VM_EXIT, WANTS_LOCK, IN_QEMU, HALTED = 0, 1, 2, 3, 4, 5, 6, 7
NEEDS_PAGE, IN_FAULT, POLLING = 8, 9, 10

# Why a vCPU left the guest.
EXIT_TIMER, EXIT_HLT, EXIT_EXTERNAL, EXIT_IO, EXIT_EPT, EXIT_DOORBELL = 0, 1, 2, 3, 4, 5

# Fair classes.
CFS, EEVDF = 0, 1

# What protects a running EEVDF entity: its deadline; a virtual time; a virtual time that losing wake-ups move.
PARITY_DEADLINE, PARITY_VPROT, PARITY_MOVED = 0, 1, 2

# Bits of DOMAIN.sd_flags.
SD_BALANCE_NEWIDLE, SD_BALANCE_FORK, SD_WAKE_AFFINE, SD_PREFER_SIBLING = 1, 2, 4, 8
SD_SHARE_CPUCAPACITY, SD_SHARE_LLC, SD_NUMA = 16, 32, 64

CAPACITY = 1024
"""Capacity of a CPU that fair tasks have to themselves (SCHED_CAPACITY_SCALE)."""

# How a CPU is when it balances (cpu_idle_type).
NOT_IDLE, CPU_IDLE, NEWLY_IDLE = 0, 1, 2

# Bits of CPU.nohz_kick: what an idle CPU is asked to do for all that stopped their ticks.
NOHZ_STATS_KICK, NOHZ_BALANCE_KICK = 1, 2

# What a timer of the scheduler is for, and whose it is: a realtime queue's, a group's, a CPU's, a task's.
T_RT_PERIOD, T_CFS_PERIOD, T_CFS_SLACK, T_FAIR_SERVER, T_DEADLINE = 0, 1, 2, 3, 4

RT_PRIORITIES = 100
"""Kernel priorities of the stop and realtime classes: -1 to 98."""
LISTS = RT_PRIORITIES + 1
"""Lists of tasks of a CPU: one a realtime priority, and one of its fair tasks."""

# Operations of a task's program.
OP_RUN, OP_TIMER, OP_JOB, OP_JUMP, OP_GUEST, OP_RUNTIME, OP_START, OP_SLEEP, OP_BLOCK = 0, 1, 2, 3, 4, 5, 6, 7, 8
OP_LOOP, OP_EXIT, OP_LOCK, OP_UNLOCK, OP_WAIT, OP_SIGNAL, OP_BROADCAST = 9, 10, 11, 12, 13, 14, 15
OP_BARRIER, OP_LEAVE, OP_YIELD, OP_AFFINITY, OP_SOFTIRQ = 16, 17, 18, 19, 20

# Noise sources: what an arrival does, and when arrivals come.
NOISE_HARDWARE, NOISE_NMI, NOISE_IRQ, NOISE_SOFTIRQ, NOISE_THREAD, NOISE_EXIT, NOISE_FAULT = 0, 1, 2, 3, 4, 5, 6
NOISE_DOORBELL = 7
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
    "memory",
    "smt",
)
(C_HARDWARE, C_IRQ, C_SOFTIRQ, C_IDLE_EXIT, C_PREEMPT_OFF, C_SWITCH, C_TIMER_SLACK,
 C_VM_EXIT, C_VM_ENTRY, C_EMULATOR, C_MEMORY, C_SMT) = range(len(CAUSE_NAMES))  # fmt: skip
CAUSES = len(CAUSE_NAMES)

HISTOGRAMS = ("latency", "waking_to_run", "run_length", "response")
H_LATENCY, H_WAKING, H_RUN, H_RESPONSE = range(4)

RATES = (4, 32, 128, 512, 896)
"""Rates at which the buckets of interruptions leak, in `RATE_UNIT`."""
RATE_UNIT = 1024
FULL_SPEED = 1024
"""Speed of a CPU that has its core to itself."""

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
    here:           CPU whose kernel code is being executed
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
    idle_min_granularity: ns, CFS least slice of idle entities among others
    sched_nr_latency: CFS: more tasks than this stretch the period
    alt_period:     1 = CFS counts the tasks of the whole hierarchy, not of the queue
    base_slice:     ns, EEVDF request
    quantum:        ns, EEVDF without run to parity: what a running entity is protected for
    run_to_parity:  1 = a running entity is protected for its slice
    protection:     EEVDF: how
    preempt_short:  1 = EEVDF: a shorter slice overrides protection
    delay_dequeue:  1 = EEVDF: a sleeper stays queued until it is eligible
    custom_slice:   1 = EEVDF: slices can be set, and groups ask for the shortest below
    keep_deadline:  1 = EEVDF: an entity that changes queue keeps its relative deadline
    pick_buddy:     1 = EEVDF: a next buddy that is eligible is picked first
    lag_of_queue:   1 = EEVDF: lag is limited by the longest slice of the queue, not by twice the own one
    reweight_defect: 1 = EEVDF: a new weight places a queued entity anew
    yield_forfeits: 1 = EEVDF: sched_yield gives the rest of the request up
    clock_skip:     1 = schedule() goes on with the clock of the wake-up that asked for it
    irq_time_accounting: 1 = tasks are not charged for interrupts
    steal_accounting: 1 = tasks of a guest are not charged for time in which its vCPU waited for a CPU
    bandwidth_slice: ns, run time a queue draws from its group at once
    rt_runtime:     ns of each period that realtime tasks may run, NEVER = unlimited
    rt_period:      ns
    rt_group_sched: 1 = groups have realtime budgets of their own
    fair_server_runtime: ns of each period that the fair server may run, 0 = there is none
    fair_server_period: ns
    fair_server_idle_wait: 1 = the fair server stops after a period that its CPU idled through
    rr_ticks:       ticks of a round-robin slice
    spread:         1 = some task may run on several CPUs: loads are kept, CPUs are balanced
    migration_cost: ns since it ran that a task counts as cache hot
    nr_migrate:     tasks that a balancing pass moves at most
    ttwu_queue:     1 = wake-ups on other CPUs may be left to these (TTWU_QUEUE)
    ni_random:      1 = new idle balancing is tried as often as it succeeds (NI_RANDOM)
    sibling_cores:  1 = groups are compared by their cores, tasks are spread over idle cores first (6.6)
    rt_overloaded:  CPUs with realtime tasks that wait and may run elsewhere
    dl_overloaded:  CPUs with several deadline entities that may run
    overload:       1 = some CPU had more than one task when the widest domain was last looked at
    nohz_cpus:      CPUs that stopped their tick when they went idle
    nohz_mask[{AFFINITY_WORDS}]: which
    nohz_balance:   tick before which they need no balancing
    nohz_blocked:   tick after which their loads are to be aged
    nohz_has_blocked: 1 = some of them has load that ages
    context_switch: table of costs, ns, as all below
    syscall_exit:   return of a woken task to user space
    irq_entry:      interrupt entry
    timer_irq:      hrtimer interrupt
    tick:           tick handler
    hrtimer_program: what a task computes to arm the timer it sleeps on
    wake:           one wake-up in an interrupt
    enqueue_remote: queueing a task that another CPU has woken
    ipi:            flight of a reschedule interrupt
    softirq_entry:  softirq entry
    softirq_exit:   a thread that runs softirqs, from the last one to sleeping
    schedule:       schedule() before the switch
    preempt_fair:   a wake-up's test against a running fair task
    cgroup_level:   a wake-up, for each cgroup level of its task
    preempt_off:    length of a kernel section that cannot be preempted, by this kernel's model
    vm_entry:       VM entry
    vm_exit[6]:     VM exit by reason
    smt_speed:      of FULL_SPEED, how fast a CPU works while a task has another one of its core
    halt_poll_ns:   ns that a halted vCPU polls at most, 0 = never
    halt_poll_grow: factor after a halt that a longer poll would have caught, 0 = none
    halt_poll_grow_start: ns, first poll
    halt_poll_shrink: divisor after a halt longer than any poll, 0 = back to none
    timer_advance_adapts: 1 = how early the timers of guests fire follows how late they have been
    preemption_timer: 1 = a running guest's timer ends guest mode itself, 0 = an interrupt of the host does
    apic_exits:     1 = a guest leaves guest mode to program its timer and to interrupt another of its CPUs
    timer_task:     emulator thread that fires the timers of this guest, -1 = KVM does
    timer_work:     what it computes for each, under its lock
    guest_poll_ns:  ns that an idle CPU of this guest polls at most before it halts, 0 = it halts at once
    guest_poll_grow: factor after a halt that a longer poll would have caught
    guest_poll_grow_start: ns, first poll
    guest_poll_shrink: divisor after a halt longer than any poll, 0 = back to none
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
    need_resched:   whether to reschedule: RESCHED at the next point that allows it, RESCHED_LAZY later
    clock:          ns, reading of the run queue's clock
    clock_task:     ns, the same reading without interrupts, where those are accounted
    clock_skip:     1 = schedule() does not read it anew
    section_rest:   ns, work of `curr` beyond the preemption point it runs towards; -1 = not running towards one
    switched_ns:    task_ns when the last switch ended
    scheduling:     ns, work of the schedule() under way before its switch
    softirq_section: ns, work so far of the softirq round that a thread runs
    entry_section:  ns, work of the last VM entry
    poid:           ns, longest section with preemption or interrupts off, not to schedule
    paie:           ns, longest flight of a reschedule interrupt
    psd:            ns, longest schedule() with its switch
    overruled:      times that the fair server or throttling held realtime tasks back
    interrupted_at: ns, when the base level was interrupted last
    resumed_at:     ns, when it went on last
    bucket[{len(RATES)}]: ns times RATE_UNIT, level of the bucket that leaks at each of RATES
    bucket_most[{len(RATES)}]: its highest
    idle_from:      ns, since when it idles
    sibling:        next CPU of its core, in a ring; -1 = alone
    busy:           1 = a task has it
    speed:          of FULL_SPEED, how fast it works
    poll_limit:     ns that it polls before it halts, in a guest
    tick_at:        ns, next tick, NEVER = stopped
    tick_queued:    ns, when the tick's timer was queued
    nohz_full:      1 = tick stops with a single runnable task
    domain:         its lowest scheduling domain, -1 none
    llc:            last-level cache, row of `llcs`, -1 = its own
    llc_domain:     widest domain that shares the cache, -1 none
    core_first:     first CPU of its core in `members`
    core_count:     how many
    wakelist:       first task that another CPU has woken and this one is to queue, -1 none
    nohz_idle:      1 = in its kernel's nohz_mask
    nohz_kick:      bits: asked to balance for all idle CPUs
    next_balance:   tick from which some domain may be due
    avg_idle:       ns, how long it idles on average
    idle_stamp:     ns, since when it idles, 0 = it does not
    max_idle_cost:  ns, longest new idle balancing
    active_balance: 1 = the stopper is to push a task away
    push_cpu:       where
    waker_flips:    its idle task's, see TASK
    waker_last:     its idle task's
    waker_decayed:  its idle task's
    has_blocked:    1 = idle without tick, with load that ages
    blocked_updated: tick when that was aged
    capacity:       what other classes left to fair tasks when it last balanced its lowest domain, of 1024
    capacity_due:   tick from which new idle balancing works it out anew
    rt_pushable:    realtime tasks that wait here and may run elsewhere
    rt_sum:         PELT: sum of time that realtime tasks ran
    rt_avg:         PELT: share of it, of 1024
    rt_updated:     ns, to when
    rt_contrib:     us of the present period
    isolated:       1 = in no scheduling domain: no balancing, no wake-up choice
    tick_offset:    ns, its ticks come that long after multiples of 1/HZ
    timer_head[2]:  task whose hrtimer expires first, of the hard and the soft base
    soft_activated: 1 = the HRTIMER softirq has been raised and has not yet run
    sched_timer:    timer of the scheduler that expires first, -1 none
    sched_timer_at: ns, when; NEVER = none
    nr_running:     runnable tasks, the running one and those whose dequeue is delayed included
    rt_bitmap[4]:   bits of the priorities with waiting tasks, 32 a word
    dl_head:        deadline entity that may run with the earliest deadline, -1 none
    dl_nr_running:  deadline entities that may run
    idle_exec_start: ns, start of the idle time that the fair server has not yet been charged for
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
    group:          its cgroup, row of `groups`, -1 root
    kthread:        1 = runs in the kernel: preemption points matter
    state:          task state
    allowed[{AFFINITY_WORDS}]: affinity mask over its kernel's CPUs
    nr_allowed:     CPUs in it
    next:           link in a list of its CPU: of its realtime priority, while it waits; of fair tasks
    prev:           link
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
    first:          ns, start of its program, from which its timers count
    rest:           ns, work beyond the clock reading that OP_RUN runs towards
    ends_at:        ns, end of OP_RUNTIME, 0 = not begun
    waker_flips:    how often it woke another task than before, halved each second
    waker_last:     whom it woke last, -1 nobody
    waker_decayed:  tick, when last halved
    recent_cpu:     CPU it used before the present one, for the wake-up choice
    transit_next:   link in CPU.wakelist or LB.tasks: it is on its way to another CPU
    hot_moved:      1 = taken though cache hot
    catch_up:       1 = missed releases are served late; 0 = skipped
    release:        ns, release of the current activation
    released:       1 = that activation is not complete yet
    polls:          1 = reads the clock all the time: a gap between two readings is a sample
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
    io_left:        ns, vCPU: work in QEMU, or for a page, that the exit asked for
    faults:         vCPU: pages it misses and has not yet touched
    fault_work:     ns, vCPU: what the host computes for them
    page_ins:       vCPU: pages it misses and has not yet touched that are on disk
    page_in_wait:   ns, vCPU: how long reading them takes
    halt_poll_ns:   ns, vCPU: how long it polls when it halts next
    halted_at:      ns, vCPU: since when it is halted, -1 = it is not
    timer_advance:  ns, vCPU: how early its guest's timer fires
    timer_deadline: ns, vCPU: expiry of a timer that has fired and that the guest has not been entered for, -1 none
    timer_job:      1 = vCPU: the emulator has yet to tell of an expiry
    lock:           lock of its guest, -1 none
    lock_next:      link among the waiters of a lock
    rr_left:        ticks left of a round-robin slice
    to_tail:        1 = goes to the tail of its priority when it leaves the CPU
    watch:          row of `watches`, -1 not observed
    waking_at:      ns of the last wake-up
    run_from:       ns of the last switch to it
    off_at:         ns, when it left its CPU or, if later, was queued; -1 = it is on one
    run_delay:      ns that it waited on a queue
    slept:          ns that it was neither on a CPU nor on a queue
    waits_for_lock: 1 = among the waiters of a mutex
    cpu_ns:         ns on a CPU
    wakeups:        count
    skipped:        releases skipped
    overruns:       releases that came while it was still busy, and were served late
    voluntary:      switches away by its own doing
    involuntary:    switches away by preemption
    migrations:     changes of CPU
    times_row:      row of `cpu_times`, -1 none
    ns_before:      ns on a CPU, before it came to the present one
""")

ENTITY = _dtype("""
    load:           weight times 1024
    weight:         weight that calculations use
    queue:          row of `cfs_rqs` it is, or was last, queued in
    my_q:           row of `cfs_rqs` that a group's entity stands for, -1 = a task
    depth:          levels above
    on_rq:          1 = belongs to its queue: waits there, runs, or is delayed
    delayed:        1 = does not want to run, but stays queued until it is eligible
    vruntime:       ns of virtual time
    relative:       1 = vruntime counts from its queue's min_vruntime (CFS, between two CPUs)
    migrated_awake: 1 = it changes CPU without having slept (CFS)
    deadline:       ns of virtual time (EEVDF)
    rel_deadline:   1 = deadline counts from vruntime
    vlag:           ns of virtual time behind the queue, while it is in none
    slice:          ns, its request
    custom_slice:   1 = not the default request
    protect:        deadline, or virtual time, that protects it while it runs
    exec_start:     ns, start of the stretch not yet charged
    sum_exec:       ns charged
    exec_at_pick:   sum_exec when it last began to run
    key:            order in the timeline
    heap:           its fixed random number
    left:           timeline: child with lower keys
    right:          timeline: child with higher keys
    up:             timeline: parent
    min_vruntime:   least vruntime in its subtree
    min_slice:      shortest slice there
    max_slice:      longest slice there
    load_sum:       PELT sum of time on a queue
    util_sum:       PELT sum of time on the CPU
    load_avg:       PELT average, times weight
    runnable_avg:   PELT average of time on a queue, of 1024
    util_avg:       PELT average of time on the CPU, of 1024
    load_updated:   ns, to when
    attached:       1 = its averages are counted in its queue, also while it sleeps
    period_contrib: us of the present PELT period
""")

CFS_RQ = _dtype("""
    cpu:            whose
    group:          row of `groups`, -1 = root
    entity:         what stands for it one level up, -1 at the root
    curr:           entity that runs, -1 none
    root:           timeline: root
    leftmost:       timeline: first
    nr_running:     entities in it, the running one included
    nr_idle:        of these, idle ones
    h_nr_running:   tasks in it and below
    h_nr_runnable:  of these, those that want to run
    h_nr_idle:      of the tasks, idle ones
    load:           sum of the loads of its entities
    min_vruntime:   base of virtual time: CFS the least, never going back; EEVDF the mean when last worked out
    avg_vruntime:   EEVDF: sum of (vruntime - min_vruntime) * weight over those that wait
    avg_load:       EEVDF: sum of their weights
    next:           buddy to run next, -1 none
    last:           buddy to return to (CFS)
    skip:           buddy to pass over (CFS)
    runtime_remaining: ns it may run before it asks its group
    throttled:      1 = ran out of run time
    throttle_count: throttled queues among it and those above
    throttled_next: link of its group's throttled queues
    load_sum:       PELT sum of load
    load_avg:       PELT average
    runnable_sum:   PELT sum of tasks that are queued
    runnable_avg:   PELT average, 1024 a task
    util_sum:       PELT sum of time that something ran
    util_avg:       PELT average, of 1024
    load_updated:   ns, to when
    period_contrib: us of the present PELT period
    load_contrib:   load_avg last published to the group
    load_told:      ns, when
""")

RT_RQ = _dtype("""
    rt_nr_running:  realtime tasks in it and below that are not throttled further down, the running one included
    rr_nr_running:  of these, round-robin ones
    rt_time:        ns that its tasks have run in this period
    rt_throttled:   1 = they may not run until a period ends
    rt_runtime:     ns of each period that they may run, NEVER = unlimited
    rt_period:      ns
    rt_timer:       row of `sched_timers`: the period of this group, or kernel, on all its CPUs
""")

DL_ENTITY = _dtype("""
    dl_runtime:     ns it may run in each period; 0 = there is no such entity
    dl_deadline:    ns, relative deadline
    dl_period:      ns
    runtime:        ns left, negative when overrun
    deadline:       ns, absolute deadline
    on_rq:          1 = may run: in the list of its CPU
    next:           link in CPU.dl_head, by deadline
    throttled:      1 = waits for its timer
    yielded:        1 = has given the rest of its budget up
    defer:          1 = a server, to run only as late as its budget allows
    defer_armed:    1 = a deferred server waits for that point
    defer_running:  1 = it was reached: the server runs, or is replenished, like a task
    defer_idle:     1 = its CPU has idled a whole budget away since
    server_active:  1 = a server that has been started
    timer:          row of `sched_timers`, -1 none
""")

GROUP = _dtype("""
    kernel:         row of `kernels`
    first_queue:    its queue on that kernel's first CPU; the others follow
    shares:         cpu.shares times 1024
    idle:           1 = cpu.idle
    spread:         1 = its tasks may run on more than one CPU
    load_avg:       sum of what its queues have published
    quota:          ns a period, 0 = no limit
    period:         ns
    burst:          ns
    rt_runtime:     ns of each period that its realtime tasks may run on one CPU
    rt_period:      ns
    runtime:        ns in the pool
    period_timer:   row of `sched_timers`
    slack_timer:    row of `sched_timers`
    period_at:      ns, end of a period: its grid
    period_active:  1 = the period timer runs
    idle_periods:   1 = nothing was drawn since the last refill
    throttled_head: first queue that ran out, -1 none
    throttled_tail: last one
""")

TASK_LIST = _dtype("""
    head:           first task, -1 none
    tail:           last task
""")

DOMAIN = _dtype(f"""
    cpu:            whose
    parent:         next wider domain of this CPU, -1 none
    span[{AFFINITY_WORDS}]: its CPUs, as an affinity mask
    weight:         how many
    first_member:   first of its CPUs in `members`, ascending
    position:       place of `cpu` among them
    first_group:    first of its groups, shared with the other CPUs of the domain
    group_count:    how many
    local_group:    place of the group that `cpu` is in
    sd_flags:       bits
    imbalance_pct:  how much busier another group must be, percent
    cache_nice_tries: failures after which cache hot tasks are taken
    min_interval:   ms
    max_interval:   ms
    busy_factor:    by which the interval is multiplied on a busy CPU
    imb_numa_nr:    tasks up to which nodes may be unequal
    interval:       ms, present one
    last_balance:   tick
    failed:         attempts that moved nothing, since the last that did
    newidle_cost:   ns, longest new idle balancing, forgotten by 1 % a second
    cost_decayed:   tick, when
    newidle_calls:  attempts, halved at 1024
    newidle_moved:  of these successful
    newidle_ratio:  of 1024, successful
""")

SCHED_GROUP = _dtype("""
    first_member:   first of its CPUs in `members`, ascending
    weight:         how many
    cores:          in how many cores
    smt:            1 = its CPUs share a core
    imbalance:      1 = affinities kept the level below from being balanced
""")

LLC = _dtype("""
    weight:         CPUs
    nr_busy:        of these, not idle without tick
    idle_cores:     1 = there may be a core that is wholly idle
    nr_idle_scan:   CPUs that a search for an idle one looks at
""")

LB = _dtype(f"""
    domain:         balanced now
    dst:            CPU that is to get tasks
    src:            CPU that is to give them
    idle:           how the balancing CPU is
    cpus[{AFFINITY_WORDS}]: CPUs considered, as an affinity mask
    migration:      what the imbalance counts
    imbalance:      left to move
    all_pinned:     1 = no task so far may run on `dst`
    some_pinned:    1 = some may not
    dst_pinned:     1 = some may run beside it, on `new_dst`
    new_dst:        CPU
    active:         1 = the stopper takes the running task
    tasks:          first task taken and not yet queued again, -1 none
    loop:           tasks looked at
    loop_max:       tasks to look at
    busiest:        row of `sched_groups`, -1 none
    local:          row of `sched_groups`
    total_load:     of all groups
    total_capacity: of all groups
    avg_load:       of all groups
    prefer_sibling: 1 = tasks are spread over the groups
""")

LB_GROUP = _dtype("""
    load:           sum of its CPUs' load averages
    util:           sum of their utilisation
    runnable:       sum of their runnable averages
    capacity:       sum of their capacities
    nr_running:     tasks
    h_nr_running:   fair tasks
    idle_cpus:      CPUs that idle
    weight:         CPUs
    avg_load:       load a capacity
    reduced_load:   load of the busiest CPU that other classes leave little capacity
    smt_balance:    1 = its CPUs share a core that is busy with several tasks
    type:           how busy
""")

SCHED_TIMER = _dtype("""
    kind:           what for
    entity:         whose
    cpu:            where it expires
    at:             ns, when; NEVER = not started
    expiry:         ns, when it last expired
    next:           link in CPU.sched_timer
""")

OP = _dtype("""
    code:           what to do
    value:          a table, ns, or a row of `ops`, `timers`, `masks` or `locks`: engine/program.py says which
    extra:          ns, a count, or a row of `locks`
    done:           OP_LOOP: times done
""")

TIMER = _dtype("""
    expires:        ns, last expiry
    begun:          1 = it has one; its first use counts from the task's start
    relative:       1 = an expiry in the past moves it to the present
""")

JOB = _dtype("""
    arrival:        ns
    duration:       ns
    locked:         1 = done under the task's lock
    guest_cpu:      guest CPU to interrupt when it is done, -1 none
    interrupt:      ns, that interrupt of a device, -1 = of its timer
""")

LOCK = _dtype("""
    owner:          mutex: task, -1 free
    head:           first waiter, -1 none
    tail:           last waiter
    missing:        barrier: tasks that have yet to come before the last one
""")

SOURCE = _dtype("""
    kind:           what an arrival does
    cpu:            where; -1 = on all host CPUs at the same instant
    task:           thread or vCPU it concerns, -1 none
    server:         thread that a doorbell wakes
    answer:         table of the interrupt by which it answers
    locked:         job is done under the lock
    lasting:        of page faults: 1 = a page missing is found missing later, 0 = only code that runs now touches it
    on_disk:        of page faults: 1 = the page is read from disk, the vCPU sleeps
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
    "entities": (ENTITY, 1),  # one a task, then one a queue of a group
    "cfs_rqs": (CFS_RQ, 1),  # one a CPU, then those of the groups
    "rt_rqs": (RT_RQ, 1),  # as `cfs_rqs`
    "dl_entities": (DL_ENTITY, 1),  # one a task, then one a CPU: its fair server
    "groups": (GROUP, 1),
    "domains": (DOMAIN, 1),
    "sched_groups": (SCHED_GROUP, 1),
    "llcs": (LLC, 1),
    "members": (_INT64, 1),  # rows of `cpus`: of domains, groups and cores, one list after the other
    "lb": (LB, 1),  # one row: the balancing pass under way
    "lb_groups": (LB_GROUP, 1),  # three rows: the local group, the busiest so far, the one looked at
    "task_lists": (TASK_LIST, 1),  # (CPUs * LISTS,)
    "sched_timers": (SCHED_TIMER, 1),
    "ops": (OP, 1),
    "jobs": (JOB, 1),
    "timers": (TIMER, 1),
    "cpu_times": (_INT64, 2),  # (tasks that may use several CPUs, host CPUs): ns on CPUs left since
    "masks": (_INT64, 2),  # (masks, AFFINITY_WORDS): what OP_AFFINITY sets
    "locks": (LOCK, 1),  # mutexes, condition variables and barriers
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
    entities: npt.NDArray[Any]
    cfs_rqs: npt.NDArray[Any]
    rt_rqs: npt.NDArray[Any]
    dl_entities: npt.NDArray[Any]
    groups: npt.NDArray[Any]
    domains: npt.NDArray[Any]
    sched_groups: npt.NDArray[Any]
    llcs: npt.NDArray[Any]
    members: npt.NDArray[np.int64]
    lb: npt.NDArray[Any]
    lb_groups: npt.NDArray[Any]
    task_lists: npt.NDArray[Any]
    sched_timers: npt.NDArray[Any]
    ops: npt.NDArray[Any]
    jobs: npt.NDArray[Any]
    timers: npt.NDArray[Any]
    cpu_times: npt.NDArray[np.int64]
    masks: npt.NDArray[np.int64]
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
