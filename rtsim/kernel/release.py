"""Kernel releases: parsed, compared, and completed to the newest known patch level of their series."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from rtsim.inputs.errors import InputError, shown

__all__ = ["NEWEST_PATCH", "NEWEST_SERIES", "OLDEST_SERIES", "Release"]

OLDEST_SERIES = (3, 10)
NEWEST_SERIES = (7, 2)
"""Rules are known up to here."""

_LAST_OF_MAJOR = {3: 19, 4: 20, 5: 19, 6: 19, 7: 2}

NEWEST_PATCH: dict[tuple[int, int], int] = {
    (4, 18): 20,
    (4, 19): 325,
    (5, 4): 302,
    (5, 10): 247,
    (5, 14): 21,
    (5, 15): 197,
    (6, 0): 19,
    (6, 1): 192,
    (6, 2): 16,
    (6, 3): 13,
    (6, 4): 16,
    (6, 5): 13,
    (6, 6): 119,
    (6, 7): 12,
    (6, 8): 12,
    (6, 9): 12,
    (6, 10): 14,
    (6, 11): 11,
    (6, 12): 117,
    (6, 13): 12,
    (6, 14): 11,
    (6, 15): 11,
    (6, 16): 12,
    (6, 17): 13,
    (6, 18): 45,
    (7, 2): 13,
}
"""The newest patch level known of a series; 0 for those not listed, in which no rule depends on it."""

_RELEASE = re.compile(r"(\d{1,2})\.(\d{1,3})(?:\.(\d{1,4}))?(?:[-+~._].{0,80})?", re.ASCII)
_DISTRIBUTION_ABI = re.compile(r"\d+\.\d+\.0-\d+.*", re.ASCII)


@dataclass(frozen=True, order=True)
class Release:
    """A kernel release; releases compare by version."""

    major: int
    minor: int
    patch: int
    text: str = field(default="", compare=False)
    """As written."""

    @classmethod
    def parse(cls, text: object) -> Release:
        """Return the release that `text` names.

        Without patch level (``6.1``), and in a distribution's ABI name (``6.1.0-49-amd64``: its 0 is no patch level),
        it is the newest known of that series.

        Raises
        ------
        InputError
            It is no kernel release (a number such as 6.1 must be quoted, or 6.10 would be read as 6.1), or of a series
            whose rules are not known.
        """
        if isinstance(text, int | float):
            raise InputError("kernel", "release", f'expected the release in quotes, such as "6.1", found {text}')
        match = _RELEASE.fullmatch(text) if isinstance(text, str) else None
        if match is None or not isinstance(text, str):
            raise InputError("kernel", "release", f"expected a release such as 6.1 or 6.12.117, found {shown(text)}")
        series = int(match[1]), int(match[2])
        if not OLDEST_SERIES <= series <= NEWEST_SERIES or series[1] > _LAST_OF_MAJOR[series[0]]:
            low, high = (".".join(map(str, bound)) for bound in (OLDEST_SERIES, NEWEST_SERIES))
            raise InputError("kernel", "release", f"expected a series between {low} and {high}, found {shown(text)}")
        if match[3] is None or _DISTRIBUTION_ABI.fullmatch(text):
            return cls(*series, NEWEST_PATCH.get(series, 0), text)
        return cls(*series, int(match[3]), text)

    @property
    def series(self) -> tuple[int, int]:
        """Major and minor number."""
        return self.major, self.minor

    @property
    def is_rt_build(self) -> bool:
        """Whether the name says PREEMPT_RT: ``6.1.0-49-rt-amd64``, ``5.10.1-rt20``."""
        return re.search(r"-rt(\d+)?(-|$)", self.text) is not None

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"
