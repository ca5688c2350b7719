"""Runs machines handed in as JSON lines with the interpreted engine and answers each with a digest of its run."""

from __future__ import annotations

import json
import sys

from rtsim.engine import jit
from rtsim.engine.clock import run_until
from tests.engine.machines import build
from tests.engine.runs import digest

if __name__ == "__main__":
    assert jit.INTERPRETED
    for line in sys.stdin:
        spec = json.loads(line)
        state, _ = build(spec)
        run_until(state, spec["until"])
        print(digest(state), flush=True)
