"""Machine code is cached per state of the sources: an edit in one handler module is never served by older code."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import rtsim
from rtsim.engine.jit import HANDLER_PACKAGES, cache_folder

PACKAGE = Path(rtsim.__file__).parent
HANDLER_MODULES = ("engine/calendar.py", "engine/interrupts.py", "engine/state.py", "sched/rt.py", "kvm/vcpu.py")


def copy(folder: Path) -> Path:
    return Path(shutil.copytree(PACKAGE, folder / "rtsim", ignore=shutil.ignore_patterns("__pycache__")))


def test_an_unchanged_copy_has_the_same_cache(tmp_path: Path) -> None:
    assert cache_folder(copy(tmp_path)) == cache_folder() == cache_folder(PACKAGE)


@pytest.mark.parametrize("module", HANDLER_MODULES)
def test_an_edit_in_a_handler_module_has_a_cache_of_its_own(module: str, tmp_path: Path) -> None:
    package = copy(tmp_path)
    with (package / module).open("a") as source:
        source.write("# edited\n")
    assert cache_folder(package) != cache_folder()


def test_a_new_or_renamed_handler_module_has_one_too(tmp_path: Path) -> None:
    package = copy(tmp_path)
    (package / "sched" / "rt.py").rename(package / "sched" / "realtime.py")
    renamed = cache_folder(package)
    (package / "sched" / "new.py").touch()
    assert len({cache_folder(), renamed, cache_folder(package)}) == 3


def test_an_edit_elsewhere_keeps_the_cache(tmp_path: Path) -> None:
    package = copy(tmp_path)
    (package / "measure" / "histogram.py").write_text("# edited\n")
    assert cache_folder(package) == cache_folder()


def handler_modules() -> list[Path]:
    return [source for source in PACKAGE.rglob("*.py") if "@handler" in source.read_text(encoding="utf-8")]


def test_every_package_with_handlers_is_hashed() -> None:
    assert {source.relative_to(PACKAGE).parts[0] for source in handler_modules()} == set(HANDLER_PACKAGES)


@pytest.mark.parametrize("source", handler_modules(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_handler_modules_take_nothing_from_packages_that_are_not(source: Path) -> None:
    """A constant imported from elsewhere would be compiled in and change unnoticed."""
    imported = {
        node.module
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
    }
    own = {str(module) for module in imported if str(module).startswith("rtsim")}
    assert all(module.split(".")[1] in HANDLER_PACKAGES for module in own)


TWO_FIFO_TASKS = """
from rtsim.engine import jit
from rtsim.engine import constants as es
from rtsim.engine.builder import Builder
from rtsim.engine.clock import compiled_already, run_until
before = compiled_already()
b = Builder()
b.constant(0)
kernel = b.kernel(1, tick_ns=4_000_000)
b.cpu("host/cpu0", kernel)
b.hog("hog", kernel, [0], es.FIFO, 10)
b.periodic("probe", kernel, [0], es.FIFO, 20, period_ns=10**6, first_ns=10**6, work=0, slack_ns=0)
state, _ = b.build(watched=[1])
run_until(state, 10_500_000)
print(before, int(state.watches[0]["count"][0]), jit.INTERPRETED)
"""


def samples_of_probe(folder: Path, cache: Path, *, interpreted: bool) -> str:
    """Run the copy in `folder` in a process of its own; return whether it was compiled before, and the samples."""
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(cache),
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    environment["NUMBA_DISABLE_JIT"] = str(int(interpreted))
    command = [sys.executable, "-c", TWO_FIFO_TASKS]
    return subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, check=True, timeout=900
    ).stdout.strip()


@pytest.mark.slow
def test_after_an_edit_the_new_rule_runs_compiled(tmp_path: Path) -> None:
    """The edit is in a callee of a callee of the one cached function, whose own file stays as it was."""
    package, cache = copy(tmp_path), tmp_path / "cache"
    assert samples_of_probe(tmp_path, cache, interpreted=False) == "False 10 False"
    assert samples_of_probe(tmp_path, cache, interpreted=False) == "True 10 False"
    rule = package / "sched" / "rt.py"
    stronger = "return s.tasks[task].prio < s.tasks[s.cpus[cpu].curr].prio"
    text = rule.read_text()
    assert text.count(stronger) == 1
    rule.write_text(text.replace(stronger, "return False"))  # nobody preempts: the probe never runs again
    assert samples_of_probe(tmp_path, cache, interpreted=True) == "True 0 True"
    assert samples_of_probe(tmp_path, cache, interpreted=False) == "False 0 False"
    rule.write_text(text)
    assert samples_of_probe(tmp_path, cache, interpreted=False) == "True 10 False"
