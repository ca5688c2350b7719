"""Lines of every kind of nonsense: each gets a result, none a traceback."""

from __future__ import annotations

import copy
import json
import os
import random
from collections.abc import Iterator
from typing import Any

import nova_generate

from rtsim.nova.batch import place_lines

LINES = int(os.environ.get("RTSIM_FUZZ_LINES", "4000"))
SEED = os.environ.get("RTSIM_FUZZ_SEED", "1")
ODD: list[Any] = [
    None, True, False, 0, 1, -1, 2**31, 2**63, 10**30, 1.5, 2.0, -0.0, 1e308, "", "0", "x", "0-3", "^0", "0-999999999",
    "é\u0000", [], [0], [[]], [None], {}, {"": 1}, {"id": 0}, float("nan"), float("inf"),
]  # fmt: skip


def mutated(r: random.Random, case: Any) -> Any:
    """Replace, remove, rename or double something, somewhere."""
    at, last, key = case, None, None
    while isinstance(at, dict | list) and at and (last is None or r.random() < 0.8):
        last = at
        key = r.choice(list(at)) if isinstance(at, dict) else r.randrange(len(at))
        at = at[key]
    if last is None:
        return copy.deepcopy(r.choice(ODD))
    kind = r.randrange(5)
    if kind in (0, 1):
        last[key] = copy.deepcopy(r.choice(ODD))
    elif kind == 2:
        del last[key]
    elif kind == 3 and isinstance(last, dict):
        last[f"{key}x"] = last.pop(key)
    elif isinstance(last, list):
        last.append(copy.deepcopy(r.choice([*ODD, at])))
    else:
        last[key] = [at]
    return case


def lines(count: int) -> Iterator[str | bytes]:
    r = random.Random(SEED)
    stock: list[str] = []
    for number in range(count):
        if number % 20 == 0:
            stock = [json.dumps(case) for case in nova_generate.cases(r.randrange(10**9), 4)]
        line = r.choice(stock)
        kind = r.random()
        if kind < 0.05:
            yield line[: r.randrange(len(line))]
        elif kind < 0.08:
            yield bytes(r.randrange(256) for _ in range(r.randrange(40)))
        elif kind < 0.1:
            yield line.encode().replace(b'"', bytes([r.randrange(256)]), r.randrange(9))
        else:
            case = json.loads(line)
            for _ in range(r.choice([1, 1, 2, 5])):
                case = mutated(r, case)
            yield json.dumps(case)


def test_every_line_gets_a_result() -> None:
    given = [line for line in lines(LINES) if line.strip()] if LINES <= 20_000 else None
    source = given if given is not None else (line for line in lines(LINES) if line.strip())
    answered = refused = 0
    for result in place_lines(source):
        answered += 1
        shown = json.loads(result)
        assert isinstance(shown, dict)
        if shown.get("error") == "InvalidCase":
            refused += 1
            assert shown["stage"] == "input"
            assert shown["message"].startswith(f"line {answered}: ")
            assert "\n" not in shown["message"]
        elif "error" not in shown:
            assert "sequence" in shown or isinstance(shown["fit"], bool)
    assert given is None or answered == len(given)
    assert 0.2 < refused / answered < 0.95
