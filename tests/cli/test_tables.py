"""Printed tables hold every word, whatever the width of the page."""

from __future__ import annotations

import pytest

from rtsim.cli.tables import console, table

COLUMNS = ("rank", "variant", "latency", "to the best", "CPUs\nspent", "vCPUs\nleft", "why")
WHY = "most of it switch, 4.3 us"


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize("variant", ["hw:cpu_realtime_mask=^0-1", "mask ^0-1, isolate"])
def test_no_word_is_cut(
    width: int, variant: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    rows = [("1", variant, "15.9", "best", "4", "2", WHY), ("-", "x", "-", "-", "-", "-", "refused")]
    out = console()
    out.print(table(out, "title", COLUMNS, rows, words=(1, 6)))
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= width for line in lines)
    printed = [line.split() for line in lines]
    assert all(any(word in line for line in printed) for word in WHY.split())
