"""Reading and writing whole files: with a size limit on the way in, whole or not at all on the way out."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from rtsim.inputs.errors import InputError

__all__ = ["MAX_INPUT_BYTES", "read_text", "write_whole"]

MAX_INPUT_BYTES = 32 * 1024 * 1024
"""Configuration files beyond this are refused unread: the largest real ``virsh capabilities`` is below 1 MiB."""


def read_text(path: str | os.PathLike[str], *, limit: int = MAX_INPUT_BYTES) -> str:
    """Return the file's text (UTF-8).

    Raises
    ------
    InputError
        The file is missing, unreadable, larger than `limit` bytes, or not UTF-8.
    """
    name = os.fspath(path)
    try:
        with open(path, "rb") as stream:
            raw = stream.read(limit + 1)
    except OSError as error:
        raise InputError(name, "", f"expected a readable file: {error.strerror}") from None
    if len(raw) > limit:
        raise InputError(name, "", f"expected at most {limit // 1024**2} MiB, the file is larger")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(name, f"byte {error.start}", "expected UTF-8 text") from None


def write_whole(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write `content` so that `path` holds either its old content or all of the new, never a part.

    Raises
    ------
    InputError
        The folder does not exist or cannot be written to.
    """
    target = Path(path)
    data = content.encode() if isinstance(content, str) else content
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, target)
    except OSError as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        raise InputError(os.fspath(path), "", f"expected a writable file: {error.strerror}") from None
