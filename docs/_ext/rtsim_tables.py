"""Tables of the manual that are made from the program itself, so that they cannot fall behind it.

``{profile-numbers} NAME`` lists every number of a built-in profile with its source, ``{model-keys} MODULE:CLASS`` the
keys of a model of a file, ``{command-options} NAME`` the options of a command.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import re
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

Rows = list[tuple[str, ...]]


class _Table(SphinxDirective):
    """A table from rows of Markdown cells, the first one its head."""

    required_arguments = 1

    def rows(self, name: str) -> Rows:
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        head, *body = self.rows(self.arguments[0])
        lines = [_line(head), _line(["---"] * len(head)), *map(_line, body)]
        content = nodes.Element()
        self.state.nested_parse(StringList(lines, source=self.get_source_info()[0]), self.content_offset, content)
        return list(content.children)


def _line(cells: typing.Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


class ProfileNumbers(_Table):
    """Every number of a built-in profile and where it is from."""

    def rows(self, name: str) -> Rows:
        text = (resources.files("rtsim.profile") / "builtin" / f"{name}.yaml").read_text(encoding="utf-8")
        data = yaml.safe_load(text)
        found: Rows = [("entry", "what", "source")]
        found += _costs(data["costs"], "costs")
        found += _costs(data.get("workload", {}), "workload")
        for section in ("noise", "guest_noise", "emulator", "vcpu_exits", "memory_faults"):
            for entry in data.get(section, []):
                rest = {key: value for key, value in entry.items() if key not in ("name", "source")}
                found.append((f"`{section}.{entry['name']}`", _written(rest), _text(entry["source"])))
        return found


def _costs(entry: Mapping[str, Any], place: str) -> Iterator[tuple[str, ...]]:
    if not isinstance(entry, Mapping):
        yield f"`{place}`", str(entry), ""
        return
    if "source" in entry:
        rest = {key: value for key, value in entry.items() if key != "source"}
        yield f"`{place}`", _written(rest), _text(entry["source"])
        return
    for key, value in entry.items():
        yield from _costs(value, f"{place}.{key}")


def _written(value: Any) -> str:
    """Return plain data in one line, close to how the file has it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_inner(each)}" for key, each in value.items())
    return str(value)


def _inner(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"({_written(value)})"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _text(source: str) -> str:
    return source.replace("<", "\\<").replace("_", "\\_").replace("*", "\\*")


class ModelKeys(_Table):
    """The keys of one mapping of an input file, from the model that checks it."""

    def rows(self, name: str) -> Rows:
        module, _, path = name.partition(":")
        model: type[BaseModel] = getattr(importlib.import_module(module), path)
        meanings = _meanings(model)
        found: Rows = [("key", "value", "default", "what")]
        for key, field in model.model_fields.items():
            if field.exclude:
                continue
            found.append((f"`{field.alias or key}`", _type(field), _default(field), meanings.get(key, "")))
        return found


def _meanings(model: type[BaseModel]) -> dict[str, str]:
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
    constant = getattr(value, "constant", None)
    if isinstance(value, BaseModel):
        return "its defaults" if constant is None else _duration(constant)
    if _type(field).startswith("duration"):
        return _duration(value)
    return f"`{value}`"


def _duration(value_ns: int) -> str:
    from rtsim.inputs.units import format_ns

    return f"`{format_ns(value_ns)}`"


class CommandOptions(_Table):
    """Arguments and options of one command, from the program's own help."""

    def rows(self, name: str) -> Rows:
        import typer

        from rtsim.cli import app

        command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
        found: Rows = [("option", "what")]
        for parameter in command.params:
            flags = ", ".join(f"`{flag}`" for flag in parameter.opts) if parameter.param_type_name == "option" else (
                f"`{parameter.name.upper()}`"
            )  # fmt: skip
            text = _text(parameter.help or "")
            if parameter.default not in (None, False, ()) and parameter.param_type_name == "option":
                text += f" Default: `{parameter.default}`."
            found.append((flags, text))
        return found


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("profile-numbers", ProfileNumbers)
    app.add_directive("model-keys", ModelKeys)
    app.add_directive("command-options", CommandOptions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
