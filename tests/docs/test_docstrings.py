"""The examples in docstrings are what the code does."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import rtsim
from tests.docs.pages import working_folder

MODULES = sorted(module.name for module in pkgutil.walk_packages(rtsim.__path__, "rtsim."))
FINDER = doctest.DocTestFinder()


@pytest.mark.parametrize("module", MODULES)
def test_examples_of(module: str) -> None:
    tests = [test for test in FINDER.find(importlib.import_module(module)) if test.examples]
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    with working_folder():
        for test in tests:
            found: list[str] = []
            runner.run(test, out=found.append)
            assert not found, "".join(found)
