"""Reading cyclictest: every form it prints, what is censored, and one line for what it cannot be."""

import contextlib
import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtsim.inputs.errors import InputError
from rtsim.measure.distribution import AtLeast
from rtsim.traces.cyclictest import read_cyclictest

FIXTURES = Path(__file__).parent / "fixtures"
RECORDED = Path(__file__).parents[2] / "data" / "recorded"


def written(tmp_path, text):
    path = tmp_path / "cyclictest.txt"
    path.write_text(text)
    return path


SMALL = """# Histogram
000006 000002\t000000
000007 000003\t000004
# Total: 000000005 000000004
# Min Latencies: 00006 00007
# Avg Latencies: 00006 00007
# Max Latencies: 00007 00007
# Histogram Overflows: 00000 00000
"""


def test_histogram_text(tmp_path):
    measured = read_cyclictest(written(tmp_path, SMALL))
    first = measured.threads[0].samples
    assert first.to_dist()["histogram"] == [[6000, 7000, 2], [7000, 8000, 3]]
    assert (first.count, first.censored, first.limit_ns) == (5, 0, None)
    assert (first.min_ns, first.mean_ns, first.max_ns) == (6000, 6000.0, 7000)
    assert measured.samples().to_dist()["histogram"] == [[6000, 7000, 2], [7000, 8000, 7]]


def test_the_real_histogram_with_overflows_is_censored_at_its_limit():
    measured = read_cyclictest(FIXTURES / "cyclictest-histogram-overflow.txt")
    assert [(t.samples.count, t.samples.censored) for t in measured.threads] == [(4975 + 21, 21), (4982 + 16, 16)]
    together = measured.samples()
    assert together.limit_ns == 90_000
    assert together.quantile(0.99) == 84_999
    assert together.quantile(0.999) == AtLeast(90_000)
    assert together.to_dist()["quantiles_ns"]["0.999"] is None
    assert together.max_ns == 2_702_000
    table = measured.latencies()
    assert table.loc["all", "p99_us"] == 84
    assert table.loc["all", "p99.9_us"] == ">= 90 us"


def test_leaving_the_censored_samples_out_would_move_the_quantile():
    together = read_cyclictest(FIXTURES / "cyclictest-histofall-overflow.txt").samples()
    assert together.censored == 115
    assert together.quantile(0.99) == AtLeast(90_000)  # of the bins alone it would be 87 us


@pytest.mark.parametrize("name", ["cyclictest-histofall.txt", "cyclictest-histofall-overflow.txt"])
def test_the_summary_column_of_histofall_is_no_thread(name):
    measured = read_cyclictest(FIXTURES / name)
    text = (FIXTURES / name).read_text()
    assert len(measured.threads) == 2
    totals = next(line for line in text.splitlines() if line.startswith("# Total:")).split()[2:]
    together = measured.samples()
    assert together.count - together.censored == int(totals[2])
    overflows = next(line for line in text.splitlines() if line.startswith("# Histogram Overflows:")).split()[3:]
    assert together.censored == int(overflows[2])


def test_json_knows_cpu_command_line_and_kernel():
    measured = read_cyclictest(FIXTURES / "cyclictest.json")
    assert [thread.cpu for thread in measured.threads] == [0, 1]
    assert measured.cmdline.startswith("cyclictest -m -S")
    assert measured.system["release"] == "6.18.44"
    assert measured.samples().censored == 0
    assert measured.samples(1).max_ns == 2_418_000


def test_json_without_overflow_count_is_censored_by_the_cycles():
    path = FIXTURES / "cyclictest-overflow.json"
    body = json.loads(path.read_text())["thread"]["1"]
    thread = read_cyclictest(path).samples(1)
    assert thread.count == body["cycles"] == 4996
    assert thread.censored == 4996 - sum(body["histogram"].values()) > 0
    assert thread.limit_ns == 90_000
    assert thread.max_ns == 1_377_000


def test_json_without_its_command_line_is_censored_beyond_the_last_bin(tmp_path):
    document = json.loads((FIXTURES / "cyclictest-overflow.json").read_text())
    del document["cmdline:"]
    assert read_cyclictest(written(tmp_path, json.dumps(document))).samples().limit_ns == 90_000


@pytest.mark.parametrize(
    "option", ["-h 90", "-h90", "-H 90", "-qh 90", "--histogram=90", "--histofall 90", "-m -q -h90 -i 200"]
)
def test_the_limit_is_read_from_the_command_line(tmp_path, option):
    thread = {"histogram": {"7": 3}, "cycles": 5, "min": 7, "max": 200, "avg": 50.0}
    document = {"cmdline:": f"cyclictest -p95 {option}", "thread": {"0": thread}}
    assert read_cyclictest(written(tmp_path, json.dumps(document))).samples().limit_ns == 90_000


def test_without_histogram_only_the_extremes_are_known():
    for name in ("cyclictest-nohist.json", "cyclictest-plain.txt"):
        measured = read_cyclictest(FIXTURES / name)
        assert measured.samples(0).count == measured.samples(0).censored
        assert measured.latencies().loc["0", "p50_us"] is None
    plain = measured.samples(1)
    assert (plain.count, plain.min_ns, plain.mean_ns, plain.max_ns) == (3332, 15_000, 65_000, 114_000)


