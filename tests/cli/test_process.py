"""The command line as a process: signals, pipes, start-up."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import rtsim

SMT4 = "data/scenarios/smt4.yaml"
COMMAND = [sys.executable, "-c", "from rtsim.cli import main; main()"]


@pytest.fixture(scope="module", autouse=True)
def _engine():
    """Compile the engine before anything here is timed."""
    from rtsim.cli.progress import engine_ready

    engine_ready()


def cpu_seconds(pid):
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("arguments", [["run", SMT4], ["compare", SMT4]], ids=["run", "compare"])
def test_ctrl_c_ends_a_long_run_in_one_line(tmp_path, arguments):
    out = tmp_path / "r.json"
    process = subprocess.Popen(
        [*COMMAND, *arguments, "--duration", "400 h", "--json", str(out)], stderr=subprocess.PIPE, text=True
    )
    while cpu_seconds(process.pid) < 4:  # it has started and simulates
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "rtsim: interrupted\n"
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_leaves_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*COMMAND, "run", SMT4, "--duration", "100 ms"], stdout=writer, stderr=subprocess.PIPE, timeout=120, check=False
    )
    os.close(writer)
    assert done.stderr == b""
    assert done.returncode == 141


def test_the_first_start_says_that_it_compiles(tmp_path):
    """Where nothing is compiled yet; only up to the message, the compilation itself takes a minute."""
    process = subprocess.Popen(
        [*COMMAND, "run", SMT4], env=os.environ | {"XDG_CACHE_HOME": str(tmp_path)}, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr.readline() == "compiling the engine, once per installation\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.endswith("rtsim: interrupted\n")


def test_a_fault_of_our_own_is_one_line_too(monkeypatch, capsys):
    from rtsim import cli

    def broken(*_, **__):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(cli, "app", broken)
    assert cli.status([]) == 70
    assert (
        capsys.readouterr().err
        == "rtsim: fault in rtsim: ZeroDivisionError: division by zero (RTSIM_TRACEBACK=1 shows where)\n"
    )
    monkeypatch.setenv("RTSIM_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        cli.status([])


START = """
import sys, time
begin = time.process_time()
import rtsim
print(time.process_time() - begin, "numpy" in sys.modules)
"""


def test_import_rtsim_is_quick_and_light():
    runs = [subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=True) for _ in range(3)]
    seconds, loaded = zip(*(run.stdout.split() for run in runs), strict=True)
    assert min(map(float, seconds)) < 0.3
    assert set(loaded) == {"False"}


@pytest.mark.parametrize("name", rtsim.__all__)
def test_every_public_name_is_there(name):
    assert getattr(rtsim, name) is not None
    assert name in dir(rtsim)


def test_a_name_that_is_not_public_is_an_attribute_error():
    assert not hasattr(rtsim, "nonsense")


def test_the_public_names_are_the_tables():
    assert set(rtsim.__all__) == set(rtsim._HOME)
