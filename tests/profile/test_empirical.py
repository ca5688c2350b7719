"""Measured distributions from files, in the three forms people have."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtsim.inputs.errors import InputError
from rtsim.profile import read_empirical


def write(folder, text):
    path = folder / "measured.txt"
    path.write_text(text)
    return path


def test_one_value_a_line(tmp_path):
    found = read_empirical(write(tmp_path, "# intervals\n30\n10\n10\n"))
    assert (found.low, found.high, found.weight) == ((10, 30), (10, 30), (2, 1))


def test_values_with_weights_and_a_unit(tmp_path):
    found = read_empirical(write(tmp_path, "# unit: us\n1.5 10\n2 0\n3 5\n"))
    assert (found.low, found.weight) == ((1500, 3000), (10, 5))


HISTOGRAM = """# Histogram
000000 000000\t000000
000001 000003\t000001
000002 000004\t000000
# Total: 000007 000001
# Min Latencies: 00001 00001
# Histogram Overflows: 00000 00000
"""


def test_a_histogram_of_cyclictest(tmp_path):
    found = read_empirical(write(tmp_path, HISTOGRAM))
    assert (found.low, found.high, found.weight) == ((1000, 2000), (2000, 3000), (4, 4))
    table = found.table()
    assert (table[0], table[64], table[-1]) == (1000, 2000, 3000)
    assert np.all(np.diff(table) >= 0)
    assert found.mean_ns == pytest.approx(2000, abs=1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected at least one value with a weight above 0"),
        ("1 0\n", "expected at least one value with a weight above 0"),
        ("1\n-2\n", "line 2: expected numbers of 0 or more, found '-2'"),
        ("1 2\n3\n", "line 2: expected 2 numbers, found 1"),
        ("nan\n", "line 1: expected numbers of 0 or more"),
        ("# unit: fortnights\n1\n", "unit: expected one of ns, us"),
        ("9e18\n", "line 1: expected values up to 2^62 ns"),
        (HISTOGRAM.replace("Overflows: 00000", "Overflows: 00002"), "record again with a larger histogram"),
        ("# Histogram\n1\n2\n", "expected a bucket and at least one count"),
    ],
)
def test_refused(tmp_path, text, message):
    with pytest.raises(InputError) as refused:
        read_empirical(write(tmp_path, text))
    assert message in str(refused.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.text(alphabet="0123456789 .e-\n#\tunit:s", max_size=60))
def test_any_text_is_read_or_refused(tmp_path, text):
    with suppress(InputError):
        found = read_empirical(write(tmp_path, text))
        assert found.min_ns <= found.mean_ns + 1 <= found.max_ns + 2
