"""YAML from strangers: plain data only, each key once, no alias bombs, bounded depth; every value knows its line.

Scalars follow the YAML 1.2 core schema, so ``yes``, ``no``, ``on`` and ``1:30`` stay text (as flavors need them) and
only ``true`` and ``false`` are booleans. Keys are always text, as in JSON. The tree is built from the parser's events
without recursion, so depth cannot exhaust a stack.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from rtsim.inputs.errors import InputError, shown
from rtsim.inputs.files import read_text

__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_NODES", "Document", "Path", "load_yaml", "parse_yaml", "place_name"]

MAX_DEPTH = 100
MAX_NODES = 200_000
"""Nodes of a document, those repeated by aliases included."""
MAX_BYTES = 4 * 1024 * 1024

Path = tuple[str | int, ...]
"""Where a value stands: keys and list positions from the top."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]{1,40}|0o[0-7]{1,40}|0x[0-9a-fA-F]{1,40}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]{1,40}|[0-9]{1,40}(\.[0-9]{0,40})?)([eE][-+]?[0-9]{1,3})?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_TEXT_TAGS = (None, "!", "tag:yaml.org,2002:str")


@dataclass(frozen=True)
class Document:
    """A document's data, and the line each value stands on."""

    data: Any
    lines: dict[Path, int] = field(repr=False)
    source: str = ""

    def line(self, path: Iterable[str | int]) -> int | None:
        """Return the line of the value at `path`, or of the nearest value around it."""
        where = tuple(path)
        while where and where not in self.lines:
            where = where[:-1]
        return self.lines.get(where)


def place_name(path: Iterable[str | int]) -> str:
    """Return `path` as errors show it.

    Examples
    --------
    >>> place_name(("guests", 0, "flavor", "vcpus"))
    'guests[0].flavor.vcpus'
    """
    name = ""
    for part in path:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else part
    return name


def load_yaml(path: str | os.PathLike[str]) -> Document:
    """Return the file's only document.

    Raises
    ------
    InputError
        As `read_text` and `parse_yaml`.
    """
    return parse_yaml(read_text(path, limit=MAX_BYTES), os.fspath(path))


def parse_yaml(text: str, source: str) -> Document:
    """Return the only document of `text`; `source` is its name in errors.

    Raises
    ------
    InputError
        The YAML is malformed, holds more than one document, a key twice, a tag other than the standard ones, a number
        that is not finite, more than `MAX_DEPTH` levels, or more than `MAX_NODES` nodes with aliases written out.
    """
    builder = _Builder(source)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = error.problem or error.context or ""
        if "nesting depth" in problem:  # newer parsers have a limit of their own, and meet it first
            raise InputError(source, place, f"expected at most {MAX_DEPTH} levels") from None
        raise InputError(source, place, f"expected YAML: {problem}") from None
    except (yaml.YAMLError, ValueError) as error:  # characters YAML does not allow
        raise InputError(source, "", f"expected YAML: {str(error).splitlines()[0]}") from None
    return Document(builder.root, builder.lines, source)


@dataclass
class _Open:
    """A list or mapping still being read."""

    value: Any
    path: Path
    anchor: str | None
    nodes_before: int
    key: str | None = None


class _Builder:
    def __init__(self, source: str) -> None:
        self.source = source
        self.root: Any = None
        self.lines: dict[Path, int] = {}
        self.stack: list[_Open] = []
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.nodes = 0
        self.documents = 0

    def take(self, event: Any) -> None:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                self.refuse(line, "expected one document")
        elif isinstance(event, yaml.ScalarEvent):
            self.scalar(event, line)
        elif isinstance(event, yaml.AliasEvent):
            self.alias(event.anchor, line)
        elif isinstance(event, yaml.CollectionStartEvent):
            self.open(event, line)
        elif isinstance(event, yaml.CollectionEndEvent):
            done = self.stack.pop()
            if done.anchor:
                self.anchors[done.anchor] = (done.value, self.nodes - done.nodes_before)

    def scalar(self, event: Any, line: int) -> None:
        if self.wants_key():
            self.count(1, line)
            self.keep_key(event.value, line)
            return
        if event.tag not in _TEXT_TAGS:
            self.refuse(line, f"expected plain YAML, found the tag {shown(event.tag)}")
        value = _plain(event.value) if not event.style and event.tag is None else event.value
        if isinstance(value, float) and not math.isfinite(value):
            self.refuse(line, f"expected finite numbers, found {shown(event.value)}")
        self.count(1, line)
        if event.anchor:
            self.anchors[event.anchor] = (value, 1)
        self.put(value, line)

    def alias(self, anchor: str | None, line: int) -> None:
        if anchor is None or anchor not in self.anchors:
            self.refuse(line, f"expected an anchor that is complete, found *{anchor}")
        if self.wants_key():
            self.refuse(line, "expected a text as key, found an alias")
        value, nodes = self.anchors[anchor]
        self.count(nodes, line)
        self.put(value, line)

    def open(self, event: Any, line: int) -> None:
        if self.wants_key():
            self.refuse(line, "expected a text as key")
        mapping = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!", "tag:yaml.org,2002:map" if mapping else "tag:yaml.org,2002:seq"):
            self.refuse(line, f"expected plain YAML, found the tag {shown(event.tag)}")
        if len(self.stack) >= MAX_DEPTH:
            self.refuse(line, f"expected at most {MAX_DEPTH} levels")
        before = self.nodes
        self.count(1, line)
        value: Any = {} if mapping else []
        path = self.put(value, line)
        if event.anchor:
            self.anchors.pop(event.anchor, None)
        self.stack.append(_Open(value, path, event.anchor, before))

    def wants_key(self) -> bool:
        return bool(self.stack) and isinstance(self.stack[-1].value, dict) and self.stack[-1].key is None

    def keep_key(self, key: str, line: int) -> None:
        top = self.stack[-1]
        if key in top.value:
            self.refuse(line, f"{place_name((*top.path, key))}: expected each key once, found it twice")
        top.key = key
        self.lines[(*top.path, key)] = line

    def put(self, value: Any, line: int) -> Path:
        if not self.stack:
            self.root = value
            self.lines[()] = line
            return ()
        top = self.stack[-1]
        if isinstance(top.value, list):
            path: Path = (*top.path, len(top.value))
            top.value.append(value)
            self.lines[path] = line
        else:
            assert top.key is not None
            path = (*top.path, top.key)
            top.value[top.key] = value
            top.key = None
        return path

    def count(self, nodes: int, line: int) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            self.refuse(line, f"expected at most {MAX_NODES} values, aliases written out")

    def refuse(self, line: int, expected: str) -> NoReturn:
        raise InputError(self.source, f"line {line}", expected)


def _plain(text: str) -> Any:
    """Return an unquoted scalar by the YAML 1.2 core schema."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        return int(text, 0) if text.startswith(("0o", "0x")) else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _NOT_FINITE.fullmatch(text):
        return math.nan
    return text
