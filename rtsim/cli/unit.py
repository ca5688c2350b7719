"""The option that says in which unit a tool printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rtsim.inputs.errors import InputError

if TYPE_CHECKING:
    from rtsim.traces.measured import Unit

__all__ = ["UnitOption", "chosen_unit"]

UnitOption = Annotated[
    str | None,
    typer.Option("--unit", help="Of cyclictest's texts, which do not say: us, or ns (-N).", show_default=False),
]


def chosen_unit(unit: str | None) -> Unit | None:
    """Return the unit that was given; raises InputError if it is none."""
    if unit is None:
        return None
    if unit == "us":
        return "us"
    if unit == "ns":
        return "ns"
    raise InputError("--unit", "", f"expected us or ns, found {unit!r}")
