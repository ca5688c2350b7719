"""Compiling the entry point without compiling each handler for itself as well.

Numba makes a library of every function: it optimises it together with all it calls and emits machine code for it, then
does the same for its callers. Of the engine only the entry point is ever called from outside; what the handlers' own
libraries are for is the text that is linked into it, and that is optimised there. Leaving out the rest makes the first
start more than three times as fast. These are Numba's internals: where they are not as expected nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any
from unittest import mock

from numba.core import codegen

__all__ = ["compile_lean"]

Method = Callable[..., Any]


def compile_lean(dispatcher: Any, called: Sequence[Any]) -> None:
    """Let `dispatcher`, an entry point, compile what it calls for its own library only.

    All that it may call are `called` (others may come to that later): who calls one of them from Python has it compiled
    then, since there is no machine code to jump to.
    """
    compile_with_all = dispatcher.compile
    name = dispatcher.py_func.__qualname__

    @wraps(compile_with_all)
    def compile_one(signature: Any) -> Any:
        try:
            with _only(name):
                return compile_with_all(signature)
        finally:
            for each in called:
                each._reset_overloads()

    dispatcher.compile = compile_one


@contextmanager
def _only(name: str) -> Iterator[None]:
    """Optimise fully, and emit machine code for, the library `name` only."""
    library, jit = codegen.CPUCodeLibrary, codegen.JITCPUCodegen
    try:
        optimise, finalise, set_env = library._optimize_final_module, library._finalize_final_module, jit.set_env
    except AttributeError:
        yield
        return
    with (
        mock.patch.object(library, "_optimize_final_module", _cheaply_unless(name, optimise)),
        mock.patch.object(library, "_finalize_final_module", _kept_back_unless(name, finalise)),
        mock.patch.object(jit, "set_env", _where_there_is_code(set_env)),
    ):
        yield


def _cheaply_unless(name: str, optimise: Method) -> Method:
    def optimise_final_module(self: Any) -> None:
        if self.name == name:
            optimise(self)
            return
        passes, builder = self._codegen._module_pass_manager(
            loop_vectorize=False, slp_vectorize=False, opt=self._codegen._opt_level, cost="cheap"
        )
        passes.run(self._final_module, builder)

    return optimise_final_module


def _kept_back_unless(name: str, finalise: Method) -> Method:
    def finalise_final_module(self: Any) -> None:
        if self.name == name:
            finalise(self)
            return
        with mock.patch.object(codegen.JITCPUCodegen, "_add_module", return_value=None):
            finalise(self)

    return finalise_final_module


def _where_there_is_code(set_env: Method) -> Method:
    def set_env_of_code(self: Any, name: str, env: Any) -> None:
        if self._engine.get_global_value_address(name):
            set_env(self, name, env)

    return set_env_of_code
