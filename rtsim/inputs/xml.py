"""XML from strangers: no document type, no entities, bounded depth and size; elements know their line."""

from __future__ import annotations

import os
from typing import Any
from xml.etree import ElementTree

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from rtsim.inputs.errors import InputError
from rtsim.inputs.files import read_text

__all__ = ["MAX_DEPTH", "MAX_ELEMENTS", "Element", "line_of", "parse_xml", "parse_xml_text"]

MAX_DEPTH = 100
MAX_ELEMENTS = 500_000


class Element(ElementTree.Element):
    """An element that remembers the line its start tag stands on."""

    line: int = 0


class _Builder(ElementTree.TreeBuilder):
    """Builds the tree, counting: refuses what is nested too deeply or has too many elements while reading it."""

    def __init__(self) -> None:
        super().__init__(element_factory=Element)
        self.depth = 0
        self.elements = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> ElementTree.Element:
        self.depth += 1
        self.elements += 1
        if self.depth > MAX_DEPTH:
            raise _TooMuchError(f"expected at most {MAX_DEPTH} levels of elements")
        if self.elements > MAX_ELEMENTS:
            raise _TooMuchError(f"expected at most {MAX_ELEMENTS} elements")
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> ElementTree.Element:
        self.depth -= 1
        return super().end(tag)


class _TooMuchError(Exception):
    pass


class _Parser(DefusedXMLParser):
    """Marks each element with the line the underlying expat parser is at."""

    def _start(self, tag: str, attributes: list[str]) -> Any:
        element = super()._start(tag, attributes)  # type: ignore[misc]  # its base is chosen at run time
        element.line = self.parser.CurrentLineNumber
        return element


def parse_xml(path: str | os.PathLike[str]) -> Element:
    """Return the root element of the XML file.

    Raises
    ------
    InputError
        As `read_text`; or the XML is malformed, declares a document type or entities, is nested more than `MAX_DEPTH`
        deep or holds more than `MAX_ELEMENTS` elements.
    """
    return parse_xml_text(read_text(path), os.fspath(path))


def parse_xml_text(text: str, source: str) -> Element:
    """Return the root element of `text`; `source` is its name in errors, which are those of `parse_xml`."""
    parser = _Parser(target=_Builder(), forbid_dtd=True)
    try:
        parser.feed(text)
        root = parser.close()
    except ElementTree.ParseError as error:
        line, column = error.position
        reason = str(error).split(":", 1)[0]
        raise InputError(source, f"line {line}, column {column + 1}", f"expected well-formed XML: {reason}") from None
    except DefusedXmlException:
        line = parser.parser.CurrentLineNumber
        raise InputError(source, f"line {line}", "expected XML without document type and entities") from None
    except _TooMuchError as error:
        raise InputError(source, f"line {parser.parser.CurrentLineNumber}", str(error)) from None
    except ValueError as error:  # an encoding declaration that does not exist
        raise InputError(source, "", f"expected XML in UTF-8: {error}") from None
    assert isinstance(root, Element)
    return root


def line_of(element: ElementTree.Element) -> str:
    """Return the place of `element` for an error: ``line 12: <cpu>``."""
    line = element.line if isinstance(element, Element) else 0
    return f"line {line}: <{element.tag}>" if line else f"<{element.tag}>"
