"""JSON as json-c reads it, with the line of each part."""

import pytest

from rtsim.inputs.errors import InputError
from rtsim.inputs.json import parse_json_document


def test_comments_closing_commas_and_tabs_are_ignored_but_not_in_strings():
    document = parse_json_document('{\n\t"a": "x/*y*/,]\\t//", // c\n\t/* d\n */ "b": [1, 2, /* z */ ],\n}', "s")
    assert document.data == {"a": "x/*y*/,]\t//", "b": [1, 2]}


def test_each_part_knows_its_line():
    document = parse_json_document('{\n"a": {"b": 1,\n"c": [2,\n3]},\n/*\n*/ "d": {}}', "s")
    lines = [document.line(path) for path in (("a", "b"), ("a", "c"), ("a", "c", 1), ("d",), ("d", "e"))]
    assert lines == [2, 3, 4, 6, 6]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1 /*\n*/\n"b": 2}', "s: line 3, column 1: expected JSON"),
        ('{"a": 1,\n\n"a": 2}', "s: line 3: a: expected each key once"),
        ('{"a": yes}', "s: line 1, column 7: expected JSON"),
        ("{a: 1}", "s: line 1, column 2: expected JSON"),
        ('{"a": NaN}', "expected finite numbers"),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(text, expected):
    with pytest.raises(InputError) as caught:
        parse_json_document(text, "s")
    assert expected in str(caught.value)
