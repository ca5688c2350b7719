"""Text files compressed with Zstandard, which recordings are kept in."""

from __future__ import annotations

import os
import sys

from rtsim.inputs.errors import InputError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["MAX_TEXT_BYTES", "read_compressed", "zstd"]

MAX_TEXT_BYTES = 256 * 1024 * 1024
"""Files that unpack to more are refused: the longest recorded trace unpacks to some 20 MiB."""


def read_compressed(path: str | os.PathLike[str]) -> str:
    """Return the text that ``FILE.zst`` holds.

    Raises
    ------
    InputError
        The file is missing, damaged, no Zstandard file, or unpacks to more than `MAX_TEXT_BYTES`.
    """
    name = os.fspath(path)
    try:
        with zstd.open(path, "rb") as stream:
            raw = stream.read(MAX_TEXT_BYTES + 1)
    except OSError as error:
        raise InputError(name, "", f"expected a readable file: {error.strerror or error}") from None
    except (zstd.ZstdError, EOFError) as error:
        raise InputError(name, "", f"expected a Zstandard file: {error}") from None
    if len(raw) > MAX_TEXT_BYTES:
        raise InputError(name, "", f"expected at most {MAX_TEXT_BYTES // 1024**2} MiB of text, the file holds more")
    return raw.decode("utf-8", errors="replace")