def test_nanoseconds_are_told_for_text_and_read_from_json(tmp_path):
    assert read_cyclictest(FIXTURES / "cyclictest-plain-ns.txt", unit="ns").samples(0).min_ns == 62_042
    document = json.loads((FIXTURES / "cyclictest-nohist.json").read_text())
    document["cmdline:"] = "cyclictest -N -q"
    measured = read_cyclictest(written(tmp_path, json.dumps(document)))
    assert (measured.unit, measured.samples(0).max_ns) == ("ns", 6957)


def test_status_lines_and_escapes_before_the_histogram_are_passed_over(tmp_path):
    status = "T: 0 ( 6930) P: 0 I:1000 C:   4994 Min:     62 Act:   66 Avg:   69 Max:    2891\n"
    measured = read_cyclictest(written(tmp_path, "# model name : ARMv7\n\x1b[2A" + status + SMALL + "\n-->\n"))
    assert measured.samples(0).count == 5


def test_newer_versions_print_no_total_and_shorten_the_overflow_cycles(tmp_path):
    text = "\n".join(line for line in SMALL.splitlines() if "Total" not in line).replace(
        "Overflows: 00000", "Overflows: 00012"
    )
    text += (
        "\n# Histogram Overflow at cycle number:\n# Thread 0: 02985"
        + " 06044" * 20_000
        + " # 00012 others\n# Thread 1:\n"
    )
    measured = read_cyclictest(written(tmp_path, text))
    assert [thread.samples.censored for thread in measured.threads] == [12, 0]


def recorded_pairs():
    return sorted(path.parent for path in RECORDED.glob("**/cyclictest.json"))


@pytest.mark.parametrize("folder", recorded_pairs(), ids=lambda folder: str(folder.relative_to(RECORDED)))
def test_recorded_text_and_json_of_one_run_agree(folder):
    text, document = read_cyclictest(folder / "cyclictest.txt"), read_cyclictest(folder / "cyclictest.json")
    a, b = text.samples(), document.samples()
    assert a.to_dist()["histogram"] == b.to_dist()["histogram"]
    assert (a.count, a.censored, a.min_ns, a.max_ns) == (b.count, b.censored, b.min_ns, b.max_ns)
    assert a.mean_ns == b.mean_ns // 1000 * 1000  # the text rounds down


def test_there_are_recorded_runs():
    assert len(recorded_pairs()) == 21


def test_a_recorded_starvation_is_censored_not_lost():
    samples = read_cyclictest(RECORDED / "native-6.18-eevdf/cyc-other-hog1-batch/r1/cyclictest.json").samples()
    assert (samples.count, samples.censored, samples.limit_ns, samples.max_ns) == (9663, 1, 60_000_000, 949_121_000)
    assert samples.quantile(0.9999) == AtLeast(60_000_000)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda text: "", "found none of them"),
        (lambda text: "hello\nworld\n", "found none of them"),
        (lambda text: text[: text.index("# Total")], "cut off"),
        (lambda text: text[: text.index("# Max")], "cut off"),
        (lambda text: text[: text.index("# Histogram Ov")].replace("Latencies: 00007", "Latencies: 9"), "Overflows"),
        (lambda text: text.replace("000007 000003\t000004", "000007 000003"), "line 3: expected 2 counts"),
        (lambda text: text.replace("000007 000003", "000005 000003"), "line 3: expected bins in ascending order"),
        (lambda text: text.replace("000007 000003", "000007 -3"), "line 3: expected a bin"),
        (lambda text: text.replace("000007 000003", "9999999 000003"), "line 3: expected bins"),
        (lambda text: text.replace("Total: 000000005", "Total: 000000006"), "thread 0: expected 6 samples"),
        (lambda text: text.replace("Min Latencies: 00006 00007", "Min Latencies: 00006 x"), "line 5"),
        (lambda text: text.replace("Avg Latencies: 00006 00007", "Avg Latencies: 00006"), "expected 2 threads"),
        (lambda text: text.replace("Avg Latencies: 00006 00007", "Avg Latencies: 00006 00007 00008"), "line 6"),
        (lambda text: text + text, "one run to a file"),
        (lambda text: "x" * 200_000 + "\n" + text, "line 1: expected lines of at most"),
        (lambda text: "# Total: 1 2\n" + text, "line 1: expected histogram bins before"),
        (lambda text: text.replace("000003\t", "9" * 17 + "\t").replace("# Total", "# total"), "at most"),
    ],
)  # fmt: skip
def test_malformed_text_ends_in_one_line_with_its_place(tmp_path, change, expected):
    with pytest.raises(InputError) as error:
        read_cyclictest(written(tmp_path, change(SMALL)))
    assert expected in str(error.value)
    assert str(error.value).startswith(str(tmp_path))
    assert "\n" not in str(error.value)


