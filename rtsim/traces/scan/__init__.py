"""The compiled scanner of text traces; `rtsim.traces.text` drives it."""

from rtsim.traces.scan.chunk import NOTES, scan
from rtsim.traces.scan.texts import Interned, new_interned

__all__ = ["NOTES", "Interned", "new_interned", "scan"]
