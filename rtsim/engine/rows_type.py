"""How compiled code sees one array of the state: rows or numbers by place, each index from 0 on.

Numba counts a negative index from the end, and tests each index for it; the engine has none. A view of its own leaves
that out. Interpreted, `rtsim.engine.state.Rows` refuses a negative index, so that none goes unnoticed.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.extending import intrinsic, lower_builtin, models, register_model

from rtsim.engine.state import WORDS_PER_ARRAY

__all__ = ["RowsType", "rows_of"]

WORD = ir.IntType(64)


class RowsType(types.Type):
    """The Numba type of the array at `position` of a state's directory: of records, or of int64 in some dimensions."""

    def __init__(self, position: int, element: types.Type, dimensions: int) -> None:
        self.position = position
        self.dimensions = dimensions
        self.element = element
        self.index = types.int64 if dimensions == 1 else types.UniTuple(types.int64, dimensions)
        super().__init__(name=f"rtsim.Rows({position}, {element}, {dimensions})")


@register_model(RowsType)
class _RowsModel(models.PrimitiveModel):
    """One word: the address of the directory."""

    def __init__(self, manager: Any, frontend_type: RowsType) -> None:
        super().__init__(manager, frontend_type, WORD)


def rows_of(position: int, element: types.Type, dimensions: int) -> Any:
    """Return the function of compiled code that gives the array at `position` of a state."""

    @intrinsic
    def rows(typing_context: Any, state: Any) -> Any:
        return RowsType(position, element, dimensions)(state), lambda context, builder, signature, args: args[0]

    return rows


def _word(builder: Any, directory: Any, rows: RowsType, which: int) -> Any:
    """Emit the reading of the array's address (0) or one of its lengths (from 1 on)."""
    place = WORD(rows.position * WORDS_PER_ARRAY + which)
    word = builder.load(builder.gep(builder.inttoptr(directory, WORD.as_pointer()), [place]))
    # the directory never changes: without this, LLVM reads it anew after every store
    word.set_metadata("invariant.load", builder.module.add_metadata([]))
    return word


def _place(context: Any, builder: Any, rows: RowsType, directory: Any, index: Any) -> Any:
    """Emit the pointer to an element."""
    several = rows.dimensions > 1
    indices = [builder.extract_value(index, n) for n in range(rows.dimensions)] if several else [index]
    flat = indices[0]
    for dimension, following in enumerate(indices[1:], 1):
        flat = builder.add(builder.mul(flat, _word(builder, directory, rows, dimension + 1)), following)
    kind = context.get_value_type(rows.element)
    first = builder.inttoptr(_word(builder, directory, rows, 0), kind if _is_record(rows) else kind.as_pointer())
    return builder.gep(first, [flat], inbounds=True)


def _is_record(rows: RowsType) -> bool:
    return isinstance(rows.element, types.Record)


def _fits(rows: Any, index: Any) -> bool:
    """Return whether `index` names an element of `rows`."""
    if not isinstance(rows, RowsType):
        return False
    given = index.types if isinstance(index, types.BaseTuple) else (index,)
    return len(given) == rows.dimensions and all(isinstance(each, types.Integer) for each in given)


@infer_global(operator.getitem)
class _Get(AbstractTemplate):
    def generic(self, arguments: Any, keywords: Any) -> Any:
        rows, index = arguments
        return rows.element(rows, rows.index) if _fits(rows, index) else None


@lower_builtin(operator.getitem, RowsType, types.Any)
def _get(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    rows = signature.args[0]
    place = _place(context, builder, rows, *arguments)
    return place if _is_record(rows) else builder.load(place)


@infer_global(operator.setitem)
class _Set(AbstractTemplate):
    def generic(self, arguments: Any, keywords: Any) -> Any:
        rows, index, _ = arguments
        if _fits(rows, index) and not _is_record(rows):
            return types.none(rows, rows.index, rows.element)
        return None


@lower_builtin(operator.setitem, RowsType, types.Any, types.Any)
def _set(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    builder.store(arguments[2], _place(context, builder, signature.args[0], *arguments[:2]))
    return context.get_dummy_value()


@infer_global(len)
class _Length(AbstractTemplate):
    def generic(self, arguments: Any, keywords: Any) -> Any:
        return types.int64(*arguments) if isinstance(arguments[0], RowsType) else None


@lower_builtin(len, RowsType)
def _length(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return _word(builder, arguments[0], signature.args[0], 1)
