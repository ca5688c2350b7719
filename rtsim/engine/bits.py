"""Counting bits: one machine instruction in compiled code, Python's own where interpreted."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from rtsim.engine.jit import INTERPRETED

__all__ = ["leading_zeros"]


def _interpreted(value: Any) -> int:
    return 64 - int(value).bit_length()


def _compiled(typing_context: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


leading_zeros: Any = _interpreted if INTERPRETED else intrinsic(_compiled)
"""Return the number of zero bits above the highest one of 64; 64 for 0."""
