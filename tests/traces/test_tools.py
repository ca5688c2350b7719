"""oslat, hwlatdetect, rt-app and ``cyclictest -v``, and telling the tools' files apart."""

import json
from pathlib import Path

import pandas as pd
import pytest

from rtsim.inputs.errors import InputError
from rtsim.measure.distribution import AtLeast
from rtsim.traces.cyclictest import read_cyclictest
from rtsim.traces.hwlatdetect import read_hwlatdetect
from rtsim.traces.measured import Measured, Thread
from rtsim.traces.oslat import read_oslat
from rtsim.traces.reader import iter_samples, read_measured
from rtsim.traces.rtapp import read_rtapp
from rtsim.traces.samples import Sample, collected

CYCLICTEST = Path(__file__).parent / "fixtures"
MEASURED = Path(__file__).parents[2] / "data" / "measured"
RT_TESTS = MEASURED / "rt-tests"
RT_APP = MEASURED / "rt-app"


def written(tmp_path, text):
    path = tmp_path / "measured"
    path.write_text(text)
    return path


def test_the_last_bucket_of_oslat_is_censored():
    for name, core, inside in (("oslat.txt", 1, 429), ("oslat.json", 1, 461)):
        samples = read_oslat(RT_TESTS / name).samples(core)
        assert (samples.censored, samples.limit_ns) == (inside, 32_000)
        assert samples.quantile(0.99999) == AtLeast(32_000)
        assert samples.max_ns > 20_000_000


def test_a_bias_shifts_oslats_last_bucket():
    assert read_oslat(RT_TESTS / "oslat-bias.txt").samples(1).limit_ns == 33_000
    document = read_oslat(RT_TESTS / "oslat-bias.json")
    assert document.samples().limit_ns == 17_000  # 16 buckets and a bias of 1 us
    assert document.system["release"] == "6.1.0-56-rt-amd64"
    assert [thread.cpu for thread in document.threads] == [0, 1]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda text: text[: text.index("Minimum")], "cut off"),
        (lambda text: text.replace("(including overflows)", "").replace("     Maximum:", "     maximum:"), "cut off"),
        (lambda text: text.replace("    010 (us):", "    002 (us):"), "expected buckets in ascending order"),
        (lambda text: text.replace("Average:\t 1.042", "Average:\t 1.042 2"), "one figure for each"),
        (lambda text: text + text, "expected"),
    ],
)
def test_malformed_oslat_text_is_refused(tmp_path, change, expected):
    with pytest.raises(InputError, match=expected):
        read_oslat(written(tmp_path, change((RT_TESTS / "oslat.txt").read_text())))


def test_malformed_oslat_json_is_refused(tmp_path):
    document = json.loads((RT_TESTS / "oslat.json").read_text())
    document["thread"]["0"]["histogram"]["3"] = -1
    with pytest.raises(InputError, match=r"thread\.0\.histogram\.3"):
        read_oslat(written(tmp_path, json.dumps(document)))
    document["thread"] = {}
    with pytest.raises(InputError, match="expected oslat's threads"):
        read_oslat(written(tmp_path, json.dumps(document)))


def test_hwlatdetect_keeps_both_gaps_and_their_time():
    measured = read_hwlatdetect(RT_TESTS / "hwlatdetect.txt")
    assert measured.kinds == ("inner", "outer")
    assert measured.samples(kind="inner").max_ns == 11_977_000
    assert measured.threads[0].counters["latency_threshold"] == 20
    [frame] = iter_samples(RT_TESTS / "hwlatdetect.txt")
    first = frame.iloc[0]
    assert (first["time_ns"], first["kind"], first["value_ns"]) == (1_795_570_484_795_181_210, "inner", 8_033_000)


def test_hwlatdetect_watched_reported_or_without_a_gap():
    assert read_hwlatdetect(RT_TESTS / "hwlatdetect-watch.txt").samples(kind="outer").count == 2
    assert read_hwlatdetect(RT_TESTS / "hwlatdetect.report").samples(kind="outer").count == 3
    none = read_hwlatdetect(RT_TESTS / "hwlatdetect-none.txt")
    assert none.samples(kind="inner").count == 0
    assert none.threads[0].counters["samples_recorded"] == 0


def test_hwlatdetect_with_a_record_missing_is_refused(tmp_path):
    text = (RT_TESTS / "hwlatdetect.txt").read_text()
    with pytest.raises(InputError, match="expected 4 records"):
        read_hwlatdetect(written(tmp_path, text[: text.rindex("ts:")]))
    with pytest.raises(InputError, match="line 16: expected hwlatdetect's output"):
        read_hwlatdetect(written(tmp_path, text.replace("inner:8033", "inner:x")))
    with pytest.raises(InputError, match="found neither"):
        read_hwlatdetect(written(tmp_path, "hwlatdetect: test duration\n"))


