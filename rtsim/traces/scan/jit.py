"""How the scanner is compiled: its parts on demand, one cached entry point.

Numba's cache does not notice an edit in a callee's module: the folder's name carries a hash of all sources here and of
the compiler's versions.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import llvmlite.binding as llvm
import numba
import numpy as np

__all__ = ["entry_point", "part"]

F = TypeVar("F", bound=Callable[..., Any])


def part(function: F) -> F:
    """Compile a function when the entry point first needs it.

    Without Numba's reference counts, which makes it three times as fast: nothing here allocates, and the caller holds
    the arrays.
    """
    compiled: F = numba.njit(nogil=True, _nrt=False)(function)
    return compiled


def entry_point(function: F) -> F:
    """Compile the function that is called from Python, and keep its machine code in the user's cache."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(_cache_folder())
    try:
        compiled: F = numba.njit(nogil=True, _nrt=False, cache=not numba.config.DISABLE_JIT)(function)
    finally:
        numba.config.CACHE_DIR = before
    return compiled


def _cache_folder() -> Path:
    digest = hashlib.sha256()
    for version in (sys.version, numba.__version__, np.__version__, llvm.llvm_version_info, llvm.get_host_cpu_name()):
        digest.update(repr(version).encode())
    here = Path(__file__).parent
    for source in (*sorted(here.glob("*.py")), here.parent / "events.py"):
        digest.update(source.read_bytes())
    configured = os.environ.get("XDG_CACHE_HOME")
    cache = Path(configured) if configured else Path.home() / ".cache"
    return cache / "rtsim" / f"scan-{digest.hexdigest()[:24]}"
