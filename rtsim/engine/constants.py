"""What the numbers in the state mean: plain integers, because compiled code reads them as constants."""

from __future__ import annotations

NEVER = 2**62
"""A time that does not come; as an amount of work, work without end."""
NONE = -1
"""No row, or no work under way."""

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
NEEDS_PAGE, IN_FAULT, POLLING, UNHALTED, ON_SPIN = 8, 9, 10, 11, 12

# Why a vCPU left the guest.
EXIT_TIMER, EXIT_HLT, EXIT_EXTERNAL, EXIT_IO, EXIT_EPT, EXIT_DOORBELL, EXIT_PAUSE, EXIT_KICK = 0, 1, 2, 3, 4, 5, 6, 7
EXIT_ARM, EXIT_IPI = 8, 9
EXIT_NAMES = ("timer", "hlt", "external", "io", "ept", "doorbell", "pause", "kick", "arm", "ipi")
"""Of the last two, KVM's cost is in what the guest computes for them."""

# What TASK.kthread says: in user space; in the kernel, by preemption points; holding or awaiting a spinlock.
USER, KTHREAD, ATOMIC = 0, 1, 2

# What a kernel's spinlocks are: queued; test-and-set; queued, and waiters let their vCPUs halt (kvm/spinlock.py).
SPIN_NATIVE, SPIN_VIRT, SPIN_PV = 0, 1, 2

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
OP_BARRIER, OP_LEAVE, OP_YIELD, OP_AFFINITY, OP_SOFTIRQ, OP_SPIN_LOCK, OP_SPIN_UNLOCK = 16, 17, 18, 19, 20, 21, 22

# Noise sources: what an arrival does, and when arrivals come.
NOISE_HARDWARE, NOISE_NMI, NOISE_IRQ, NOISE_SOFTIRQ, NOISE_THREAD, NOISE_EXIT, NOISE_FAULT = 0, 1, 2, 3, 4, 5, 6
NOISE_DOORBELL, NOISE_ARM, NOISE_TICK = 7, 8, 9
PERIODIC, RENEWAL, BURSTS, RECORDED, ON_DEMAND = 0, 1, 2, 3, 4

# What is asked of the engine from outside between events.
ACT_NOTHING, ACT_START, ACT_WAKE, ACT_JOB, ACT_IRQ = 0, 1, 2, 3, 4

# Trace records (numbers are part of stored traces: append only).
TR_IRQ, TR_IRQ_EXIT, TR_SOFTIRQ, TR_HARDWARE, TR_NMI, TR_WAKING, TR_SWITCH, TR_SAMPLE = 0, 1, 2, 3, 4, 5, 6, 7
TR_VM_ENTRY, TR_VM_EXIT, TR_TICK, TR_TIMER, TR_LOCK_WAIT, TR_BLOCK, TR_NOISE, TR_MIGRATE = 8, 9, 10, 11, 12, 13, 14, 15
TR_YIELD_TO = 16
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
    "yield_to",
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
    "spinlock",
    "throttled",
)
(C_HARDWARE, C_IRQ, C_SOFTIRQ, C_IDLE_EXIT, C_PREEMPT_OFF, C_SWITCH, C_TIMER_SLACK,
 C_VM_EXIT, C_VM_ENTRY, C_EMULATOR, C_MEMORY, C_SMT, C_SPINLOCK, C_THROTTLED) = range(len(CAUSE_NAMES))  # fmt: skip
CAUSES = len(CAUSE_NAMES)

HISTOGRAM_BUCKETS = 2048 + 36 * 1024
"""Buckets up to 2**47 ns (39 hours) at 1024 an octave; anything longer counts in the last."""
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
