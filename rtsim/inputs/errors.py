"""The errors people see: one line that names the file, the place in it and what was expected."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["InputError", "RtsimError", "at", "shown"]


class RtsimError(Exception):
    """Base of every error rtsim raises on purpose; its text is one line, fit to be shown as it is.

    ``exit_status`` is what the command line ends with: 2 for bad input, 3 for what Nova refuses.
    """

    exit_status = 2


class InputError(RtsimError):
    """Something handed in cannot be used.

    Parameters
    ----------
    source
        The file (or ``flavor``, ``--vary``, ... where there is no file).
    place
        Where in it: ``line 12``, ``guests[0].flavor.vcpus``, ...; empty where the whole file is meant.
    expected
        What was expected there, and what was found.
    """

    def __init__(self, source: str, place: str, expected: str) -> None:
        self.source = source
        self.place = place
        self.expected = expected
        super().__init__(": ".join(part for part in (source, place, expected) if part).replace("\n", " "))


@contextmanager
def at(source: str, place: str = "") -> Iterator[None]:
    """Turn a ``ValueError("expected ..., found ...")`` raised inside into an `InputError` with its file and place."""
    try:
        yield
    except ValueError as error:
        raise InputError(source, place, str(error)) from None


def shown(value: object) -> str:
    """Return `value` as an error line quotes it: short, on one line."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # integers of thousands of digits, objects nested without end
        text = f"a very large {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."
