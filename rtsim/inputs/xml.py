"""XML from strangers: no document type, no entities, bounded depth and size; elements know their line."""

from __future__ import annotations

import os
from typing import Any
from xml.etree import ElementTree

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from rtsim.inputs.errors import InputError, shown
from rtsim.inputs.files import read_text

__all__ = [
    "MAX_DEPTH",
    "MAX_ELEMENTS",
    "Element",
    "integer",
    "integer_attribute",
    "line_of",
    "parse_xml",
    "parse_xml_text",
]

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
    except UnicodeEncodeError:  # half a surrogate pair
        raise InputError(source, "", "expected XML in UTF-8") from None
    assert isinstance(root, Element)
    return root


def line_of(element: ElementTree.Element) -> str:
    """Return the place of `element` for an error: ``line 12: <cpu>``."""
    line = element.line if isinstance(element, Element) else 0
    return f"line {line}: <{element.tag}>" if line else f"<{element.tag}>"


def integer_attribute(element: ElementTree.Element, name: str, source: str, default: int | None = None) -> int:
    """Return the attribute `name` of `element` as an integer of 0 or more; `default` where it is absent.

    Raises
    ------
    InputError
        It is absent and has no default, or is no such number.
    """
    text = element.get(name)
    if text is None and default is not None:
        return default
    return integer(text, element, f"{name}= with a number", source)


def integer(text: str | None, element: ElementTree.Element, expected: str, source: str) -> int:
    """Return `text`, found in `element`, as an integer of 0 or more and at most 18 digits.

    Raises
    ------
    InputError
        It is no such number: ``file: line 3: <cpu>: expected EXPECTED, found 'x'``.
    """
    digits = (text or "").strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        found = "none" if text is None else shown(text)
        raise InputError(source, line_of(element), f"expected {expected}, found {found}")
    return int(digits)
