"""A text trace of 1 GiB, a recorded one repeated, and reading it. As a program: its speed and peak memory."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from rtsim.traces.trace import Trace

RECORDED = Path(__file__).parents[1] / "data" / "measured" / "trace" / "ftrace-6.12-rt.txt"
GIB = 2**30


def write_large(target: Path, size: int = GIB) -> None:
    """Write a trace of at least `size` bytes."""
    block = b"".join(line for line in RECORDED.read_bytes().splitlines(True) if not line.startswith(b"#"))
    block *= max(2**22 // len(block), 1)
    with open(target, "wb") as sink:
        while sink.tell() < size:
            sink.write(block)


def read_whole(path: Path) -> dict[str, float]:
    """Read all chunks as frames; return events, their number a second of one core, and the peak memory in MiB."""
    next(iter(Trace(RECORDED))).frame()  # compiled, or loaded from the cache
    begin, events = time.process_time(), 0
    for chunk in Trace(path):
        events += len(chunk.frame())
    seconds = time.process_time() - begin
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"events": events, "events_per_s": events / seconds, "peak_mib": peak_kib / 1024}


if __name__ == "__main__":
    print(json.dumps(read_whole(Path(sys.argv[1]))))
