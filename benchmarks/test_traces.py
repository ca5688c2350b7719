"""How fast a large trace is read, and in how much memory."""

import json
import subprocess
import sys

from benchmarks.trace_reading import write_large

EVENTS_PER_S = 1_000_000
PEAK_MIB = 500


def test_a_gibibyte_of_trace_is_read_fast_in_little_memory(tmp_path, benchmark):
    path = tmp_path / "trace.txt"
    write_large(path)

    def read():
        command = [sys.executable, "-m", "benchmarks.trace_reading", str(path)]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    read_once = benchmark.pedantic(read, rounds=1)
    benchmark.extra_info.update(read_once)
    print(f"\n{read_once['events_per_s'] / 1e6:.2f} million events a second, {read_once['peak_mib']:.0f} MiB")
    assert read_once["events_per_s"] >= EVENTS_PER_S
    assert read_once["peak_mib"] < PEAK_MIB
