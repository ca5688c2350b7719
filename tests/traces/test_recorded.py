"""The recorded data is what its manifest says, no file more and none less."""

import hashlib
from pathlib import Path

RECORDED = Path(__file__).parents[2] / "data" / "recorded"


def test_every_file_is_in_the_manifest_and_unchanged():
    listed = {}
    for line in (RECORDED / "MANIFEST.sha256").read_text().splitlines():
        digest, name = line.split("  ", 1)
        listed[name] = digest
    present = {p.relative_to(RECORDED).as_posix() for p in RECORDED.rglob("*") if p.is_file()} - {"MANIFEST.sha256"}
    assert set(listed) == present
    wrong = [n for n in sorted(present) if hashlib.sha256((RECORDED / n).read_bytes()).hexdigest() != listed[n]]
    assert wrong == []
