"""The report: one file, nothing fetched, everything escaped, readable errors."""

import copy
import json
import re
from html.parser import HTMLParser

import pytest

from rtsim.inputs.errors import InputError
from rtsim.report.html import ranking_table, report_page, write_report
from rtsim.report.markup import Html, escape, microseconds, table
from tests.report import synthetic

VOID = {"meta", "img", "source", "br", "link"}


class Checker(HTMLParser):
    """Collects text, tags and addresses, and sees that every tag is closed where it was opened."""

    def __init__(self, page):
        super().__init__()
        self.open, self.addresses, self.tags, self.text = [], [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for key, value in attributes if key in ("src", "srcset", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def comparison():
    return synthetic.comparison()


@pytest.fixture(scope="module")
def comparison_page(comparison):
    return report_page(comparison)


@pytest.fixture(scope="module")
def result():
    return synthetic.result()


@pytest.fixture(scope="module")
def result_page(result):
    return report_page(result)


@pytest.mark.parametrize("name", ["comparison_page", "result_page"])
def test_nothing_is_fetched_and_every_tag_is_closed(name, request):
    checker = Checker(request.getfixturevalue(name))
    assert checker.addresses
    assert all(address.startswith("data:image/svg+xml;base64,") for address in checker.addresses)
    assert not {"script", "link", "iframe"} & set(checker.tags)
    style = "".join(checker.text)
    assert "@import" not in style
    assert "url(" not in style


@pytest.mark.parametrize("name", ["comparison_page", "result_page"])
def test_pictures_fit_the_screen_and_its_brightness(name, request):
    page = request.getfixturevalue(name)
    assert 'name="viewport" content="width=device-width' in page
    for figure in re.findall(r"<picture>.*?</picture>", page):
        media = re.findall(r'media="([^"]+)"', figure)
        assert media == [
            "(max-width: 640px) and (prefers-color-scheme: dark)",
            "(max-width: 640px)",
            "(prefers-color-scheme: dark)",
        ]
        assert re.search(r'alt="[^"]{20,}"', figure)


def test_the_comparison_tells_ranks_prices_ties_reasons_and_refusals(comparison, comparison_page):
    text = " ".join(Checker(comparison_page).text)
    for row in comparison["rows"]:
        assert row["name"] in text
        assert (row["refused"] or row["why"]) in text
    assert "Best p99.99 latency of realtime4/cyclictest" in text
    assert "RealtimeMaskNotFoundOrInvalid" in text
    first = comparison["rows"][0]
    assert microseconds(first["value_ns"]) in text
    assert first["tied_with"]
    assert f"Tied with it: {'; '.join(first['tied_with'])}." in text


def test_the_ranking_has_one_line_a_variant(comparison):
    checker = Checker(ranking_table(comparison))
    assert checker.tags.count("tr") == 1 + len(comparison["rows"])


def test_the_ten_worst_samples_are_told_as_stories(result, result_page):
    text = " ".join(Checker(result_page).text)
    worst = max(result["tasks"]["realtime4/cyclictest"]["worst"], key=lambda each: each["latency_ns"])
    assert f"{microseconds(worst['latency_ns'])} µs" in text
    assert "released while CPU 5 ran an SMI" in text
    first = result_page[result_page.index("<ol") : result_page.index("</ol>")]
    assert first.count("<li>") == 10


def test_scenario_and_provenance_are_in_the_report(result_page):
    text = " ".join(Checker(result_page).text)
    assert '"cpu_dedicated_set": "2-15"' in text
    assert "isolcpus=2-15 nohz_full=2-15" in text
    assert "0.1.0" in text


def test_the_same_result_gives_the_same_bytes(result, result_page):
    assert report_page(copy.deepcopy(result)) == result_page


def test_names_from_the_file_are_escaped():
    evil = "<script>alert(1)</script>&\"'"
    result = synthetic.result()
    task = result["tasks"].pop("realtime4/cyclictest/2")
    task["worst"][0]["story"] = evil
    task["causes_ns"][evil] = 1000
    task["policy"] = evil
    result["tasks"] = {evil: task}
    result["scenario"] = {"name": evil, "host": {"kernel": {"release": evil}}}
    result["bounds"] = {evil: {"rtsl_ns": 1}}
    page = report_page(result)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    Checker(page)


def test_a_result_without_samples_has_a_page_too():
    result = synthetic.result()
    empty = {"count": 0, "min_ns": None, "mean_ns": None, "max_ns": None, "quantiles_ns": {}, "histogram": []}
    result["tasks"] = {"vcpu0": {"latency": empty, "causes_ns": {}, "worst": []}}
    assert "<picture>" not in report_page(result)


def test_a_comparison_of_refusals_only_has_a_page_too(comparison):
    refused = [row for row in comparison["rows"] if row["refused"]]
    page = report_page({**comparison, "rows": refused, "variants": {}})
    assert "Nova refuses every variant" in page


def test_of_many_tasks_the_measured_ones_come_first_and_none_is_lost(result):
    many = copy.deepcopy(result)
    emulator = many["tasks"]["realtime4/emulator"]
    starved = {**emulator, "latency": {**emulator["latency"], "count": 0}}
    others = {f"other{number}": emulator for number in range(30)}
    many["tasks"] = {"starved": starved, **others, **many["tasks"]}
    page = report_page(many)
    shown, _, folded = page.partition("more tasks</summary>")
    assert "<title>Predicted scheduling latency of realtime4/cyclictest<" in page
    assert "realtime4/cyclictest/2" in shown
    assert "starved" not in shown
    assert "starved" in folded[: folded.index("</details>")]
    assert "other29" in folded[: folded.index("</details>")]


def test_files_in_and_out(tmp_path, result, result_page):
    (tmp_path / "result.json").write_text(json.dumps(result))
    write_report(tmp_path / "result.json", tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text() == result_page


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "line 1: expected JSON"),
        ("[]", "expected the JSON object"),
        ("[" * 100_000, "nesting"),
        ('{"schema": 2, "tasks": {}}', "schema: expected 1, found 2"),
        ('{"schema": 1}', "expected the tasks of a result"),
        ('{"schema": 1, "tasks": {"a": {}}}', "expected a complete result"),
        ('{"schema": 1, "tasks": {"a": {"latency": {}}}, "rtsim": "1", "scenario": {}}', "'count' is missing"),
        (
            '{"schema": 1, "tasks": {"a": {"latency": {"count": 1e400}}}, "rtsim": "1", "scenario": {}}',
            "expected a complete result",
        ),
        (
            '{"schema": 1, "tasks": {}, "rtsim": "1", "scenario": {}, "warnings": "abc"}',
            "warnings are no list of texts",
        ),
        ('{"schema": 1, "tasks": 5, "rtsim": "1", "scenario": {}}', "expected a complete result"),
        ('{"schema": 1, "rows": [], "variants": {}}', "'rank_by' is missing"),
    ],
)
def test_what_is_no_result_ends_in_one_line_and_writes_nothing(tmp_path, text, expected):
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(InputError) as error:
        write_report(tmp_path / "result.json", tmp_path / "report.html")
    assert expected in str(error.value)
    assert "result.json" in str(error.value)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (7321, "7.32"), (12_345, "12.3"), (949_121_000, "949\u202f121"), (0, "0.00")],
)
def test_times_are_written_in_microseconds(value, text):
    assert microseconds(value) == text


def test_differences_carry_their_sign():
    assert microseconds(-3100, sign=True) == "−3.10"
    assert microseconds(3100, sign=True) == "+3.10"


def test_markup_stays_and_text_is_escaped():
    assert escape("<b>") == "&lt;b&gt;"
    assert escape(Html("<b>")) == "<b>"
    assert 'data-name="&lt;i&gt;"' in table(["a", "<i>"], [["x", 1]])
