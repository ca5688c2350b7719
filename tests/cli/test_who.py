"""``rtsim who``: what it prints for a CPU, what it writes, and how it refuses."""

import json
import re

import pytest

from rtsim.cli import status

SMT4 = "data/scenarios/smt4.yaml"


@pytest.fixture
def who(capsys, monkeypatch):
    """Run the command; return (exit status, standard output, standard error)."""
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments):
        ended = status(["who", *map(str, arguments)])
        captured = capsys.readouterr()
        return ended, captured.out, captured.err

    return run


def test_the_cpu_of_a_realtime_vcpu(who):
    ended, out, err = who(SMT4, "--cpu", 3)
    assert (ended, err) == (0, "")
    assert "What runs on CPU 3 beside realtime4/vcpu3, fifo 1" in out
    assert re.search(r"migration/3 +thread +stop +takes it +on demand", out)
    assert re.search(r"kworker/3:\*H +thread +other -20 +waits", out)
    assert re.search(r"sched_rt_runtime_us=-1 +RT throttling", out)
    assert "warning: CPU 2, the other thread of this core, runs realtime4/vcpu2" in out
    assert "realtime4/vcpu3 " not in out


def test_a_housekeeping_cpu(who):
    _, out, _ = who(SMT4, "--cpu", 1)
    assert "beside realtime4/vcpu1, other" in out
    assert re.search(r"realtime4/emulator +thread +other +takes turns", out)
    assert re.search(r"irqaffinity +eth0, net-rx", out)


def test_a_thread_of_another_policy(who):
    _, out, _ = who(SMT4, "--cpu", 3, "--policy", "fifo", "--priority", 60)
    assert "What runs on CPU 3 beside fifo 60" in out
    assert re.search(r"realtime4/vcpu3 +thread +fifo 1 +waits", out)
    _, out, _ = who(SMT4, "--cpu", 3, "--policy", "other")
    assert re.search(r"kworker +thread +other +takes turns", out)


@pytest.mark.parametrize("width", [80, 100, 160])
def test_no_name_is_broken_and_no_line_is_wider_than_the_page(who, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    _, out, _ = who(SMT4, "--cpu", 1)
    assert all(len(line) <= width for line in out.splitlines())
    for name in ("realtime4/emulator", "function-call-ipi", "isolcpus=managed_irq"):
        assert name in out


def test_everything_is_written(who, tmp_path):
    ended, _, _ = who(SMT4, "--cpu", 3, "--json", tmp_path / "who.json")
    written = json.loads((tmp_path / "who.json").read_text())
    assert ended == 0
    assert set(written) == {"schema", "cpu", "policy", "priority", "thread", "sources", "arguments", "warnings"}
    assert (written["cpu"], written["policy"], written["priority"]) == (3, "fifo", 1)
    assert written["thread"] == "realtime4/vcpu3"
    assert set(written["sources"][0]) == {
        "name", "kind", "does", "policy", "priority", "rate_hz", "period_ns", "mean_ns", "max_ns", "removed_by",
        "preempts",
    }  # fmt: skip
    assert list(tmp_path.iterdir()) == [tmp_path / "who.json"]


@pytest.mark.parametrize(
    ("text", "cpu", "line"),
    [
        ("topology: {sockets: 1, cores: 4}", 4, "topology: CPU 4: expected one of 0-3"),
        ("[1]", 0, "expected a scenario or its host part"),
        ("topology: {sockets: 1}\nkernal: {}", 0, "expected a known key, found 'kernal': did you mean 'kernel'?"),
        ("host: {topology: {sockets: 1}, speed: 1}", 0, "h.yaml: line 1: host.speed: expected one of"),
        (
            "topology: {sockets: 1, cores: 4}\nkernel: {cmdline: isolcpus=0-3}",
            0,
            "isolcpus: expected a CPU left for housekeeping, the kernel says: Housekeeping: must include one present",
        ),
        (
            "topology: {sockets: 1, cores: 4}\ncpusets: {/a: {cpuset.cpus: 0-3, cpuset.cpus.partition: root}}",
            0,
            "the kernel says: root invalid (Parent unable to distribute cpu downstream)",
        ),
        (
            "topology: {sockets: 1, cores: 4}\ncpusets: {/a: {cpuset.cpus: 0-3, cpuset.cpus.partition: quiet}}",
            0,
            "line 2: cpusets./a.cpuset.cpus.partition: expected 'member', 'root' or 'isolated', found 'quiet'",
        ),
    ],
)
def test_refused_in_one_line(who, tmp_path, text, cpu, line):
    (tmp_path / "h.yaml").write_text(text)
    ended, out, err = who(tmp_path / "h.yaml", "--cpu", cpu, "--json", tmp_path / "out.json")
    assert (ended, out) == (2, "")
    assert err.startswith("rtsim: ")
    assert err.count("\n") == 1
    assert line in err
    assert not (tmp_path / "out.json").exists()


def test_refused_priority(who):
    ended, _, err = who(SMT4, "--cpu", 3, "--priority", 100)
    assert (ended, err) == (2, "rtsim: priority: expected 1 to 99 with fifo, found 100\n")
