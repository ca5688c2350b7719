"""rtla's histograms and tables, as two versions of it wrote them."""

from pathlib import Path

import pytest

from rtsim.inputs.errors import InputError
from rtsim.measure.distribution import AtLeast
from rtsim.traces.rtla import read_rtla

FIXTURES = Path(__file__).parents[2] / "data" / "measured" / "rtla"


def footer(name, label):
    """The figures behind ``label:``, from the first block of the file."""
    lines = (FIXTURES / name).read_text().splitlines()
    return next(line for line in lines if line.startswith(f"{label}:")).split()[1:]


@pytest.mark.parametrize("name", sorted(path.name for path in FIXTURES.glob("*-hist*")))
def test_every_column_of_a_histogram_holds_what_its_footer_says(name):
    measured = read_rtla(FIXTURES / name)
    step = 1000 if measured.unit == "us" else 1
    for place, thread in enumerate(measured.threads):
        assert thread.samples.count == int(footer(name, "count")[place])
        assert thread.samples.censored == int(footer(name, "over")[place])
        if thread.samples.count:
            assert thread.samples.min_ns == int(footer(name, "min")[place]) * step
            assert thread.samples.max_ns == int(footer(name, "max")[place]) * step


def test_both_layouts_name_their_contexts():
    assert read_rtla(FIXTURES / "timerlat-hist-6.1.txt").kinds == ("irq", "thread")
    assert read_rtla(FIXTURES / "timerlat-hist-noirq-6.1.txt").kinds == ("thread",)
    assert read_rtla(FIXTURES / "timerlat-hist-6.12.txt").kinds == ("irq", "thread", "user")
    assert read_rtla(FIXTURES / "osnoise-hist-6.12.txt").kinds == ("noise",)


def test_the_sums_over_all_cpus_are_not_another_thread():
    measured = read_rtla(FIXTURES / "timerlat-hist-6.12.txt")
    assert [(each.cpu, each.kind) for each in measured.threads] == [
        (0, "irq"), (0, "thread"), (0, "user"), (1, "irq"), (1, "thread"), (1, "user"),
    ]  # fmt: skip
    lines = (FIXTURES / "timerlat-hist-6.12.txt").read_text().splitlines()
    together = [line for line in lines if line.startswith("count:")][1].split()[1:]
    assert [measured.samples(kind=kind).count for kind in measured.kinds] == [int(count) for count in together]


def test_samples_beyond_the_last_entry_are_censored_there():
    told = read_rtla(FIXTURES / "timerlat-hist-6.1.txt", bucket=10, entries=200).samples(0, "thread")
    assert (told.censored, told.limit_ns) == (30, 2_000_000)
    assert told.quantile(0.999) == AtLeast(2_000_000)
    found = read_rtla(FIXTURES / "timerlat-hist-6.1.txt").samples(0, "thread")
    assert (found.censored, found.limit_ns) == (30, 1_970_000)  # its last row is 1960, and rows are 10 us wide
    assert found.quantile(0.5) == told.quantile(0.5) == 69_999


def test_nanoseconds_are_told_by_the_file():
    measured = read_rtla(FIXTURES / "timerlat-hist-ns-6.1.txt")
    assert measured.unit == "ns"
    assert measured.samples(0, "irq").min_ns == 4529
    assert read_rtla(FIXTURES / "timerlat-top-ns-6.1.txt").samples(1, "thread").max_ns == 10_961_988


def test_without_rows_all_samples_are_known_to_be_the_least_or_more():
    measured = read_rtla(FIXTURES / "timerlat-hist-aa-6.12.txt")
    assert measured.samples(0, "thread").quantile(0.5) == AtLeast(2_295_000)
    assert measured.samples(0, "user").count == 0


def test_the_closest_kind_to_a_tasks_latency_is_taken_where_none_is_named():
    measured = read_rtla(FIXTURES / "timerlat-hist-6.12.txt")
    assert measured.samples(1).max_ns == measured.samples(1, "user").max_ns == 75_906_000
    with pytest.raises(InputError, match="kind noise: expected one of irq, thread, user"):
        measured.samples(kind="noise")
    table = measured.latencies()
    assert table.loc["1 thread", "max_us"] == 75_871
    assert table.loc["all irq", "count"] == 3601


