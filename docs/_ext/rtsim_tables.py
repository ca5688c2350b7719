"""Tables of the manual that are made from the program itself, so that they cannot fall behind it.

``{profile-numbers} NAME`` lists every number of a built-in profile with its source, ``{model-keys} MODULE:CLASS`` the
keys of a model of a file, ``{command-options} NAME`` the options of a command.
"""

from __future__ import annotations

from collections.abc import Iterable

from cells import Rows, plain_text
from docutils import nodes
from docutils.statemachine import StringList
from model_keys import model_keys
from profile_numbers import profile_numbers
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class _Table(SphinxDirective):
    """A table from rows of Markdown cells, the first one its head."""

    required_arguments = 1

    def rows(self, name: str) -> Rows:
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        head, *body = self.rows(self.arguments[0])
        lines = [_line(head), _line(["---"] * len(head)), *map(_line, body)]
        content = nodes.Element()
        self.state.nested_parse(StringList(lines, source=self.get_source_info()[0]), self.content_offset, content)
        return list(content.children)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


class ProfileNumbers(_Table):
    """Every number of a built-in profile and where it is from."""

    def rows(self, name: str) -> Rows:
        return profile_numbers(name)


class ModelKeys(_Table):
    """The keys of one mapping of an input file, from the model that checks it."""

    def rows(self, name: str) -> Rows:
        return model_keys(name)


class CommandOptions(_Table):
    """Arguments and options of one command, from the program's own help."""

    def rows(self, name: str) -> Rows:
        import typer

        from rtsim.cli import app

        command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
        found: Rows = [("option", "what")]
        for parameter in command.params:
            flags = ", ".join(f"`{flag}`" for flag in parameter.opts) if parameter.param_type_name == "option" else (
                f"`{parameter.name.upper()}`"
            )  # fmt: skip
            text = plain_text(parameter.help or "")
            if parameter.default not in (None, False, ()) and parameter.param_type_name == "option":
                text += f" Default: `{parameter.default}`."
            found.append((flags, text))
        return found


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("profile-numbers", ProfileNumbers)
    app.add_directive("model-keys", ModelKeys)
    app.add_directive("command-options", CommandOptions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
