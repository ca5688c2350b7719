"""The manual tells the truth: commands print what it shows, its Python runs, its links lead somewhere."""

from __future__ import annotations

import contextlib
import doctest
import re
from pathlib import Path

import matplotlib as mpl
import pytest

from rtsim.inputs.errors import InputError
from rtsim.scenario import Scenario
from rtsim.scenario.assemble import assemble
from tests.docs.pages import PAGES, ROOT, Block, blocks, comparable, name_of, session, working_folder, write_file

mpl.use("agg")


def pages_with(*kinds: str) -> list[Path]:
    return [page for page in PAGES if any(block.kind in kinds for block in blocks(page))]


def commands_match(page: Path, *, slow: bool) -> None:
    with working_folder():
        for block in blocks(page):
            if block.kind == "yaml":
                write_file(block)
            elif block.kind == "console" and ("slow" in block.words) == slow:
                wanted, printed = comparable(block.text) + "\n", session(block)
                if not doctest.OutputChecker().check_output(wanted, printed, doctest.ELLIPSIS):
                    assert printed == wanted, f"{name_of(page)}:{block.line}"


@pytest.mark.parametrize("page", pages_with("console"), ids=name_of)
def test_commands_print_what_the_page_shows(page: Path) -> None:
    commands_match(page, slow=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if any("slow" in block.words for block in blocks(page))], ids=name_of
)
def test_long_commands_print_what_the_page_shows(page: Path) -> None:
    commands_match(page, slow=True)


@pytest.mark.parametrize("page", pages_with("python", "pycon"), ids=name_of)
def test_python_runs(page: Path) -> None:
    names: dict[str, object] = {"__name__": "__main__"}
    with working_folder():
        for block in blocks(page):
            if block.kind == "yaml":
                write_file(block)
            elif block.kind == "python":
                exec(compile(block.text, f"{name_of(page)}:{block.line}", "exec"), names)
            elif block.kind == "pycon":
                run_doctest(block, page, names)


def run_doctest(block: Block, page: Path, names: dict[str, object]) -> None:
    test = doctest.DocTestParser().get_doctest(block.text, {}, name_of(page), str(page), block.line)
    test.globs = names  # what one block defines, the next one knows
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    found: list[str] = []
    runner.run(test, out=found.append, clear_globs=False)
    assert not found, "".join(found)


@pytest.mark.parametrize("page", pages_with("yaml"), ids=name_of)
def test_scenarios_shown_load_unless_named_wrong(page: Path) -> None:
    with working_folder() as folder:
        for block in blocks(page):
            if block.kind == "yaml" and block.text.startswith("# file: "):
                write_file(block)
                path = folder / block.text.partition("\n")[0].removeprefix("# file: ")
                with pytest.raises(InputError) if path.name == "wrong.yaml" else contextlib.nullcontext():
                    assemble(Scenario.load(path))


_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """Return the names of a page's headings, as GitHub and MyST make them."""
    found = re.findall(r"^#{1,6} +(.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).strip().replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for match in _LINK.finditer(prose):
        target = match[1] or match[2]
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        led = (page.parent / file).resolve() if file else page
        assert led.exists(), f"{name_of(page)} links to {target}, which does not exist"
        assert led.is_relative_to(ROOT)
        if anchor and led.suffix == ".md":
            assert anchor in anchors(led), f"{name_of(page)} links to {target}, which has no such heading"
