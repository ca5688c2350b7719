"""The fields of what runs: machine, kernels, CPUs, tasks and their programs, sources of noise, samples.

All integers are int64; times are nanoseconds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rtsim.engine.constants import AFFINITY_WORDS, EXIT_NAMES, IDLE_STATES, LEVELS, RATES, TRACE_WINDOW

__all__ = [
    "ARRIVAL",
    "CPU",
    "JOB",
    "KERNEL",
    "LOCK",
    "MACHINE",
    "OP",
    "SLOT",
    "SOURCE",
    "TASK",
    "TIMER",
    "TRACE",
    "WATCH",
    "WORST",
    "dtype_of",
]


def dtype_of(text: str) -> np.dtype[Any]:
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


MACHINE = dtype_of("""
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

KERNEL = dtype_of(f"""
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
    spread:         1 = some task may run on several CPUs: loads are kept
    balances:       1 = CPUs are balanced: tasks are spread, or the attempts, in ksoftirqd, are in the way of others
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
    clock_program:  programming the clock event device at the end of its interrupt
    wake:           one wake-up in an interrupt
    enqueue_remote: queueing a task that another CPU has woken
    ipi:            flight of a reschedule interrupt
    softirq_entry:  softirq entry
    softirq_exit:   a thread that runs softirqs, from the last one to sleeping
    sched_softirq:  balancing a CPU in ksoftirqd
    schedule:       schedule() before the switch
    preempt_fair:   charging a running fair task, in a wake-up's test against it, and in the tick
    put_fair:       charging it as it is put back
    cgroup_level:   one level of a fair task: queueing it, taking it off, switching to or from it, its tick
    preempt_off:    length of a kernel section that cannot be preempted, by this kernel's model
    vm_entry:       VM entry
    vm_exit[9]:     VM exit by reason
    smt_speed:      of FULL_SPEED, how fast a CPU works while a task has another one of its core
    halt_poll_ns:   ns that a halted vCPU polls at most, 0 = never
    halt_poll_grow: factor after a halt that a longer poll would have caught, 0 = none
    halt_poll_grow_start: ns, first poll
    halt_poll_shrink: divisor after a halt longer than any poll, 0 = back to none
    timer_advance_adapts: 1 = how early the timers of guests fire follows how late they have been
    preemption_timer: 1 = a running guest's timer ends guest mode itself, 0 = an interrupt of the host does
    timer_task:     emulator thread that fires the timers of this guest, -1 = KVM does
    timer_work:     what it computes for each, under its lock, until it kicks the vCPU
    lock_release:   what it computes then, until it frees the lock
    timer_rearm:    what it computes, under the lock, when a vCPU has armed a timer
    guest_poll_ns:  ns that an idle CPU of this guest polls at most before it halts, 0 = it halts at once
    guest_poll_grow: factor after a halt that a longer poll would have caught
    guest_poll_grow_start: ns, first poll
    guest_poll_shrink: divisor after a halt longer than any poll, 0 = back to none
    spinlocks:      of this kernel: queued, test-and-set, or halting
    spin_threshold: ns that a waiter for one spins before it halts
    ple_window:     cycles, first length of the pause loop that ends guest mode, 0 = none does
    ple_window_grow: factor after such an exit, or cycles if not below ple_window; 0 = back to that
    ple_window_shrink: divisor when the vCPU comes back to a CPU, or cycles; 0 = back to ple_window
    ple_window_max: cycles
    last_boosted:   number of the vCPU of this guest that a spinning one last gave way to
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

CPU = dtype_of(f"""
    kernel:         row of `kernels`
    carrier:        vCPU task that carries this CPU; -1 on the host
    exits[{len(EXIT_NAMES)}]: how often its vCPU left guest mode, by reason
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
    irq_programming: ns, what programming the clock will take that is not in a stretch yet
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
    frequency:      of FULL_SPEED, how fast it works with its core to itself
    speed:          of FULL_SPEED, how fast it works
    poll_limit:     ns that it polls before it halts, in a guest
    tick_at:        ns, next tick, NEVER = stopped
    tick_queued:    ns, when the tick's timer was queued
    nohz_full:      1 = tick stops with a single runnable task
    node:           its NUMA node
    timer_home:     CPU that takes its timers, where it is nohz_full and no busy one does; -1 none
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
    arm_source:     noise source that tells QEMU's main loop that its timer is armed, -1 = KVM has the timer
    root_domain:    number of its root domain in its kernel: realtime and deadline tasks move within it only
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

TASK = dtype_of(f"""
    kernel:         row of `kernels`
    cpu:            CPU it is on or was last on
    policy:         scheduling policy
    prio:           kernel priority: 0..98 realtime, 100..139 fair
    group:          its cgroup, row of `groups`, -1 root
    kthread:        whether it runs in the kernel: USER, KTHREAD (preemption points matter) or ATOMIC (no preemption)
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
    work_until:     ns of its own CPU clock, end of the OP_RUN under way; 0 = none or not read; 1 = a spinlock is free
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
    smt_ns:         ns of these that other tasks of its core cost it
    wakeups:        count
    skipped:        releases skipped
    overruns:       releases that came while it was still busy, and were served late
    voluntary:      switches away by its own doing
    involuntary:    switches away by preemption
    migrations:     changes of CPU
    times_row:      row of `cpu_times`, -1 none
    ns_before:      ns on a CPU, before it came to the present one
    spin_from:      ns, since when it holds or awaits a spinlock
    spin_until:     ns, when the pause loop that it is in ends guest mode, -1 = the loop has not begun
    spun_from:      ns of its cpu_ns, when it began to spin last
    spin_halted:    1 = its vCPU is halted until it is next for the spinlock
    ple_window:     cycles, vCPU: length of the pause loop that ends guest mode
    ple_switches:   vCPU: its switches when that was last set
    dy_eligible:    1 = vCPU: though spinning, the next one to be yielded to
    kick_cpu:       vCPU: guest CPU whose waiter for a spinlock it kicks
""")

OP = dtype_of("""
    code:           what to do
    value:          a table, ns, or a row of `ops`, `timers`, `masks` or `locks`: engine/program.py says which
    extra:          ns, a count, or a row of `locks`
    done:           OP_LOOP: times done
""")

TIMER = dtype_of("""
    expires:        ns, last expiry
    begun:          1 = it has one; its first use counts from the task's start
    relative:       1 = an expiry in the past moves it to the present
""")

JOB = dtype_of("""
    arrival:        ns
    duration:       ns
    locked:         1 = done under the task's lock
    guest_cpu:      guest CPU to interrupt when it is done, -1 none
    interrupt:      ns, that interrupt of a device, -1 = of its timer
""")

LOCK = dtype_of("""
    owner:          mutex: task, -1 free
    head:           first waiter, -1 none
    tail:           last waiter
    missing:        barrier: tasks that have yet to come before the last one
""")

SOURCE = dtype_of("""
    kind:           what an arrival does
    cpu:            where; -1 = on all host CPUs at the same instant
    task:           thread or vCPU it concerns, -1 none
    server:         thread that a doorbell wakes
    answer:         table of the interrupt by which it answers
    locked:         job is done under the lock
    lasting:        of page faults: 1 = a page missing is found missing later, 0 = only code that runs now touches it
    on_disk:        of page faults: 1 = the page is read from disk, the vCPU sleeps
    vector:         softirq it raises
    arrival:        PERIODIC, RENEWAL, BURSTS or RECORDED
    period:         ns; of RECORDED: after which the rows begin again, 0 = never
    phase:          ns, first arrival
    interval:       table of intervals (RENEWAL, BURSTS) or of jitter (PERIODIC; -1 none)
    burst_size:     arrivals of a burst
    burst_spacing:  ns between them
    burst_left:     arrivals left in the current burst
    first_row:      of RECORDED: its first row of `arrivals`
    rows:           how many it has there
    last:           ns, last arrival (start of the last burst)
    duration:       table
    n:              arrivals drawn so far
    arrival_key:    random stream of arrivals
    arrival_gamma:  its increment
    duration_key:   random stream of durations
    duration_gamma: its increment
""")

ARRIVAL = dtype_of("""
    time:           ns, when a recorded source struck
    duration:       ns, for how long
""")

SLOT = dtype_of("""
    time:           ns, of the heap entry at this position
    slot:           slot of the heap entry at this position
    position:       position of the slot of this index, -1 = not armed
""")

WATCH = dtype_of("""
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

WORST = dtype_of(f"""
    release:        ns
    latency:        ns
    trace_count:    records of the window
    window[{TRACE_WINDOW * 5}]: trace records around it, five numbers each
""")

TRACE = dtype_of("""
    time:           ns
    kind:           record kind
    cpu:            row of `cpus`
    task:           task or source, -1 none
    value:          by kind
""")
