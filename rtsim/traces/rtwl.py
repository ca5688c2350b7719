"""What a recording ran: the tasks of rtwl (a small C program that forks one process a task) and cyclictest.

A task is ``NAME,type=hog|per|burst,pol=other|batch|idle|fifo|rr,prio=N,nice=N,cpus=0-1+3,period=US,work=US,run=US,
sleep=US,slack=NS,cg=/CGROUP,slice=US,delay=US``: a hog (the default) never sleeps, ``per`` wakes every period and
works, ``burst`` runs and then sleeps.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, cast

from rtsim.inputs.cpulist import parse_cpulist
from rtsim.inputs.errors import InputError, at, shown

__all__ = ["CyclictestRun", "RtwlTask", "parse_command"]

Kind = Literal["hog", "per", "burst"]
KINDS = ("hog", "per", "burst")
POLICIES = ("other", "batch", "idle", "fifo", "rr")
NUMBERS = {
    "prio": "priority", "nice": "nice", "period": "period_us", "work": "work_us", "run": "run_us",
    "sleep": "sleep_us", "slack": "slack_ns", "slice": "slice_us", "delay": "delay_us",
}  # fmt: skip


@dataclass(frozen=True)
class RtwlTask:
    """One task; times in us as rtwl takes them, `slack_ns` None where the kernel's default holds."""

    name: str
    kind: Kind = "hog"
    policy: str = "other"
    priority: int = 0
    nice: int = 0
    cpus: tuple[int, ...] = ()
    period_us: int = 0
    work_us: int = 0
    run_us: int = 0
    sleep_us: int = 0
    slack_ns: int | None = None
    cgroup: str = ""
    slice_us: int = 0
    delay_us: int = 0


@dataclass(frozen=True)
class CyclictestRun:
    """One cyclictest thread: ``-p PRIORITY`` or ``--policy NAME``, ``-a CPU``, ``-i INTERVAL``."""

    policy: str
    priority: int | None
    cpu: int | None = None
    interval_us: int = 1000


def parse_command(text: str, source: str) -> tuple[tuple[RtwlTask, ...], CyclictestRun | None]:
    """Return the tasks and the cyclictest of one command line.

    Parameters
    ----------
    text
        ``TASK TASK ...``, ``cyclictest OPTIONS ; TASK ...``, or ``rtwl --dur 10 --ctl 0 TASK ...``.
    source
        Its file, named in errors.

    Raises
    ------
    InputError
        A word is neither a task nor an option that is known.
    """
    cyclictest: CyclictestRun | None = None
    tasks: list[RtwlTask] = []
    for part in text.split(";"):
        words = _words(part, source)
        if words[:1] == ["cyclictest"]:
            cyclictest = _cyclictest(words[1:], source)
        else:
            tasks.extend(_task(word, source) for word in _without_options(words))
    return tuple(tasks), cyclictest


def _words(text: str, source: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise InputError(source, "", f"expected a command line: {error}") from None


def _without_options(words: list[str]) -> list[str]:
    """Drop ``rtwl`` and its options, each of which has a value."""
    words = words[1:] if words[:1] == ["rtwl"] else words
    while words[:1] and words[0].startswith("--"):
        words = words[2:]
    return words


def _task(word: str, source: str) -> RtwlTask:
    name, *settings = word.split(",")
    fields: dict[str, object] = {"name": name}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise InputError(source, f"task {name}", f"expected KEY=VALUE, found {shown(setting)}")
        fields.update(_setting(key, value, f"{source}: task {name}"))
    return RtwlTask(**fields)  # type: ignore[arg-type]


def _setting(key: str, value: str, source: str) -> dict[str, object]:
    if key == "type":
        return {"kind": _one_of(KINDS, value, source, key)}
    if key == "pol":
        return {"policy": _one_of(POLICIES, value, source, key)}
    if key == "cg":
        return {"cgroup": value}
    if key == "cpus":
        with at(source, key):
            return {"cpus": parse_cpulist(value.replace("+", ","))}
    if key in NUMBERS:
        return {NUMBERS[key]: _number(value, source, key)}
    raise InputError(source, "", f"expected one of type, pol, cg, cpus, {', '.join(NUMBERS)}, found {shown(key)}")


def _cyclictest(words: list[str], source: str) -> CyclictestRun:
    options = dict(pairwise(words))
    policy = options.get("--policy", "fifo" if "-p" in options else "other")
    priority = _number(options["-p"], source, "-p") if "-p" in options else None
    cpu = _number(options["-a"], source, "-a") if "-a" in options else None
    interval = _number(options.get("-i", "1000"), source, "-i")
    return CyclictestRun(_one_of(POLICIES, policy, source, "--policy"), priority, cpu, interval)


def _number(text: str, source: str, place: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InputError(source, place, f"expected an integer, found {shown(text)}") from None


def _one_of(known: tuple[str, ...], text: str, source: str, place: str) -> Kind:
    if text not in known:
        raise InputError(source, place, f"expected one of {', '.join(known)}, found {shown(text)}")
    return cast(Kind, text)
