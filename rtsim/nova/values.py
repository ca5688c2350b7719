"""How Nova reads values people write: booleans, page sizes, whole numbers."""

from __future__ import annotations

import math
import re

from rtsim.nova.errors import refuse

__all__ = ["PAGES_ANY", "PAGES_LARGE", "PAGES_SMALL", "is_true", "looks_like_int", "page_size"]

PAGES_SMALL, PAGES_LARGE, PAGES_ANY = -1, -2, -3
NAMED_SIZES = {"small": PAGES_SMALL, "large": PAGES_LARGE, "any": PAGES_ANY}
TRUE_WORDS = frozenset(("1", "t", "true", "on", "y", "yes"))
SIZE = re.compile(r"(^[-+]?\d*\.?\d+)([KMGTPEZYRQ]i?)?(b|bit|B)$")


def is_true(value: object) -> bool:
    """Return whether oslo.utils takes `value` for true: ``1 t true on y yes`` in any case; all else is false."""
    if isinstance(value, bool):
        return value
    return str(value).strip().lower() in TRUE_WORDS


def looks_like_int(value: object) -> bool:
    """Return whether `value` is written exactly as Python would write the integer."""
    try:
        return str(int(value)) == str(value)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        return False


def page_size(request: str) -> int | float:
    """Return a page size in KiB, or ``PAGES_SMALL``, ``PAGES_LARGE``, ``PAGES_ANY``.

    A bare number is KiB; otherwise a binary unit with its ``B`` or ``b`` is needed (``2MB``, ``2MiB``; not ``2M``).

    Raises
    ------
    NovaRefusal
        ``MemoryPageSizeInvalid``.
    """
    if request in NAMED_SIZES:
        return NAMED_SIZES[request]
    if request.isdigit():
        return int(request)
    match = SIZE.match(request)
    if not match:
        raise refuse("MemoryPageSizeInvalid", pagesize=request)
    size = float(match[1])
    if match[3] != "B":
        size /= 8
    if match[2]:
        size *= 1024 ** ("KMGTPEZYRQ".index(match[2][0]) + 1)
    return math.ceil(size) / 1024
