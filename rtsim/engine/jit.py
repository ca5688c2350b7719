"""How the engine is compiled: one decorator for handlers, one cached entry point, and a cache that cannot go stale.

Numba's own cache does not notice an edit in a *callee's* module and would silently run old code. The folder's name
therefore carries a hash of every handler's source, of the compiler's versions and of the CPU: an edit anywhere is
another folder. With ``NUMBA_DISABLE_JIT=1`` (read by Numba at import) the same functions run interpreted.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import llvmlite.binding as llvm
import numba
import numpy as np

from rtsim.engine.link import EntryPointCompiler, HandlerCompiler

__all__ = ["INTERPRETED", "OPTIONS", "cache_folder", "entry_point", "handler", "handler_count", "inlined", "is_cached"]

F = TypeVar("F", bound=Callable[..., Any])

INTERPRETED: bool = bool(numba.config.DISABLE_JIT)

OPTIONS = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
"""How Numba compiles all of it."""

HANDLER_PACKAGES = ("engine", "sched", "kvm")

_handlers = 0


def handler(function: F) -> F:
    """Mark a function on the state as compiled code, part of the entry point that needs it; Python cannot call it.

    Private handlers become part of those that call them: a call costs as much as many a handler does.
    """
    return _compiled(function, inline=function.__name__.startswith("_"))


def inlined(function: F) -> F:
    """Mark a public handler, on the way of every wake-up, that becomes part of those that call it."""
    return _compiled(function, inline=True)


def _compiled(function: F, *, inline: bool) -> F:
    global _handlers
    _handlers += 1
    compiled: F = numba.njit(**OPTIONS, forceinline=inline, pipeline_class=HandlerCompiler, no_cpython_wrapper=True)(
        function
    )
    if not INTERPRETED:
        _ignore_literals(compiled)
    return compiled


def _ignore_literals(compiled: Any) -> None:
    """Let calls with a constant share the one version for integers; Numba would compile a version for each constant."""
    template_for = compiled.get_call_template

    def get_call_template(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        return template_for(tuple(numba.types.unliteral(argument) for argument in arguments), keywords)

    compiled.get_call_template = get_call_template


def handler_count() -> int:
    """How many handlers have been declared: what a progress bar of the first compilation counts to."""
    return _handlers


def entry_point(function: F) -> F:
    """Compile the one function that outside code calls, and keep its machine code in `cache_folder()`."""
    with _numba_cache(cache_folder()):
        compiled: F = numba.njit(**OPTIONS, pipeline_class=EntryPointCompiler, cache=not INTERPRETED)(function)
    return compiled


def is_cached(entry: Any) -> bool:
    """Return whether the cache holds machine code of an entry point, for this installation's place as well."""
    return INTERPRETED or any(Path(entry.stats.cache_path).glob("*.nbi"))


def cache_folder(package: Path | None = None) -> Path:
    """Return the folder for machine code of exactly these sources, compiler versions and CPU."""
    root = package or Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for version in (sys.version, numba.__version__, np.__version__, llvm.llvm_version_info):
        digest.update(repr(version).encode())
    digest.update(llvm.get_host_cpu_name().encode())
    digest.update(llvm.get_host_cpu_features().flatten().encode())
    for name in HANDLER_PACKAGES:
        for source in sorted((root / name).glob("*.py")):
            digest.update(f"{name}/{source.name}".encode())
            digest.update(source.read_bytes())
    return _user_cache() / "rtsim" / digest.hexdigest()[:24]


def _user_cache() -> Path:
    configured = os.environ.get("XDG_CACHE_HOME")
    return Path(configured) if configured else Path.home() / ".cache"


@contextmanager
def _numba_cache(folder: Path) -> Iterator[None]:
    # Numba asks for its folder when a function is declared: set it for ours alone and leave the user's as it was.
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(folder)
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before
