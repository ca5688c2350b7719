"""Copies of /proc/interrupts: read, compared, and what they tell of each interrupt."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtsim.inputs.errors import InputError
from rtsim.kernel.devices import InterruptCounts, interrupt_rates, read_interrupts, read_irq_affinity

RECORDED = Path("data/recorded/kernel-6.1-isolated/sysinfo/interrupts_end")
BEFORE = """\
           CPU0       CPU2
  0:         42          0  IR-IO-APIC    2-edge      timer
 33:        100         10  IR-PCI-MSI-0000:3b:00.0    0-edge      eth0-TxRx-0
 34:       1000       2000  IR-PCI-MSI 524288-edge      nvme0q1
 35:          7          7  IR-PCI-MSI-0000:3c:00.0    1-edge
 36:          0          0   PCI-MSI 65536-edge      xhci_hcd, ehci_hcd:usb1
LOC: 4294967290      50000   Local timer interrupts
ERR:          0
"""
AFTER = BEFORE.replace("100         10", "300         10").replace("1000       2000", "1000       2050")
AFTER = AFTER.replace("4294967290      50000", "         4      50100").replace("7          7", "7          9")


@pytest.fixture
def copies(tmp_path):
    def read(before=BEFORE, after=AFTER):
        for name, text in (("before", before), ("after", after)):
            (tmp_path / name).write_text(text)
        return read_interrupts(tmp_path / "before"), read_interrupts(tmp_path / "after")

    return read


def test_a_recorded_copy():
    counts = read_interrupts(RECORDED)
    assert counts.cpus == (0, 1, 2, 3)
    assert counts.counts["0"] == (1159529, 0, 0, 0)
    assert (counts.names["0"], counts.names["LOC"]) == ("timer", "Local timer interrupts")
    assert counts.counts["CAL"] == (46, 3521, 3038, 3969)
    assert "ERR" not in counts.counts


def test_rates_between_two_copies(copies):
    found = {each.irq: each for each in interrupt_rates(*copies(), 10 * 10**9)}
    assert {irq: dict(each.rates_hz) for irq, each in found.items()} == {
        "33": {0: 20.0},
        "34": {2: 5.0},
        "35": {2: 0.2},
        "LOC": {0: 1.0, 2: 10.0},  # the first counter passed 2^32
    }
    assert [each.name for each in found.values()] == ["eth0-TxRx-0", "nvme0q1", "irq 35", "Local timer interrupts"]
    assert [each.is_device for each in found.values()] == [True, True, True, False]


def test_several_handlers_of_one_interrupt(copies):
    assert copies()[0].names["36"] == "xhci_hcd, ehci_hcd:usb1"


@pytest.mark.parametrize(
    ("name", "managed"),
    [
        ("nvme0q1", True), ("nvme0q0", False), ("nvme12q31", True), ("virtio2-req.3", True), ("virtio0-input.0", False),
        ("mpt3sas0-msix4", True), ("eth0-TxRx-0", False), ("mlx5_comp3@pci:0000:3b:00.0", False), ("timer", False),
    ],
)  # fmt: skip
def test_queues_that_the_kernel_spreads(copies, name, managed):
    after = AFTER.replace("nvme0q1", name)
    found = {each.irq: each for each in interrupt_rates(*copies(BEFORE, after), 10**9)}
    assert found["34"].is_managed == managed


def test_where_an_interrupt_may_go(copies, tmp_path):
    for irq, cpus in (("33", "0"), ("34", "0,2"), ("default_smp_affinity", "")):
        folder = tmp_path / "irq" / irq
        folder.mkdir(parents=True)
        (folder / "smp_affinity_list").write_text(f"{cpus}\n")
    found = interrupt_rates(*copies(), 10**9, read_irq_affinity(tmp_path / "irq"))
    assert [each.affinity for each in found] == [{0}, {0, 2}, None, None]


def test_an_interrupt_requested_in_between(copies):
    after = AFTER + " 40:         30          0  IR-PCI-MSI 1-edge      late\n"
    assert dict(interrupt_rates(*copies(BEFORE, after), 10**9)[-1].rates_hz) == {0: 30.0}


@pytest.mark.parametrize(
    ("before", "after", "elapsed", "message"),
    [
        (AFTER, BEFORE, 10**9, "expected counts not below those of"),
        (BEFORE, BEFORE.replace("CPU2", "CPU3"), 10**9, "line 1: expected the CPUs of"),
        (BEFORE, AFTER, 0, "expected some time between the copies"),
        ("", AFTER, 10**9, "line 1: expected the columns CPU0 CPU1"),
        ("CPU0 CPU0\n", AFTER, 10**9, "line 1: expected each CPU once"),
        (BEFORE + "what is this\n", AFTER, 10**9, "line 9: expected IRQ: COUNTS DESCRIPTION, found 'what is this'"),
    ],
)
def test_refused(copies, before, after, elapsed, message):
    with pytest.raises(InputError) as refused:
        interrupt_rates(*copies(before, after), elapsed)
    assert message in str(refused.value)


def test_refused_affinity(tmp_path):
    with pytest.raises(InputError, match="nowhere: expected a folder"):
        read_irq_affinity(tmp_path / "nowhere")
    (tmp_path / "5").mkdir()
    (tmp_path / "5" / "smp_affinity_list").write_text("x")
    with pytest.raises(InputError, match="smp_affinity_list: expected a CPU list"):
        read_irq_affinity(tmp_path)


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 10**6)), min_size=1, max_size=4))
def test_counts_that_wrap_give_the_same_rates(pairs):
    cpus = tuple(range(len(pairs)))
    before = InterruptCounts("b", cpus, {"LOC": tuple(start for start, _ in pairs)}, {"LOC": "l"})
    after = InterruptCounts("a", cpus, {"LOC": tuple((start + n) % 2**32 for start, n in pairs)}, {"LOC": "l"})
    found = interrupt_rates(before, after, 10**9)
    rates = dict(found[0].rates_hz) if found else {}
    assert rates == {cpu: float(n) for cpu, (_, n) in zip(cpus, pairs, strict=True) if n}
