"""Puts recorded decisions to the interpreted scheduler: `agreement` of cases handed in as JSON lines."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

from rtsim.engine import jit
from rtsim.validation.decide import agreement
from tests.validation.recordings import recording

if __name__ == "__main__":
    assert jit.INTERPRETED
    for line in sys.stdin:
        spec = json.loads(line)
        found = recording(spec["recording"])
        found = replace(found, release=spec.get("release", found.release))
        result = agreement(found, found.cases[spec["case"]])
        misses = [
            f"{m.time_ns / 1e9:.6f} {m.rule}: {m.leaving.name} to {m.kernel.name}, not {m.model.name}"
            for m in result.misses
        ]
        print(json.dumps({"switches": result.switches, "share": result.share, "misses": misses}), flush=True)
