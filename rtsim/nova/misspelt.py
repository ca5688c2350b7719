"""Extra specs that Nova ignores, or reads as no, though they look like ones that decide a placement."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from rtsim.nova.values import is_true

__all__ = ["misspelt"]

DECIDING = (
    "hw:cpu_policy", "hw:cpu_thread_policy", "hw:cpu_dedicated_mask", "hw:cpu_realtime", "hw:cpu_realtime_mask",
    "hw:emulator_threads_policy", "hw:locked_memory", "hw:mem_page_size", "hw:numa_nodes", "hw:cpu_sockets",
    "hw:cpu_cores", "hw:cpu_threads", "hw:cpu_max_sockets", "hw:cpu_max_cores", "hw:cpu_max_threads",
)  # fmt: skip
NUMBERED = re.compile(r"hw:numa_(cpus|mem)\.\d+")
SWITCHES = ("hw:cpu_realtime", "hw:locked_memory")
FALSE_WORDS = ("0", "f", "false", "off", "n", "no")
"""Of oslo.utils' bool_from_string, to which all else that is not true is false as well."""
CLOSE = 0.87
"""Of difflib's ratio: one wrong letter in seven; Nova's own names are further apart."""


def misspelt(extra_specs: Mapping[str, str]) -> Iterator[str]:
    """Yield a warning for each of `extra_specs` that is nearly one that decides a placement, or nearly a yes."""
    for name in SWITCHES:
        value = extra_specs.get(name)
        if value is not None and not is_true(value) and value.strip().lower() not in FALSE_WORDS:
            yield f"Nova reads {name}={value} as no: write true or false"
    plain = {_plain(name): name for name in DECIDING}
    for name in extra_specs:
        if name in DECIDING or NUMBERED.fullmatch(name):
            continue
        close = get_close_matches(_plain(name), plain, 1, CLOSE)
        if close:
            # one without a namespace is a wish of the aggregate that the host is in
            told = "is unknown to Nova, which ignores it" if ":" in name else "says nothing of the guest to Nova"
            yield f"the extra spec {name} {told}: is {plain[close[0]]} meant?"


def _plain(name: str) -> str:
    """Return a name without its namespace, and with one kind of separator."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).removeprefix("hw_")
