"""How compiled code sees the state: as one pointer.

Passed by value, a tuple of arrays costs a hundred words a call. So a `State` is a Numba type of its own, one machine
word: the address of a directory that holds each array's address and shape. ``s.cpus`` in a handler reads the directory
and makes a view without a copy. Interpreted handlers use the very same object's attributes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.core import cgutils
from numba.extending import (
    NativeValue,
    intrinsic,
    models,
    overload_attribute,
    register_model,
    typeof_impl,
    unbox,
)

from rtsim.engine.state import ARRAYS, WORDS_PER_ARRAY, State

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


@intrinsic
def _word(typing_context: Any, state: Any, index: Any) -> Any:
    """Read word `index` of the state's directory."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        directory = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        word = builder.load(builder.gep(directory, [arguments[1]]))
        # the directory never changes: without this, LLVM reads it anew after every store
        word.set_metadata("invariant.load", builder.module.add_metadata([]))
        return word

    return types.int64(state, index), generate


@intrinsic
def _pointer(typing_context: Any, address: Any) -> Any:
    """Turn an address into a pointer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), generate


def _declare_attribute(position: int, name: str, dtype: np.dtype[Any], dimensions: int) -> None:
    """Let ``s.NAME`` in compiled code be a view of the array at `position` of the directory."""
    at = position * WORDS_PER_ARRAY

    def getter(s):  # type: ignore[no-untyped-def]  # Numba compares signatures
        if dimensions == 1:
            return lambda s: carray(_pointer(_word(s, at)), (_word(s, at + 1),), dtype)
        if dimensions == 2:
            return lambda s: carray(_pointer(_word(s, at)), (_word(s, at + 1), _word(s, at + 2)), dtype)
        return lambda s: carray(_pointer(_word(s, at)), (_word(s, at + 1), _word(s, at + 2), _word(s, at + 3)), dtype)

    overload_attribute(StateType, name)(getter)


def declare_state() -> None:
    """Tell Numba the attributes of a `State`; to be called once, before handlers are compiled."""
    for position, (name, (dtype, dimensions)) in enumerate(ARRAYS.items()):
        _declare_attribute(position, name, dtype, dimensions)
