"""Files that a command will write, looked at before it starts: no long run ends at a folder that is not there."""

from __future__ import annotations

import os
from pathlib import Path

from rtsim.inputs.errors import InputError

__all__ = ["expect_writable"]


def expect_writable(*paths: Path | None) -> None:
    """Refuse files that could not be written in the end.

    Raises
    ------
    InputError
        A folder does not exist or cannot be written to, or the name is a folder's.
    """
    for path in paths:
        if path is None:
            continue
        if not path.parent.is_dir():
            raise InputError(str(path), "", f"expected a file in an existing folder, there is no {path.parent}")
        if path.is_dir() or not os.access(path.parent, os.W_OK):
            raise InputError(str(path), "", "expected a writable file")
