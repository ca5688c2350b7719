"""The story of a slow sample: who ran, for how long, why, from its causes and the trace around it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from rtsim.engine.builder import Names
from rtsim.engine.constants import NONE, TR_LOCK_WAIT, TR_NOISE, TR_SWITCH, TR_WAKING, TR_YIELD_TO
from rtsim.inputs.units import format_ns

__all__ = ["story"]

PARTS = 4
EVENTS = 14

PHRASES = {
    "hardware": "the hardware stalled",
    "irq": "interrupts ran",
    "softirq": "softirqs ran",
    "idle_exit": "the CPU left its idle state",
    "preempt_off": "a kernel section could not be preempted",
    "switch": "the CPU switched tasks",
    "timer_slack": "the timer's slack passed",
    "vm_exit": "the vCPU left the guest",
    "vm_entry": "the vCPU entered the guest",
    "emulator": "the vCPU waited for QEMU and its lock",
    "memory": "the host looked for pages of the guest",
    "smt": "another thread of the core slowed it down",
    "spinlock": "a spinlock was waited for",
    "throttled": "the CPU idled, as the task had used up its run time",
}

Record = tuple[int, int, int, int, int]


def story(
    release_ns: int,
    latency_ns: int,
    causes_ns: Mapping[str, int],
    window: Iterator[Record],
    concerned: Collection[int],
    names: Names,
) -> str:
    """Return one sample as text: its largest causes first, then what happened around it on the CPUs `concerned`."""
    largest = sorted(causes_ns.items(), key=lambda item: -item[1])
    parts = [f"{_phrase(cause)} {format_ns(part)}" for cause, part in largest[:PARTS]]
    rest = sum(part for _, part in largest[PARTS:])
    if rest:
        parts.append(f"the rest {format_ns(rest)}")
    told = [
        _event(record, release_ns, names)
        for record in window
        if record[0] >= release_ns - latency_ns and (record[2] in concerned or record[2] == NONE)
    ]
    relevant = [event for event in told if event][-EVENTS:]
    happened = f" [{'; '.join(relevant)}]" if relevant else ""
    return f"{format_ns(latency_ns)}: {', '.join(parts)}{happened}"


def _phrase(cause: str) -> str:
    if cause.startswith("thread:"):
        return f"{cause.removeprefix('thread:')} ran"
    if cause.startswith("guest/"):
        return f"in the guest {PHRASES[cause.removeprefix('guest/')]}"
    return PHRASES[cause]


def _event(record: Record, release_ns: int, names: Names) -> str:
    """Return a trace record in words, with its time after the release; nothing for those that tell little."""
    time, kind, cpu, task, value = record
    where = names.cpus[cpu] if 0 <= cpu < len(names.cpus) else "all CPUs"
    when = f"{(time - release_ns) / 1000:+.1f} us"
    if kind == TR_SWITCH:
        return f"{when} {where} switches to {names.tasks[task] if task >= 0 else 'idle'}"
    if kind == TR_WAKING:
        return f"{when} {names.tasks[task]} wakes on {where}"
    if kind == TR_NOISE:
        return f"{when} {names.sources[task]} strikes {where} for {format_ns(value)}"
    if kind == TR_LOCK_WAIT:
        return f"{when} {names.tasks[task]} waits for the lock that {names.tasks[value]} holds"
    if kind == TR_YIELD_TO:
        return f"{when} {names.tasks[task]} yields to {names.tasks[value]}"
    return ""