def test_rtapp_measures_a_wakeup_only_behind_a_timer():
    probe = read_rtapp(RT_APP / "rtapp-probe-0.log")
    assert probe.threads[0].name == "probe"
    assert probe.kinds == ("latency", "run", "period", "slack")
    assert (probe.samples().min_ns, probe.samples().max_ns) == (70_000, 96_000)
    assert read_rtapp(RT_APP / "rtapp-burst-1.log").kinds == ("run", "period")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda text: text[: text.rindex(" ")], "expected 11 columns"),
        (lambda text: text.replace("wu_lat", "wakeup"), "expected the columns idx"),
        (lambda text: text.replace("#idx", "#"), "expected 11 columns below their names"),
        (lambda text: text.replace(" 10014 ", " 1e4 "), "whole numbers"),
        (lambda text: text.replace(" 10014 ", " 9999999999999999 "), "whole numbers"),
        (lambda text: "\n".join(text.splitlines()[:2]), "expected samples, found none"),
    ],
)
def test_malformed_rtapp_logs_are_refused(tmp_path, change, expected):
    with pytest.raises(InputError, match=expected):
        read_rtapp(written(tmp_path, change((RT_APP / "rtapp-probe-0.log").read_text())))


def test_every_sample_of_verbose_cyclictest_is_counted():
    measured = read_cyclictest(CYCLICTEST / "cyclictest-verbose.txt")
    assert (measured.samples().count, measured.samples().censored) == (30, 0)
    assert (measured.samples().min_ns, measured.samples().max_ns) == (25_000, 72_000)
    two = read_cyclictest(CYCLICTEST / "cyclictest-verbose-ns.txt", unit="ns")
    assert [each.samples.count for each in two.threads] == [20, 18]
    [frame] = iter_samples(CYCLICTEST / "cyclictest-verbose.txt")
    assert len(frame) == 30
    assert frame["time_ns"].isna().all()
    assert frame["number"].tolist() == list(range(30))


def test_a_cut_or_foreign_line_among_samples_is_named(tmp_path):
    lines = (CYCLICTEST / "cyclictest-verbose.txt").read_text().splitlines()
    lines[19] = "       0:      "
    path = written(tmp_path, "\n".join(lines))
    with pytest.raises(InputError, match="line 20: expected 'thread: cycle: latency'"):
        read_cyclictest(path)


def test_samples_come_in_frames_of_bounded_size(tmp_path):
    line = "       0:{:8d}:      {}\n"
    path = written(tmp_path, "".join(line.format(i, i % 7) for i in range(150_000)))
    assert [len(frame) for frame in iter_samples(path)] == [65_536, 65_536, 18_928]
    assert read_cyclictest(path).samples().quantile(0.5) == 3999


def test_too_many_different_values_are_refused(monkeypatch):
    monkeypatch.setattr("rtsim.traces.samples._MOST_VALUES", 10)
    with pytest.raises(InputError, match="at most 10 different values"):
        collected("x", (Sample(None, 0, "latency", i, i) for i in range(11)), 1)


TOOLS = {
    "cyclictest.json": "cyclictest", "cyclictest-histogram.txt": "cyclictest", "cyclictest-plain.txt": "cyclictest",
    "cyclictest-verbose.txt": "cyclictest", "rtla/timerlat-hist-6.1.txt": "timerlat",
    "rtla/timerlat-top-6.12.txt": "timerlat", "rtla/timerlat-top-screen-6.1.txt": "timerlat",
    "rtla/osnoise-hist-6.1.txt": "osnoise", "rtla/osnoise-top-6.1.txt": "osnoise", "rt-tests/oslat.txt": "oslat",
    "rt-tests/oslat.json": "oslat", "rt-tests/hwlatdetect.txt": "hwlatdetect",
    "rt-tests/hwlatdetect.report": "hwlatdetect", "rt-app/rtapp-probe-0.log": "rt-app",
}  # fmt: skip


@pytest.mark.parametrize("name", TOOLS)
def test_the_tool_is_seen_from_the_file(name):
    measured = read_measured((CYCLICTEST if name.startswith("cyclictest") else MEASURED) / name)
    assert measured.tool == TOOLS[name]
    buckets = measured.buckets()
    assert list(buckets.columns) == ["tool", "kind", "thread", "cpu", "lower_ns", "upper_ns", "count", "censored"]
    assert buckets["count"].sum() == sum(each.samples.count for each in measured.threads)
    assert buckets.loc[buckets["censored"], "upper_ns"].isna().all()


def test_files_without_single_samples_are_refused():
    with pytest.raises(InputError, match="expected a file with single samples, found rtla's"):
        next(iter_samples(MEASURED / "rtla/osnoise-hist-6.1.txt"))


def test_threads_with_different_limits_share_the_smallest():
    threads = [
        Thread(0, read_oslat(RT_TESTS / "oslat.txt").samples(), kind="noise"),
        Thread(1, read_oslat(RT_TESTS / "oslat-bias.json").samples(0), kind="noise"),
    ]
    together = Measured("x", tuple(threads)).samples()
    assert together.limit_ns == 17_000
    beyond = [each.samples.counts[each.samples.lower_ns >= 17_000].sum() + each.samples.censored for each in threads]
    assert together.censored == sum(beyond)
    assert together.count == sum(each.samples.count for each in threads)
    assert isinstance(Measured("x", tuple(threads)).buckets(), pd.DataFrame)
