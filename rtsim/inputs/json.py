"""JSON from strangers: no duplicate keys, no NaN or infinity, bounded depth."""

from __future__ import annotations

import json
import math
import os
import re
from typing import Any

from rtsim.inputs.errors import InputError, shown
from rtsim.inputs.files import MAX_INPUT_BYTES, read_text
from rtsim.inputs.yaml import MAX_BYTES, Document, parse_yaml

__all__ = ["MAX_DEPTH", "load_json", "load_json_document", "parse_json", "parse_json_document"]

MAX_DEPTH = 100

_LENIENT = re.compile(r'("(?:[^"\\\n]|\\.)*")|/\*.*?\*/|//[^\n]*|,(?=\s*[}\]])|\t', re.DOTALL)
"""Strings, and what may stand between them: comments, commas before a closing bracket, tabs."""


def load_json(path: str | os.PathLike[str], *, limit: int = MAX_INPUT_BYTES) -> Any:
    """Return the file's JSON value.

    Raises
    ------
    InputError
        As `read_text` and `parse_json`.
    """
    return parse_json(read_text(path, limit=limit), os.fspath(path))


def parse_json(text: str, source: str) -> Any:
    """Return the JSON value of `text`; `source` is its name in errors.

    Raises
    ------
    InputError
        The JSON is malformed, has an object with the same key twice, a number that is not finite, or more than
        `MAX_DEPTH` levels.
    """
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_float, parse_int=_int
        )
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise InputError(source, place, f"expected JSON: {error.msg}") from None
    except ValueError as error:
        raise InputError(source, "", str(error)) from None
    except RecursionError:
        raise InputError(source, "", f"expected at most {MAX_DEPTH} levels") from None
    _check_depth(value, source)
    return value


def load_json_document(path: str | os.PathLike[str]) -> Document:
    """Return the file's JSON value and the line of each part; raises as `read_text` and `parse_json` do."""
    return parse_json_document(read_text(path, limit=MAX_BYTES), os.fspath(path))


def parse_json_document(text: str, source: str) -> Document:
    """Return the JSON value of `text` and the line of each part.

    Comments, and commas before a closing bracket, are ignored, as json-c does.

    Raises
    ------
    InputError
        As `parse_json`.
    """
    strict = text
    for _ in range(2):  # the second time: commas that a comment stood behind
        strict = _LENIENT.sub(lambda match: match[1] or re.sub(r"[^\n]", " ", match[0]), strict)
    try:
        data = parse_json(strict, source)
    except InputError as error:
        if not error.place:
            parse_yaml(strict, source)  # knows the line, of a key that stands twice for instance
        raise
    return Document(data, parse_yaml(strict, source).lines, source)  # JSON is YAML


def _check_depth(value: Any, source: str) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for item in level for child in _children(item)]
        if not level:
            return
    raise InputError(source, "", f"expected at most {MAX_DEPTH} levels")


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"expected each key once in an object, found {shown(twice)} twice")
    return result


def _refuse_constant(name: str) -> float:
    raise ValueError(f"expected finite numbers, found {name}")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"expected finite numbers, found {shown(text)}")
    return value


def _int(text: str) -> int:
    if len(text) > 40:
        raise ValueError(f"expected numbers of at most 40 digits, found {shown(text)}")
    return int(text)
