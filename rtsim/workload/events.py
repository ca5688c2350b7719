"""rt-app's events: what a phase of a task does, in order. A key is an event's name and anything behind it: run, run0.

Durations are in us. Names of mutexes, conditions, barriers and shared timers are the workload's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, Strict, TypeAdapter, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from rtsim.inputs.models import StrictModel

__all__ = [
    "EVENTS",
    "ConditionModel",
    "Event",
    "TimerModel",
    "check_spinlocks",
    "event_named",
    "split_events",
    "takes_time",
]

LONGEST_US = 2**31 - 1
"""rt-app reads its numbers as C integers."""


class TimerModel(StrictModel):
    """rt-app's timer. Each thread has its own of a name that begins with ``unique``; other names are shared."""

    ref: str = "unique"
    """Its name."""
    period: int = Field(gt=0, le=LONGEST_US)
    """In us."""
    mode: Literal["relative", "absolute"] = "relative"
    """After an overrun: ``absolute`` keeps the grid of releases, ``relative`` starts it anew."""


class ConditionModel(StrictModel):
    """A condition variable and the mutex that goes with it."""

    ref: str
    mutex: str


class Event(NamedTuple):
    """One event: which (a key of `EVENTS`), and its value."""

    kind: str
    value: Any


Duration = Annotated[int, Strict(), Field(ge=0, le=LONGEST_US)]
Run = Annotated[int, Strict(), Field(ge=-1, le=LONGEST_US)]
Name = Annotated[str, Field(min_length=1, max_length=100)]

EVENTS: dict[str, Any] = {
    "runtime": Duration,
    "run": Run,
    "sleep": Duration,
    "timer": TimerModel,
    "lock": Name,
    "unlock": Name,
    "wait": ConditionModel,
    "signal": Name,
    "broad": Name,
    "sync": ConditionModel,
    "sig_and_wait": ConditionModel,
    "barrier": Name,
    "suspend": str,
    "resume": Name,
    "yield": str,
    "spin_lock": Name,
    "spin_unlock": Name,
}
"""What each event's value is; ``run: -1`` never ends. Spinlocks are rtsim's own, rt-app knows none."""

NOT_MODELLED = {
    "mem": "expected run instead of mem, which is not modelled: what memory costs depends on caches",
    "iorun": "expected run and sleep instead of iorun, which is not modelled: there are no devices here",
    "fork": "expected every task in `tasks` instead of fork, which is not modelled; `delay` lets one start later",
}


def _reader(kind: str) -> Callable[[Any], Any]:
    return TypeAdapter(EVENTS[kind]).validate_python


_READERS = {kind: _reader(kind) for kind in EVENTS}


def event_named(key: str) -> str | None:
    """Return the kind of event that a key stands for, as rt-app tells them apart: by how it begins."""
    known = (*EVENTS, *NOT_MODELLED)
    return next((kind for kind in sorted(known, key=len, reverse=True) if key.startswith(kind)), None)


def split_events(data: Mapping[str, Any], fields: set[str]) -> tuple[dict[str, Any], tuple[Event, ...]]:
    """Return what of `data` is no event, and its events in order; keys in `fields` are none.

    Raises
    ------
    pydantic.ValidationError
        An event has a wrong value, or is not modelled; its location begins with the event's key.
    """
    rest, events = {}, []
    for key, value in data.items():
        kind = None if key in fields else event_named(key)
        if kind is None:
            rest[key] = value
        else:
            events.append(Event(kind, _read(kind, key, value)))
    return rest, tuple(events)


def _read(kind: str, key: str, value: Any) -> Any:
    try:
        if kind in NOT_MODELLED:
            raise PydanticCustomError("value_error", "{error}", {"error": NOT_MODELLED[kind]})
        return _READERS[kind](value)
    except PydanticCustomError as error:
        raise _located([InitErrorDetails(type=error, loc=(key,), input=value)]) from None
    except ValidationError as error:
        raise _located(
            [
                InitErrorDetails(
                    type=each["type"], loc=(key, *each["loc"]), input=each["input"], ctx=each.get("ctx", {})
                )
                for each in error.errors(include_url=False)
            ]
        ) from None


def _located(errors: list[InitErrorDetails]) -> ValidationError:
    return ValidationError.from_exception_data("event", errors)


def check_spinlocks(events: Sequence[Event]) -> None:
    """Raise ValueError unless each spinlock taken is freed in the same phase, after computing and nothing else."""
    held = None
    for kind, value in events:
        if kind == "spin_unlock":
            if held != value:
                raise ValueError(f"expected spin_unlock of the spinlock that is held, {held!r}, found {value!r}")
            held = None
        elif held is not None and (kind not in ("run", "runtime") or value < 0):
            raise ValueError(f"expected run, runtime and spin_unlock after spin_lock, found {kind}: {value!r}")
        elif kind == "spin_lock":
            held = value
    if held is not None:
        raise ValueError(f"expected spin_unlock of {held!r} in the same phase, it is missing")


def takes_time(event: Event) -> bool:
    """Return whether time passes in an event, so that a loop of it comes to an end."""
    if event.kind in ("run", "runtime"):
        return bool(event.value != 0)
    return event.kind in ("sleep", "timer", "wait", "sync", "sig_and_wait", "suspend", "barrier")
