"""Text that tools wrote, line by line: bounded, without escape sequences, and no line is taken that is not whole."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from rtsim.inputs.errors import InputError

__all__ = ["LONGEST_LINE", "first_text", "numbered_lines", "opened_text"]

LONGEST_LINE = 64 * 1024
"""Characters of a line that are looked at; only cyclictest's lists of overflow cycles are longer."""

_ESCAPE = re.compile(r"\x1b(?:\[[0-9;]*[A-Za-z]|c)")


@contextmanager
def opened_text(path: str | os.PathLike[str], what: str) -> Iterator[IO[str]]:
    """Open a text file; what goes wrong with it inside becomes an `InputError` that expects `what`."""
    source = os.fspath(path)
    try:
        with open(path, encoding="utf-8", errors="strict") as stream:
            yield stream
    except OSError as error:
        raise InputError(source, "", f"expected a readable file: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(source, "", f"expected {what}, found bytes that are no UTF-8 text") from None


def first_text(stream: IO[str], length: int = 4096) -> str:
    """Return how the file begins, and go back there."""
    start = stream.read(length)
    stream.seek(0)
    return _ESCAPE.sub("", start)


def numbered_lines(
    stream: IO[str], source: str, *, endless: re.Pattern[str] | None = None
) -> Iterator[tuple[int, str]]:
    """Yield (number from 1, line without escape sequences and outer blanks).

    Parameters
    ----------
    endless
        Lines that match may be longer than `LONGEST_LINE`; their rest is passed over.

    Raises
    ------
    InputError
        Another line is longer, or holds a zero byte.
    """
    number = 0
    while line := stream.readline(LONGEST_LINE):
        number += 1
        cut = line
        while not cut.endswith("\n") and (cut := stream.readline(LONGEST_LINE)):
            if endless is None or not endless.match(line):
                raise InputError(source, f"line {number}", f"expected lines of at most {LONGEST_LINE} characters")
        if "\0" in line:
            raise InputError(source, f"line {number}", "expected text, found a zero byte")
        yield number, _ESCAPE.sub("", line).strip()
