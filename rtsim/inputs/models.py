"""Input files as pydantic models: strict and frozen; the first error becomes one line people can act on."""

from __future__ import annotations

import difflib
import types
import typing
from typing import Any, TypeVar

import annotated_types
from pydantic import BaseModel, ConfigDict, ValidationError

from rtsim.inputs.errors import InputError, shown
from rtsim.inputs.yaml import Document, Path, place_name

__all__ = ["StrictModel", "validate"]

M = TypeVar("M", bound=BaseModel)

_KINDS = {
    "int": "an integer",
    "float": "a number",
    "finite": "a finite number",
    "string": "text",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "dict": "a mapping",
    "mapping": "a mapping",
    "model": "a mapping",
    "none": "nothing",
    "greater": "a number",
    "less": "a number",
}


_SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


class StrictModel(BaseModel):
    """Base of every input model: unknown keys are errors, instances do not change.

    Validators raise ``ValueError("expected ..., found ...")``; `validate` adds file, line and place.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @classmethod
    def known_keys(cls) -> list[str]:
        """Return the keys that may be written."""
        return [field.alias or name for name, field in cls.model_fields.items()]


def validate(
    model: type[M], data: Any, source: str, lines: Document | None = None, context: dict[str, Any] | None = None
) -> M:
    """Return `data` as an instance of `model`.

    Parameters
    ----------
    source
        Name of the file (or of the argument) in errors.
    lines
        The document `data` comes from, so that errors name the line.
    context
        What validators get as ``info.context``.

    Raises
    ------
    InputError
        ``scenario.yaml: line 12: guests[0].flavor.vcpus: expected an integer >= 1, found 'x'``.
    """
    try:
        return model.model_validate(data, context=context)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        missing = first["type"] == "missing"
        path = _data_path(first["loc"], data, keep_last=missing)
        line = lines.line(path) if lines is not None else None
        places = [f"line {line}" if line else "", place_name(path)]
        expected = _expected(first, model, path)
        raise InputError(source, ": ".join(place for place in places if place), expected) from None
    except RecursionError:
        raise InputError(source, "", "expected fewer levels") from None


def _data_path(location: tuple[Any, ...], data: Any, *, keep_last: bool) -> Path:
    """Drop what pydantic adds to a location (names of validators and union members) and the data does not have."""
    path: list[str | int] = []
    for part in location:
        in_list = isinstance(data, list | tuple) and isinstance(part, int) and part < len(data)
        if in_list or (isinstance(data, dict) and part in data):
            data = data[part]
            path.append(part)
    if keep_last:
        path.append(location[-1])
    return tuple(path)


def _expected(error: Any, model: type[BaseModel], path: Path) -> str:
    kind: str = error["type"]
    if kind == "missing":
        return "expected this key, found none"
    if kind == "extra_forbidden":
        return _unknown_key(model, path)
    found = f", found {shown(error['input'])}"
    context = error.get("ctx", {})
    if kind in ("value_error", "assertion_error"):
        text = str(context.get("error", ""))
        return text if text.startswith("expected") else f"expected another value: {text}"
    if kind in ("literal_error", "enum"):
        return f"expected {context['expected']}{found}"
    word = _KINDS.get(kind.split("_", 1)[0])
    if word is None:
        return f"expected another value: {error['msg']}{found}"
    limits = "".join(f" {sign} {_plain(context[name])}" for name, sign in _SIGNS.items() if name in context)
    return f"expected {word}{_bounds(model, path) or limits}{found}"


def _unknown_key(model: type[BaseModel], path: Path) -> str:
    owner = _model_at(model, path[:-1])
    known = owner.known_keys() if owner and issubclass(owner, StrictModel) else []
    near = difflib.get_close_matches(str(path[-1]), known, n=1)
    if near:
        return f"expected a known key, found '{path[-1]}': did you mean '{near[0]}'?"
    return f"expected {'one of ' + ', '.join(known) if known else 'no such key'}, found '{path[-1]}'"


def _bounds(model: type[BaseModel], path: Path) -> str:
    """Return the field's limits as `` >= 1 and <= 99``, or nothing."""
    if not path or not isinstance(path[-1], str):
        return ""
    owner = _model_at(model, path[:-1])
    field = _field(owner, path[-1]) if owner else None
    texts = []
    for item in field.metadata if field else ():
        for name, sign in _SIGNS.items():
            if isinstance(item, getattr(annotated_types, name.capitalize())):
                texts.append(f"{sign} {_plain(getattr(item, name))}")
    return f" {' and '.join(texts)}" if texts else ""


def _plain(limit: Any) -> Any:
    return int(limit) if isinstance(limit, float) and limit.is_integer() else limit


def _field(owner: type[BaseModel], key: str) -> Any:
    return next((field for name, field in owner.model_fields.items() if key in (name, field.alias)), None)


def _model_at(model: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """Return the model that the value at `path` is read as, where the annotations tell."""
    current: Any = model
    for part in path:
        owner = _as_model(current)
        if owner is not None and isinstance(part, str):
            field = _field(owner, part)
            current = field.annotation if field else None
        else:
            current = _items(current)
        if current is None:
            return None
    return _as_model(current)


def _as_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated):
        return next((m for a in typing.get_args(annotation) if (m := _as_model(a)) is not None), None)
    return None


def _items(annotation: Any) -> Any:
    """Return what a list or mapping annotation holds."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType, typing.Annotated):
        return next((found for a in arguments if (found := _items(a)) is not None), None)
    if origin in (list, tuple, set, frozenset):
        return arguments[0]
    return arguments[1] if origin is dict else None
