"""The real Nova in another process: found, asked case by case or many at once, and compared key by key."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
PYTHON = Path(os.environ.get("RTSIM_NOVA_PYTHON", ROOT / ".venv-nova/bin/python"))
DRIVE = HERE / "nova_drive.py"


def version() -> str:
    """Return the version of the Nova that answers."""
    return subprocess.run([PYTHON, DRIVE, "--version"], capture_output=True, text=True, check=True).stdout.strip()


class Nova:
    """A running Nova that answers one case at a time."""

    def __enter__(self) -> Nova:
        self.process = subprocess.Popen([PYTHON, DRIVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *error: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(timeout=60)

    def ask(self, case: dict[str, Any]) -> dict[str, Any]:
        """Return Nova's result of a case."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(case) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


def ask_all(lines: Iterable[str], *options: str) -> tuple[list[str], dict[str, float]]:
    """Return Nova's result lines for case lines, and its times."""
    done = subprocess.run(
        [PYTHON, DRIVE, "--time", *options], input="\n".join(lines) + "\n", capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines(), json.loads(done.stderr.splitlines()[-1])


def differing_keys(mine: Any, nova: Any, at: str = "") -> Iterator[str]:
    """Yield the paths at which two results differ; XML is compared element by element."""
    if isinstance(mine, dict) and isinstance(nova, dict):
        for key in sorted(mine.keys() | nova.keys()):
            if key not in mine or key not in nova:
                yield f"{at}/{key}"
            elif at.endswith("/xml") and mine[key] and nova[key]:
                if ElementTree.canonicalize(mine[key]) != ElementTree.canonicalize(nova[key]):
                    yield f"{at}/{key}"
            else:
                yield from differing_keys(mine[key], nova[key], f"{at}/{key}")
    elif isinstance(mine, list) and isinstance(nova, list) and len(mine) == len(nova):
        for first, second in zip(mine, nova, strict=True):
            yield from differing_keys(first, second, f"{at}/*")
    elif mine != nova:
        yield at


def compare(cases: list[str], mine: Iterable[str], nova: Iterable[str]) -> tuple[Counter[str], list[str]]:
    """Return how often each key differs, and the first cases that do."""
    keys: Counter[str] = Counter()
    examples: list[str] = []
    for case, first, second in zip(cases, mine, nova, strict=True):
        differing = list(differing_keys(json.loads(first), json.loads(second)))
        keys.update(differing)
        if differing and len(examples) < 3:
            examples.append(f"{differing}\ncase {case}\nrtsim {first}\nnova {second}")
    return keys, examples
