"""How compiled code sees the state: as one pointer.

Passed by value, a tuple of arrays costs a hundred words a call. So a `State` is a Numba type of its own, one machine
word: the address of a directory that holds each array's address and shape. ``s.cpus`` in a handler stands for that
array, whose elements are found by the directory. Interpreted handlers use the very same object's attributes.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import from_dtype, types
from numba.core import cgutils
from numba.extending import (
    NativeValue,
    models,
    overload_attribute,
    register_model,
    typeof_impl,
    unbox,
)

from rtsim.engine.rows_type import rows_of
from rtsim.engine.state import ARRAYS, State

__all__ = ["StateType", "declare_state"]


class StateType(types.Type):
    """The Numba type of a `State`."""

    def __init__(self) -> None:
        super().__init__(name="rtsim.State")


STATE_TYPE = StateType()


@typeof_impl.register(State)
def _typeof_state(value: State, context: Any) -> StateType:
    return STATE_TYPE


@register_model(StateType)
class _StateModel(models.PrimitiveModel):
    def __init__(self, manager: Any, frontend_type: StateType) -> None:
        super().__init__(manager, frontend_type, ir.IntType(64))


@unbox(StateType)
def _unbox_state(typ: StateType, value: Any, c: Any) -> NativeValue:
    number = c.pyapi.object_getattr_string(value, "address")
    address = c.pyapi.number_as_ssize_t(number)
    c.pyapi.decref(number)
    return NativeValue(address, is_error=cgutils.is_not_null(c.builder, c.pyapi.err_occurred()))


def declare_state() -> None:
    """Tell Numba the attributes of a `State`; to be called once, before handlers are compiled."""
    for position, (name, (dtype, dimensions)) in enumerate(ARRAYS.items()):
        _declare_attribute(name, rows_of(position, from_dtype(dtype), dimensions))


def _declare_attribute(name: str, rows: Any) -> None:
    """Let ``s.NAME`` in compiled code be what `rows` gives."""
    overload_attribute(StateType, name)(lambda s: lambda s: rows(s))