def test_top_knows_counts_and_extremes_only():
    measured = read_rtla(FIXTURES / "timerlat-top-6.1.txt")
    thread = measured.samples(1, "thread")
    assert (thread.count, thread.censored, thread.min_ns, thread.max_ns) == (1932, 1932, 16_000, 11_474_000)
    assert measured.latencies().loc["1 thread", "p50_us"] is None
    newer = read_rtla(FIXTURES / "timerlat-top-6.12.txt")
    assert newer.samples(0, "user").max_ns == 20_979_000
    assert len(newer.threads) == 6
    stopped = read_rtla(FIXTURES / "timerlat-top-aa-6.12.txt")
    assert (stopped.samples(0, "irq").count, stopped.samples(0, "thread").count) == (1, 0)


def test_of_a_screen_that_redraws_itself_the_last_drawing_counts():
    assert read_rtla(FIXTURES / "timerlat-top-screen-6.1.txt").samples(0, "irq").count == 1638


def test_osnoise_top_counts_interferences_by_source():
    thread = read_rtla(FIXTURES / "osnoise-top-6.12.txt").threads[0]
    assert thread.counters["irq"] == 302
    assert thread.counters["runtime"] == 2_002_071
    assert thread.samples.max_ns == 28_203_000
    assert thread.samples.count == 0


def test_a_width_that_few_rows_cannot_tell_is_said(tmp_path):
    text = (
        "# RTLA timerlat histogram\n# Time unit is microseconds (us)\nIndex Thr-000\n0 1\n40 1\n"
        "over: 0\ncount: 2\nmin: 3\navg: 20\nmax: 41\n"
    )
    (tmp_path / "few").write_text(text)
    assert "40 us wide" in read_rtla(tmp_path / "few").warnings[0]
    assert read_rtla(tmp_path / "few", bucket=10).warnings == ()
    with pytest.raises(InputError, match="expected rows at multiples of 7"):
        read_rtla(tmp_path / "few", bucket=7)
    with pytest.raises(InputError, match="expected at most 3 entries of 10"):
        read_rtla(tmp_path / "few", bucket=10, entries=3)


SMALL = (FIXTURES / "osnoise-hist-6.12.txt").read_text()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda text: "", "found neither"),
        (lambda text: text[: text.index("over:")], "cut off"),
        (lambda text: text[: text.index("max:")], "expected 'max:'"),
        (lambda text: text.replace("count:   388110", "count:   388111"), "expected 388111 samples"),
        (lambda text: text.replace("20           63       149", "20           63"), "line 7: expected 2 counts"),
        (lambda text: text.replace("20           63", "5           63"), "line 7: expected rows in ascending"),
        (lambda text: text.replace("20           63", "twenty       63"), "line 7: expected a row"),
        (lambda text: text.replace("CPU-001", "CPU-000"), "line 4: expected 'Index' once"),
        (lambda text: text.replace("CPU-001", "XYZ-001"), "line 4: expected 'Index' once"),
        (lambda text: text.replace("Time unit", "Unit"), "Time unit"),
        (lambda text: text.replace("avg:       3.47", "avg:       x"), "expected numbers after 'avg:'"),
        (lambda text: text.replace("avg:       3.47", "avg:       nan"), "expected numbers from 0"),
        (lambda text: text.replace("avg:       3.47", "avg:"), "one number for each"),
        (lambda text: text + text, "one run to a file"),
        (lambda text: text.replace("20           63", "20\0           63"), "zero byte"),
    ],
)
def test_malformed_histograms_end_in_one_line_with_its_place(tmp_path, change, expected):
    (tmp_path / "hist").write_text(change(SMALL))
    with pytest.raises(InputError) as error:
        read_rtla(tmp_path / "hist")
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda text: text.replace("(us)", ""), "unit of the times"),
        (lambda text: text.replace("27        89", "x        89"), "expected cur, min, avg and max of irq"),
    ],
)
def test_malformed_tables_end_in_one_line(tmp_path, change, expected):
    (tmp_path / "top").write_text(change((FIXTURES / "timerlat-top-6.1.txt").read_text()))
    with pytest.raises(InputError, match=expected):
        read_rtla(tmp_path / "top")
