"""An entry point compiled without machine code for what it calls: the same answers, and Numba as it was before."""

from __future__ import annotations

from typing import Any

import numba
import pytest
from numba.core import codegen

from rtsim.engine.jit import INTERPRETED
from rtsim.engine.lean import compile_lean

pytestmark = pytest.mark.skipif(INTERPRETED, reason="nothing is compiled")

CHANGED = ((codegen.CPUCodeLibrary, "_optimize_final_module"), (codegen.CPUCodeLibrary, "_finalize_final_module"),
           (codegen.JITCPUCodegen, "set_env"), (codegen.JITCPUCodegen, "_add_module"))  # fmt: skip


def methods() -> list[Any]:
    return [getattr(owner, name) for owner, name in CHANGED]


def pair() -> tuple[Any, Any]:
    """Return a function that sums squares, and the one it calls for each."""

    @numba.njit
    def square(number: int) -> int:
        return number * number

    @numba.njit
    def sum_of_squares(count: int) -> int:
        total = 0
        for number in range(count):
            total += square(number)
        return total

    return sum_of_squares, square


def test_answers_are_those_of_the_interpreter_and_numba_is_left_as_it_was() -> None:
    before = methods()
    lean, called = pair()
    compile_lean(lean, [called])
    assert lean(1_000) == lean.py_func(1_000) == 332_833_500
    assert methods() == before
    assert called(12) == 144  # from here it is compiled anew: there was no machine code of its own


def test_what_another_function_calls_too_is_compiled_for_that_as_ever() -> None:
    lean, square = pair()
    compile_lean(lean, [square])
    lean(10)

    @numba.njit
    def fourth_power(number: int) -> int:
        return square(square(number))

    assert fourth_power(7) == 7**4


def test_with_other_internals_numba_compiles_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    lean, square = pair()
    compile_lean(lean, [square])

    class Other:
        """Has none of the methods."""

    monkeypatch.setattr("rtsim.engine.lean.codegen.JITCPUCodegen", Other)
    assert lean(10) == 285
