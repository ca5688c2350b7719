"""The fields of the scheduler: entities, queues, groups, scheduling domains and balancing, its own timers."""

from __future__ import annotations

from rtsim.engine.constants import AFFINITY_WORDS
from rtsim.engine.fields import dtype_of

__all__ = [
    "CFS_RQ",
    "DL_ENTITY",
    "DOMAIN",
    "ENTITY",
    "GROUP",
    "LB",
    "LB_GROUP",
    "LLC",
    "RT_RQ",
    "SCHED_GROUP",
    "SCHED_TIMER",
    "TASK_LIST",
]

ENTITY = dtype_of("""
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

CFS_RQ = dtype_of("""
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

RT_RQ = dtype_of("""
    rt_nr_running:  realtime tasks in it and below that are not throttled further down, the running one included
    rr_nr_running:  of these, round-robin ones
    rt_time:        ns that its tasks have run in this period
    rt_throttled:   1 = they may not run until a period ends
    rt_runtime:     ns of each period that they may run, NEVER = unlimited
    rt_period:      ns
    rt_timer:       row of `sched_timers`: the period of this group, or kernel, on all its CPUs
""")

DL_ENTITY = dtype_of("""
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

GROUP = dtype_of("""
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

TASK_LIST = dtype_of("""
    head:           first task, -1 none
    tail:           last task
""")

DOMAIN = dtype_of(f"""
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

SCHED_GROUP = dtype_of("""
    first_member:   first of its CPUs in `members`, ascending
    weight:         how many
    cores:          in how many cores
    smt:            1 = its CPUs share a core
    imbalance:      1 = affinities kept the level below from being balanced
""")

LLC = dtype_of("""
    weight:         CPUs
    nr_busy:        of these, not idle without tick
    idle_cores:     1 = there may be a core that is wholly idle
    nr_idle_scan:   CPUs that a search for an idle one looks at
""")

LB = dtype_of(f"""
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

LB_GROUP = dtype_of("""
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

SCHED_TIMER = dtype_of("""
    kind:           what for
    entity:         whose
    cpu:            where it expires
    at:             ns, when; NEVER = not started
    expiry:         ns, when it last expired
    next:           link in CPU.sched_timer
""")
