"""A long trace needs no more memory than a short one, and is read at a million events a second."""

from __future__ import annotations

import io
import time
import tracemalloc
from pathlib import Path

import pytest

from rtsim.traces.compressed import read_compressed
from rtsim.traces.text import TextTrace

RECORDED = Path(__file__).parents[2] / "data/recorded/kernel-6.1-cfs/per1ms-other-hog1/trace.txt.zst"
MB = 2**20


class Repeated(io.RawIOBase):
    """A text again and again, as a file of `length` bytes."""

    def __init__(self, text: bytes, length: int) -> None:
        self.text, self.left, self.at = text, length, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        piece = self.text[self.at : self.at + min(len(buffer), self.left)]
        buffer[: len(piece)] = piece
        self.at = (self.at + len(piece)) % len(self.text)
        self.left -= len(piece)
        return len(piece)


@pytest.fixture(scope="module")
def text() -> bytes:
    lines = read_compressed(RECORDED).encode()
    assert sum(map(len, TextTrace(Repeated(lines, len(lines)), "short"))) > 40_000
    return lines


@pytest.mark.parametrize("length", [64 * MB, pytest.param(1024 * MB, marks=pytest.mark.slow)])
def test_memory_does_not_grow_with_the_trace(text: bytes, length: int) -> None:
    trace = TextTrace(Repeated(text, length), "long")
    tracemalloc.start()
    try:
        events = sum(map(len, trace))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert events > length // 150
    assert peak < 50 * MB


@pytest.mark.slow
def test_a_million_events_are_read_in_a_second_of_one_core(text: bytes) -> None:
    trace = TextTrace(Repeated(text, 256 * MB), "long")
    begin = time.process_time()
    events = sum(map(len, trace))
    assert events / (time.process_time() - begin) > 1e6
