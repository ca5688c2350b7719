"""The pages of the manual as what they promise: commands with their output, Python that runs, files, links.

What a fenced block's first word means here:

``console``  lines after ``$`` are commands, the lines that follow are exactly what they print, ``...`` standing for
             anything (``slow`` after it: only the slow tests run it)
``python``   runs without an error; the blocks of a page share their names
``pycon``    a doctest
``yaml``     starting with ``# file: NAME``: a file that later commands of the page read

Anything else (``sh``, ``text``, ``json``) is only shown. ``python -m tests.docs.pages`` writes the output of commands
into the pages, to be looked at and committed.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from rtsim.cli import status

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts)]
COLUMNS = "100"

_FENCE = re.compile(r"^(`{3,})(\S*)[ \t]*(.*)$")
_VARIES = (
    (re.compile(r"(events in) \d+\.\d s"), r"\1 0.4 s"),
    (re.compile(r"^(?:comparing|pulling levers|simulating|compiling).*\n", re.MULTILINE), ""),
)


@dataclass(frozen=True)
class Block:
    """A fenced block: the words after its fence, its text, and the number of its first line (from 0) in the page."""

    kind: str
    words: str
    text: str
    line: int


def name_of(page: Path) -> str:
    """Return the path of a page within the project."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page in order."""
    lines = page.read_text(encoding="utf-8").splitlines()
    fence, start, kind, words = "", 0, "", ""
    for number, line in enumerate(lines):
        match = _FENCE.match(line)
        if match and not fence:
            fence, kind, words, start = match[1], match[2], match[3], number + 1
        elif fence and line.strip() == fence:
            yield Block(kind, words, "\n".join(lines[start:number]) + "\n", start)
            fence = ""


@contextlib.contextmanager
def working_folder() -> Iterator[Path]:
    """Give a folder of its own in which the project's ``data`` can be read, and go there."""
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        Path("data").symlink_to(ROOT / "data")
        yield Path(name)


def write_file(block: Block) -> None:
    """Write the file that a block shows, if it names one."""
    first, _, rest = block.text.partition("\n")
    if first.startswith("# file: "):
        Path(first.removeprefix("# file: ").strip()).write_text(rest, encoding="utf-8")


def session(block: Block) -> str:
    """Run the commands of a console block; return the block as it would be with what they print now."""
    shown, last = [], 0
    for command in _commands(block.text):
        shown.append(f"$ {command}")
        arguments = shlex.split(command.replace("\\\n", " "))
        if arguments == ["echo", "$?"]:
            shown.append(str(last))
            continue
        if arguments[0] != "rtsim":
            raise ValueError(f"expected a command of rtsim, found {command}")
        last, output = _run(arguments[1:])
        shown.append(output)
    return "\n".join(part for part in shown if part) + "\n"


def _commands(text: str) -> Iterator[str]:
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("$ "):
            command = line[2:]
            while command.endswith("\\"):
                command += "\n" + next(lines)
            yield command


def _run(arguments: list[str]) -> tuple[int, str]:
    printed = io.StringIO()
    wide = mock.patch.dict(os.environ, COLUMNS=COLUMNS)
    with wide, contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        ended = status(arguments)
    return ended, comparable(printed.getvalue())


def comparable(text: str) -> str:
    """Return output without what differs from run to run, and without blanks and empty lines at ends."""
    for pattern, replacement in _VARIES:
        text = pattern.sub(replacement, text)
    lines = [line.rstrip() for line in text.splitlines()]
    return "\n".join(line for line, following in zip(lines, [*lines[1:], ""], strict=True) if line or following)


def _refresh(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines(keepends=True)
    changes = []
    with working_folder():
        for block in blocks(page):
            if block.kind == "yaml":
                write_file(block)
            elif block.kind == "console" and "\n...\n" not in block.text:
                changes.append((block, session(block)))
    for block, text in reversed(changes):
        lines[block.line : block.line + len(block.text.splitlines())] = [text]
    page.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    for chosen in [Path(name).resolve() for name in sys.argv[1:]] or PAGES:
        _refresh(chosen)
