"""Handlers become machine code once, as parts of the entry point: what C calls whole-program optimization.

Numba makes machine code of every function by itself and optimizes in it a copy of all it calls, and theirs. Of some
hundred handlers, none of which is called from Python, that takes many times as long as the engine as a whole, and the
result is slower, as the copies stay callable from anywhere. So a handler's library keeps LLVM's intermediate code, the
entry point's links those of all handlers behind it, and whatever is not the entry point is internal to it.

Both compilers are Numba's own pipeline with another library put in before the lowering, which is its way of extending
the compiler (``pipeline_class``).
"""

from __future__ import annotations

import ctypes
from typing import Any

import llvmlite.binding as llvm
from numba.core.codegen import CPUCodeLibrary, JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import LoweringPass, PassManager, register_pass
from numba.core.typed_passes import AnnotateTypes

__all__ = ["EntryPointCompiler", "HandlerCompiler"]


class _HandlerLibrary(JITCodeLibrary):
    """The intermediate code of one handler, and which libraries its calls are into."""

    def finalize(self) -> None:
        self._final_module.verify()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int | None:
        """Return what a call from Python meets: a function that raises `TypeError`, as there is no machine code.

        `PyObject_Call` takes the arguments a wrapper would, and its first is no callable.
        """
        return ctypes.cast(ctypes.pythonapi.PyObject_Call, ctypes.c_void_p).value

    @property
    def codegen(self) -> Any:
        """The library itself: Numba asks its code generator for nothing but `set_env` once the code is lowered."""
        return self

    def set_env(self, name: str, environment: Any) -> None:
        """Do nothing, in the code generator's place: the environment's address belongs into machine code."""


class _EntryPointLibrary(JITCodeLibrary):
    """The machine code of the entry point and of every handler behind it."""

    def add_linking_library(self, library: CPUCodeLibrary) -> None:
        if library in self._linking_libraries:
            return
        super().add_linking_library(library)
        if isinstance(library, _HandlerLibrary):
            for behind in library._linking_libraries:
                self.add_linking_library(behind)

    def _optimize_final_module(self) -> None:
        for function in self._final_module.functions:
            if function.linkage == llvm.Linkage.linkonce_odr:
                function.linkage = llvm.Linkage.internal
        super()._optimize_final_module()


class _LibraryPass(LoweringPass):
    """Put a library of `made` in before the code is lowered into it."""

    made: type[JITCodeLibrary]

    def __init__(self) -> None:
        LoweringPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        state.library = self.made(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return False


@register_pass(mutates_CFG=False, analysis_only=False)
class _HandlerPass(_LibraryPass):
    _name = "handler_library"
    made = _HandlerLibrary


@register_pass(mutates_CFG=False, analysis_only=False)
class _EntryPointPass(_LibraryPass):
    _name = "entry_point_library"
    made = _EntryPointLibrary


class HandlerCompiler(CompilerBase):
    """Compiles a handler as far as its intermediate code."""

    library_pass: type[_LibraryPass] = _HandlerPass

    def define_pipelines(self) -> list[PassManager]:
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.add_pass_after(self.library_pass, AnnotateTypes)
        passes.finalize()
        return [passes]


class EntryPointCompiler(HandlerCompiler):
    """Compiles what outside code calls, with all handlers behind it."""

    library_pass = _EntryPointPass
