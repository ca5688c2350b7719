"""The keys of one mapping of an input file, from the model that checks it."""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import re
import textwrap
import types
import typing
from typing import Any

from cells import Rows
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from rtsim.inputs.units import format_ns
from rtsim.profile.model import Factor


def model_keys(name: str) -> Rows:
    """Return the rows of the table of the model MODULE:CLASS, the head first."""
    module, _, path = name.partition(":")
    model: type[BaseModel] = getattr(importlib.import_module(module), path)
    meanings = meanings_of(model)
    found: Rows = [("key", "value", "default", "what")]
    for key, field in model.model_fields.items():
        if field.exclude:
            continue
        found.append((f"`{field.alias or key}`", _type(field), _default(field), meanings.get(key, "")))
    return found


def meanings_of(model: type[BaseModel]) -> dict[str, str]:
    """Return what is written below each field in the model and the models it comes from, as Markdown."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if not issubclass(base, BaseModel) or base is BaseModel:
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(definition, ast.ClassDef)
        for field, text in itertools.pairwise(definition.body):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
                found[field.target.id] = inspect.cleandoc(ast.literal_eval(text.value)).replace("``", "`")
    return found


_SHOWN = {int: "integer", float: "number", str: "text", bool: "true or false", dict: "mapping", list: "list"}


def _type(field: FieldInfo) -> str:
    """Return in words what a key takes."""
    names = [type(each).__name__ for each in field.metadata]
    text = _words(field.annotation, field.metadata)
    bounds = {name: getattr(each, name.lower()) for each in field.metadata for name in ("Ge", "Gt", "Le", "Lt")
              if type(each).__name__ == name}  # fmt: skip
    signs = {"Ge": "≥", "Gt": ">", "Le": "≤", "Lt": "<"}
    limits = ", ".join(f"{signs[name]} {_bound(value)}" for name, value in bounds.items())
    return f"{text}, {limits}" if limits and names else text


def _bound(value: Any) -> str:
    exponent = value.bit_length() - 1 if isinstance(value, int) and value > 10**9 else 0
    return f"2^{exponent}" if exponent and value == 2**exponent else str(value)


def _words(annotation: Any, metadata: typing.Iterable[Any] = ()) -> str:
    functions = {getattr(getattr(each, "func", None), "__name__", "") for each in metadata}
    for name, words in (("_duration", "duration"), ("_cpulist", "CPU list"), ("_cpus", "CPUs"), ("_rate", "rate")):
        if name in functions:
            return words
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _words(arguments[0], arguments[1:])
    if origin is typing.Literal:
        return " / ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_words(each) for each in arguments if each is not type(None))
    if origin in (tuple, list):
        inner = [each for each in arguments if each is not Ellipsis]
        return f"list of {_words(inner[0])}" if inner else "list"
    if origin is dict:
        return f"mapping of names to {_words(arguments[1])}" if arguments[1] is not Any else "mapping"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"mapping ({re.sub(r'(Model|Entry)$', '', annotation.__name__.lstrip('_'))})"
    return _SHOWN.get(annotation, "any")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value in ({}, (), ""):
        return ""
    if isinstance(value, BaseModel):
        return _default_entry(value)
    if _type(field).startswith("duration"):
        return _duration(value)
    return f"`{value}`"


def _default_entry(value: BaseModel) -> str:
    """Return the default of a key that takes a mapping: its number, or that of each of its keys."""
    if isinstance(value, Factor):
        return f"`{value.value:g}`"
    constant = getattr(value, "constant", None)
    if constant is not None:
        return _duration(constant)
    entries = {field.alias or key: getattr(value, key) for key, field in type(value).model_fields.items()}
    if not all(isinstance(entry, BaseModel) for entry in entries.values()):
        return "its defaults"
    return ", ".join(f"{key} {_default_entry(entry)}" for key, entry in entries.items())


def _duration(value_ns: int) -> str:
    return f"`{format_ns(value_ns)}`"
