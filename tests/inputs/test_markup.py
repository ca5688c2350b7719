"""XML, JSON and YAML from strangers: what is well-formed is read, everything else is refused in one line."""

import json
from contextlib import suppress

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rtsim.inputs.errors import InputError
from rtsim.inputs.json import load_json, parse_json
from rtsim.inputs.xml import line_of, parse_xml, parse_xml_text
from rtsim.inputs.yaml import load_yaml, parse_yaml

BOMB = '<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;&x;">]>\n<a>&y;</a>'


def test_xml_elements_know_their_line(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text("<a>\n  <b/>\n</a>\n")
    assert line_of(parse_xml(path)[0]) == "line 2: <b>"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<a>\n<b></a>", "x.xml: line 2, column 6: expected well-formed XML: mismatched tag"),
        ("", "x.xml: line 1, column 1: expected well-formed XML: no element found"),
        (BOMB, "x.xml: line 1: expected XML without document type and entities"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "x.xml: line 1: expected XML without document type"),
        ("<a>\n" * 101, "x.xml: line 101: expected at most 100 levels of elements"),
        ("<a>\ud800</a>", "x.xml: expected XML in UTF-8"),
    ],
)
def test_refused_xml(text, message):
    with pytest.raises(InputError) as refused:
        parse_xml_text(text, "x.xml")
    assert str(refused.value).startswith(message)


@given(st.text(alphabet="<>/abc='\"&;! \n", max_size=40))
def test_any_text_is_xml_or_refused(text):
    with suppress(InputError):
        parse_xml_text(text, "x.xml")


def test_json_is_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": [1, 2.5, "x", null, true]}')
    assert load_json(path) == {"a": [1, 2.5, "x", None, True]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{\n"a": }', "line 2, column 6: expected JSON: Expecting value"),
        ('{"a": 1, "a": 2}', "found 'a' twice"),
        ("[NaN]", "expected finite numbers, found NaN"),
        ("[-Infinity]", "expected finite numbers"),
        ("[1e999]", "expected finite numbers"),
        ("[" * 100_000, "expected at most 100 levels"),
        ("[" * 150 + "]" * 150, "expected at most 100 levels"),
        ('{"a":' * 150 + "1" + "}" * 150, "expected at most 100 levels"),
        ("1" * 5000, "expected numbers of at most 40 digits"),
        ("", "expected JSON"),
    ],
)
def test_refused_json(text, message):
    with pytest.raises(InputError) as refused:
        parse_json(text, "x.json")
    assert str(refused.value).startswith("x.json: ")
    assert message in str(refused.value)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(-1e300, 1e300) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_json_round_trip(value):
    assert parse_json(json.dumps(value), "x.json") == value


def test_yaml_values_know_their_line(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("guests:\n  - name: a\n    flavor:\n      vcpus: 4\n")
    document = load_yaml(path)
    assert document.data == {"guests": [{"name": "a", "flavor": {"vcpus": 4}}]}
    assert document.line(("guests", 0, "flavor", "vcpus")) == 4
    assert document.line(("guests", 0, "flavor", "unknown")) == 3


def test_yaml_scalars_follow_the_core_schema():
    text = "[yes, no, on, 1:30, 2026-01-01, 007, 0x10, 0o10, 1e3, .5, -7, ~, true, 'true', 1_000, x]"
    expected = ["yes", "no", "on", "1:30", "2026-01-01", 7, 16, 8, 1000.0, 0.5, -7, None, True, "true", "1_000", "x"]
    assert parse_yaml(text, "x").data == expected


def test_yaml_keys_are_text():
    assert parse_yaml("{1: a, true: b, x: c}", "x").data == {"1": "a", "true": "b", "x": "c"}


def test_yaml_aliases_repeat_values():
    assert parse_yaml("a: &x [1]\nb: *x\n", "x").data == {"a": [1], "b": [1]}


NINE_LEVELS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "line 3: a: expected each key once"),
        ("a: {b: 1, b: 2}", "line 1: a.b: expected each key once"),
        ("a: [1\n", "expected YAML"),
        ("a: 1\n---\nb: 2", "line 2: expected one document"),
        ("a: !!python/object/apply:os.system [x]", "expected plain YAML"),
        ("a: !!python/name:os.system ''", "expected plain YAML"),
        ("a: &a [*a]", "expected an anchor that is complete"),
        ("a: *b", "expected an anchor that is complete"),
        ("[a, b]: 1", "expected a text as key"),
        ("a: .nan", "line 1: expected finite numbers"),
        ("a: -.inf", "line 1: expected finite numbers"),
        ("a: 1e999", "line 1: expected finite numbers"),
        ("[" * 100_000, "line 1, column 1001: expected at most 100 levels"),
        ("a: \0", "expected YAML"),
        (NINE_LEVELS, "aliases written out"),
        ("a:\tb: c", "expected YAML"),
    ],
)
def test_refused_yaml(text, message):
    with pytest.raises(InputError) as refused:
        parse_yaml(text, "x.yaml")
    assert str(refused.value).startswith("x.yaml: ")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@given(st.text(alphabet="ab:-[]{}&*!|>'\"# \n,1.", max_size=40))
def test_any_text_is_yaml_or_refused(text):
    with suppress(InputError):
        parse_yaml(text, "x.yaml")


@settings(max_examples=50)
@given(values)
def test_what_a_yaml_library_writes_is_read_back(value):
    def text_keys(item):
        if isinstance(item, dict):
            return {key: text_keys(inner) for key, inner in item.items()}
        return [text_keys(inner) for inner in item] if isinstance(item, list) else item

    assert parse_yaml(yaml.safe_dump(value), "x.yaml").data == text_keys(value)


def test_a_large_file_is_refused_unread(tmp_path):
    path = tmp_path / "large.yaml"
    path.write_text("#" * (5 * 1024 * 1024))
    with pytest.raises(InputError, match="expected at most 4 MiB"):
        load_yaml(path)
