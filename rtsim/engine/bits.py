"""Counting bits: one machine instruction in compiled code, Python's own where interpreted."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from rtsim.engine.jit import INTERPRETED

__all__ = ["leading_zeros", "trailing_zeros"]


def _leading(value: Any) -> int:
    return 64 - int(value).bit_length()


def _trailing(value: Any) -> int:
    return (int(value) & -int(value)).bit_length() - 1 if value else 64


def _compiled_leading(typing_context: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


def _compiled_trailing(typing_context: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


leading_zeros: Any = _leading if INTERPRETED else intrinsic(_compiled_leading)
"""Return the number of zero bits above the highest one of 64; 64 for 0."""

trailing_zeros: Any = _trailing if INTERPRETED else intrinsic(_compiled_trailing)
"""Return the number of zero bits below the lowest one of 64; 64 for 0."""
