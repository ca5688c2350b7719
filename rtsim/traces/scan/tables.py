"""What the scanner knows of events: which they are, and which of their words fills which column."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from rtsim.traces.events import COLUMNS, LOST

TIME, CPU, EVENT, PID, COMM, PRIO, STATE = (COLUMNS.index(c) for c in COLUMNS[:7])
OTHER_PID, OTHER_COMM, OTHER_PRIO, OTHER_CPU, NUMBER, NAME, VALUE, START = range(7, 15)

INT, ADDRESS, WORD, COMMAND, _REST = range(5)
"""What a value is: an integer; hexadecimal; a text up to a space or bracket, to the next ``...pid=``, or to the end."""

_TASK = {"comm": (OTHER_COMM, COMMAND), "pid": (OTHER_PID, INT), "prio": (OTHER_PRIO, INT),
         "target_cpu": (OTHER_CPU, INT), "dest_cpu": (OTHER_CPU, INT), "orig_cpu": (NUMBER, INT),
         "runtime": (VALUE, INT), "vruntime": (NUMBER, INT), "oldprio": (PRIO, INT),
         "newprio": (OTHER_PRIO, INT)}  # fmt: skip
_TIMER = {"hrtimer": (NUMBER, ADDRESS), "timer": (NUMBER, ADDRESS), "function": (NAME, WORD)}
FIELDS: Final = {
    "switch": {"prev_comm": (COMM, COMMAND), "prev_pid": (PID, INT), "prev_prio": (PRIO, INT),
               "prev_state": (STATE, WORD), "next_comm": (OTHER_COMM, COMMAND), "next_pid": (OTHER_PID, INT),
               "next_prio": (OTHER_PRIO, INT)},
    "task": _TASK,
    "interrupt": {"irq": (NUMBER, INT), "name": (NAME, _REST), "vec": (NUMBER, INT), "action": (NAME, WORD),
                  "vector": (NUMBER, INT), "cpu": (OTHER_CPU, INT)},
    "hrtimer": {**_TIMER, "now": (VALUE, INT), "expires": (VALUE, INT)},
    "timer": _TIMER,  # its times are jiffies
    "idle": {"state": (NUMBER, INT), "cpu_id": (OTHER_CPU, INT)},
    "noise": {}, "kvm": {}, "work": {},  # not of the form key=value
}  # fmt: skip
_KINDS: Final = tuple(FIELDS)
SWITCH, TASKS, _INTERRUPT, _HRTIMER, _TIMERS, _IDLE, NOISE, KVM, WORK = range(len(_KINDS))

_VECTORS = ("local_timer", "reschedule", "call_function", "call_function_single", "irq_work", "spurious_apic",
            "error_apic", "thermal_apic", "threshold_apic", "deferred_error_apic", "x86_platform_ipi")  # fmt: skip
KNOWN: Final = (
    (LOST, WORK), ("function", WORK), ("sched_switch", SWITCH),
    *((name, TASKS) for name in ("sched_waking", "sched_wakeup", "sched_wakeup_new", "sched_migrate_task",
                                  "sched_stat_runtime", "sched_pi_setprio", "sched_process_exit")),
    *((name, _INTERRUPT) for name in ("irq_handler_entry", "irq_handler_exit", "softirq_raise", "softirq_entry",
                                      "softirq_exit", "ipi_send_cpu", "ipi_entry", "ipi_exit", "ipi_raise")),
    *((f"{vector}_{end}", _INTERRUPT) for vector in _VECTORS for end in ("entry", "exit")),
    *((f"hrtimer_{what}", _HRTIMER) for what in ("init", "setup", "start", "cancel", "expire_entry", "expire_exit")),
    *((f"timer_{what}", _TIMERS) for what in ("init", "start", "cancel", "expire_entry", "expire_exit")),
    ("cpu_idle", _IDLE),
    *((f"{source}_noise", NOISE) for source in ("irq", "softirq", "nmi", "thread")), ("sample_threshold", NOISE),
    ("kvm_entry", KVM), ("kvm_exit", KVM),
    ("workqueue_execute_start", WORK), ("workqueue_execute_end", WORK),
)  # fmt: skip
"""Events with columns of their own; their place here is their number among the interned texts."""
LOST_CODE, FUNCTION_CODE = 0, 1
THREAD_NOISE: Final = [name for name, _ in KNOWN].index("thread_noise")
KIND_OF: Final = np.array([kind for _, kind in KNOWN], dtype=np.int64)


def _hash_of(text: str) -> int:
    hashed = 2166136261
    for byte in text.encode():
        hashed = ((hashed ^ byte) * 16777619) & 0xFFFFFFFF
    return hashed


def _key_table() -> Any:
    """Return (slots, 2 + 2 * kinds): a hash table of keys: hash, length, then column and way of ending by kind."""
    table = np.full((256, 2 + 2 * len(_KINDS)), -1, dtype=np.int64)
    for kind, fields in enumerate(FIELDS.values()):
        for key, (column, ends) in fields.items():
            slot = _hash_of(key) & 255
            while table[slot, 0] not in (-1, _hash_of(key)):
                slot = (slot + 1) & 255
            table[slot, :2] = _hash_of(key), len(key)
            table[slot, 2 + 2 * kind : 4 + 2 * kind] = column, ends
    return table


KEYS: Final = _key_table()