def test_a_summary_column_that_is_no_sum_is_refused(tmp_path):
    text = (FIXTURES / "cyclictest-histofall.txt").read_text()
    filled = next(line for line in text.splitlines() if line.startswith("000064"))
    with pytest.raises(InputError, match="bin 64: expected the last column to be the sum"):
        read_cyclictest(written(tmp_path, text.replace(filled, filled[:-1] + str((int(filled[-1]) + 1) % 10))))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "line 1: expected JSON"),
        ("{}", "thread: expected"),
        ('{"thread": []}', "thread: expected"),
        ('{"thread": {"0": 5}}', "thread.0"),
        ('{"thread": {"x": {}}}', "thread.x"),
        ('{"thread": {"0": {"histogram": {"a": 1}}}}', "thread.0.histogram: expected a whole number"),
        ('{"thread": {"0": {"histogram": {"1": -1}}}}', "thread.0.histogram.1"),
        ('{"thread": {"0": {"histogram": {"1": 5}, "cycles": 3, "min": 1, "max": 1, "avg": 1}}}', "thread.0.cycles"),
        ('{"thread": {"0": {"histogram": {"1": 5}, "cycles": 5, "min": 1, "max": 1, "avg": NaN}}}', "thread.0.avg"),
        ('{"thread": {"0": {"histogram": {"1": 5}, "cycles": 5, "min": 1, "max": 1, "avg": true}}}', "thread.0.avg"),
        (
            '{"cmdline:": "cyclictest -h 3", "thread": {"0": {"histogram": {"7": 1}, "cycles": 1}}}',
            "below the limit of 3",
        ),
        ('{"thread": ' + "[" * 100_000, "nesting"),
        ('{"thread": ' + "9" * 10_000 + "}", "numbers"),
    ],
)
def test_malformed_json_ends_in_one_line_with_its_place(tmp_path, text, expected):
    with pytest.raises(InputError) as error:
        read_cyclictest(written(tmp_path, text))
    assert expected in str(error.value)


def test_what_is_no_text_or_not_there_is_named(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        read_cyclictest(tmp_path / "binary")
    with pytest.raises(InputError, match="readable"):
        read_cyclictest(tmp_path / "missing")
    with pytest.raises(InputError, match="thread 7: expected one of 0, 1"):
        read_cyclictest(FIXTURES / "cyclictest.json").samples(7)


ORIGINALS = [path.read_text() for path in sorted(FIXTURES.glob("cyclictest*overflow*"))] + [SMALL]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(ORIGINALS), st.data())
def test_damaged_files_are_read_or_refused(tmp_path, text, data):
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 40)))
        text = text[:start] + data.draw(st.text('0123456789 \t\n#:{}"-xT.', max_size=6)) + text[end:]
    with contextlib.suppress(InputError):
        measured = read_cyclictest(written(tmp_path, text))
        measured.latencies()
        measured.samples().to_dist()


# ---- the unit --------------------------------------------------------------------------------------------------------

STATUS = "T: {0} ( 1) P:80 I:{1} C: {2} Min: {3} Act: 5 Avg: {4} Max: {5}\n"


@pytest.mark.parametrize(
    ("threads", "warned"),
    [
        ([(1000, 2000, 1001, 2000, 3000)], "thread 0's smallest latency, 1001, read as us is longer than its interval"),
        ([(1000, 2000, 3, 1200, 3000)], None),  # a starved thread
        ([(1000, 2000, 3, 1200, 3000), (1000, 2000, 3, 4, 5)], None),  # so is one of two alike
        ([(1000, 2000, 3, 4, 5), (1500, 1333, 3, 1600, 9000)], "thread 1's mean latency, 1600, .* it missed none"),
        ([(1000, 2000, 3, 4, 5), (1500, 900, 3, 1600, 9000)], None),  # 1.35 s of 2: it missed cycles
        ([(1000, 2000, 3, 90, 3_000_000), (1500, 1333, 3, 4, 5)], "largest latency, 3000000, .* run \\(2000000 us\\)"),
        ([(0, 2000, 3, 90, 100)], None),
    ],
)
def test_latencies_that_cannot_be_microseconds_are_told(threads, warned, tmp_path):
    path = written(tmp_path, "".join(STATUS.format(number, *rest) for number, rest in enumerate(threads)))
    if warned is None:
        assert read_cyclictest(path).warnings == ()
    else:
        (warning,) = read_cyclictest(path).warnings
        assert re.search(rf"{warned}.* say unit='ns' \(--unit ns\)", warning)
        assert read_cyclictest(path, unit="us").warnings == ()
        assert read_cyclictest(path, unit="ns").warnings == ()


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("cyclictest*")), ids=lambda path: path.name)
def test_of_real_runs_those_in_nanoseconds_are_told_of(path):
    assert len(read_cyclictest(path).warnings) == ("-ns." in path.name)


def test_another_unit_is_refused():
    with pytest.raises(InputError, match="unit: expected us or ns, found 'ms'"):
        read_cyclictest(FIXTURES / "cyclictest-plain.txt", unit="ms")
