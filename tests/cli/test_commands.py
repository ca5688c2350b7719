"""The commands as people type them: what they print, what they write, how they end."""

import json
import re

import pytest

from rtsim import __version__
from rtsim.cli import status
from rtsim.profile import load_profile

SMT4 = "data/scenarios/smt4.yaml"
SHORT = [SMT4, "--duration", "500 ms"]


@pytest.fixture
def rtsim(capsys, monkeypatch):
    """Run a command; return (exit status, standard output, standard error)."""
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments):
        ended = status([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return ended, captured.out, captured.err

    return run


def test_version(rtsim):
    assert rtsim("--version") == (0, f"{__version__}\n", "")


def test_without_arguments_it_tells_its_commands(rtsim):
    ended, out, _ = rtsim()
    assert ended == 0
    for command in ("pin", "run", "compare", "levers", "who", "validate", "record", "calibrate", "report"):
        assert re.search(rf"\b{command}\b", out)


@pytest.mark.parametrize(
    "command", ["pin", "run", "compare", "levers", "who", "validate", "record", "calibrate", "report"]
)
def test_every_command_explains_itself(rtsim, command):
    ended, out, _ = rtsim(command, "--help")
    assert ended == 0
    assert "Usage" in out


@pytest.mark.parametrize("arguments", [("--seed", -1), ("--seed", "one"), ("--sed", 1)])
def test_what_is_wrong_about_an_option_names_it(rtsim, arguments):
    ended, out, err = rtsim("run", *SHORT, *arguments)
    assert (ended, out) == (2, "")
    assert arguments[0] in err
    assert err.count("\n") == 1


# --- run --------------------------------------------------------------------------------------------------------------


def test_run_shows_latencies_causes_and_cpus(rtsim):
    ended, out, err = rtsim("run", *SHORT)
    assert (ended, err) == (0, "")
    assert re.search(r"realtime4/cyclictest/2 +fifo +500 ", out)
    assert re.search(r"realtime4/cyclictest +fifo +1,000 ", out)
    assert "guest/switch" in out
    assert re.search(r"CPU 3 +[\d.]+", out)
    assert "The worst sample of realtime4/cyclictest" in out


@pytest.mark.parametrize("width", [80, 100, 160])
def test_no_name_is_broken_and_no_line_is_wider_than_the_page(rtsim, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    _, ran, _ = rtsim("run", *SHORT)
    _, compared, _ = rtsim("compare", *SHORT, "--replications", 6)
    for line in (ran + compared).splitlines():
        assert len(line) <= width
    for name in ("realtime4/cyclictest/2", "thread:host/thread/daemons"):
        assert name in ran
    for name in ("mask ^0-1", "mask ^0-2", "dedicated only"):
        assert name in compared


def test_run_writes_the_result_of_the_contract(rtsim, tmp_path):
    file = tmp_path / "result.json"
    ended, _, _ = rtsim("run", *SHORT, "--json", file)
    result = json.loads(file.read_text())
    assert ended == 0
    assert {"schema", "rtsim", "scenario", "tasks", "cpus", "bounds"} <= set(result)
    task = result["tasks"]["realtime4/cyclictest/3"]
    assert task["latency"]["count"] == 500
    assert sum(task["causes_ns"].values()) == round(task["latency"]["mean_ns"] * 500)
    assert list(tmp_path.iterdir()) == [file]


def test_seed_and_duration_take_the_files_place(rtsim, tmp_path):
    for seed in (7, 8, 7):
        rtsim("run", SMT4, "--seed", seed, "--duration", "300 ms", "--json", tmp_path / f"{seed}.json")
    seven, eight = (json.loads((tmp_path / f"{seed}.json").read_text()) for seed in (7, 8))
    assert seven["scenario"]["seed"] == 7
    assert seven["scenario"]["duration"] == "300 ms"
    assert seven["tasks"]["realtime4/vcpu2"]["latency"] != eight["tasks"]["realtime4/vcpu2"]["latency"]


def test_both_clocks_write_the_same_bytes(rtsim, tmp_path):
    for clock in ("compiled", "simpy"):
        rtsim("run", SMT4, "--duration", "100 ms", "--clock", clock, "--json", tmp_path / clock)
    assert (tmp_path / "compiled").read_bytes() == (tmp_path / "simpy").read_bytes()


# --- compare ----------------------------------------------------------------------------------------------------------


def test_compare_ranks_the_files_variants(rtsim, tmp_path):
    files = [tmp_path / name for name in ("c.json", "c.html", "c.png")]
    options = [f"--{option}={file}" for option, file in zip(("json", "report", "plot"), files, strict=True)]
    ended, out, err = rtsim("compare", *SHORT, "--replications", 6, *options)
    assert (ended, err) == (0, "")
    assert "p99.9 latency of realtime4/cyclictest" in out
    assert "mean of 6 replications" in out
    comparison = json.loads(files[0].read_text())
    assert set(comparison) >= {"schema", "rtsim", "rank_by", "rows", "variants"}
    assert set(comparison["rows"][0]) == {
        "name", "rank", "tied_with", "value_ns", "ci_ns", "difference_ns", "difference_ci_ns", "cpus_spent",
        "workload_vcpus", "why", "refused",
    }  # fmt: skip
    assert comparison["variants"]["mask ^0-1"]["tasks"]["realtime4/cyclictest"]["latency"]["count"] == 6 * 1000
    assert "<html" in files[1].read_text()
    assert files[2].read_bytes().startswith(b"\x89PNG")


def test_compare_varies_places_and_shows_what_nova_refuses(rtsim):
    place = 'guests.realtime4.flavor.properties["hw:cpu_realtime_mask"]'
    ended, out, _ = rtsim("compare", *SHORT, "--replications", 1, "--vary", f"{place}=^0", "--vary", f"{place}=^0-3")
    assert ended == 0
    assert "hw:cpu_realtime_mask=^0 " in out
    assert "hw:cpu_realtime_mask=^0-3: refused by Nova: RealtimeMaskNotFoundOrInvalid: " in " ".join(out.split())


# --- report and validate ----------------------------------------------------------------------------------------------


def test_report_of_a_result(rtsim, tmp_path):
    rtsim("run", *SHORT, "--json", tmp_path / "r.json")
    ended, out, err = rtsim("report", tmp_path / "r.json", "-o", tmp_path / "r.html")
    assert (ended, out, err) == (0, "", "")
    assert "realtime4/cyclictest" in (tmp_path / "r.html").read_text()


@pytest.fixture
def measured(rtsim, tmp_path):
    """What cyclictest would have printed, had it run in the simulated guest."""
    rtsim("run", *SHORT, "--json", tmp_path / "r.json")
    result = json.loads((tmp_path / "r.json").read_text())
    counts = [0] * 400
    for lower, _, count in result["tasks"]["realtime4/cyclictest"]["latency"]["histogram"]:
        counts[lower // 1000] += count
    values = [us for us, count in enumerate(counts) for _ in range(count)]
    lines = [f"{us:06d} {count:06d}" for us, count in enumerate(counts)]
    summary = {
        "Total": f"{len(values):09d}", "Min Latencies": f"{min(values):05d}",
        "Avg Latencies": f"{sum(values) // len(values):05d}", "Max Latencies": f"{max(values):05d}",
        "Histogram Overflows": "00000",
    }  # fmt: skip
    file = tmp_path / "cyclictest.txt"
    head, *rest = summary.items()
    text = ["# /dev/cpu_dma_latency set to 0us", "# Histogram", *lines, f"# {head[0]}: {head[1]}"]
    file.write_text("\n".join([*text, *(f"# {name}: {value}" for name, value in rest)]) + "\n")
    return file


def test_validate_passes_where_the_prediction_is_right(rtsim, measured):
    ended, out, err = rtsim("validate", "--measured", measured, "--scenario", *SHORT, "--tolerance", "p50=0.1,p99=0.15")
    assert ended == 0
    assert all(line.startswith("warning: realtime4: ") for line in err.splitlines())  # of its placement
    assert re.search(r"p50 .* within", out)
    assert re.search(r"p99 .* within", out)


def test_validate_exits_1_above_the_tolerance(rtsim, measured):
    slower = ["--scenario", SMT4, "--duration", "500 ms", "--task", "realtime4/vcpu0"]
    ended, out, _ = rtsim("validate", "--measured", measured, *slower, "--tolerance", "p50=0.1")
    assert ended == 1
    assert "beyond" in out


def test_validate_reads_a_recordings_folder(rtsim, measured):
    ended, out, _ = rtsim("validate", "--measured", measured.parent, "--scenario", *SHORT)
    assert ended == 0
    assert "1,000 samples measured, 1,000 predicted" in out


def test_validate_draws_and_reports(rtsim, measured, tmp_path):
    files = [tmp_path / "v.png", tmp_path / "v.html"]
    ended, _, _ = rtsim(
        "validate", "--measured", measured, "--scenario", *SHORT, "--plot", files[0], "--report", files[1]
    )
    assert ended == 0
    assert files[0].read_bytes().startswith(b"\x89PNG")
    assert files[1].read_text().count("<picture>") == 1


def test_validate_ranks_several_configurations(rtsim, measured, tmp_path):
    later = tmp_path / "later.txt"
    later.write_text(
        re.sub(r"^(\d{6}) ", lambda match: f"{int(match[1]) + 100:06d} ", measured.read_text(), flags=re.M)
    )
    both = ["--measured", measured, "--scenario", SMT4, "--measured", later, "--scenario", SMT4]
    ended, out, _ = rtsim("validate", *both, *SHORT[1:])
    assert ended == 0
    assert "cyclictest.txt (µs): 1,000 samples" in out
    assert "Kendall's tau of the p50: +0.00 over 1 of 1 pairs" in out
    assert re.search(r"predicted as equal: cyclictest.txt .* and later.txt", out)


def test_validate_tells_what_is_censored(rtsim, measured):
    lines = measured.read_text().splitlines()
    limit = 14
    kept = [line for line in lines if not re.match(r"\d{6} ", line) or int(line[:6]) < limit]
    late = sum(int(line.split()[1]) for line in lines if re.match(r"\d{6} ", line) and int(line[:6]) >= limit)
    assert late > 0
    text = "\n".join(kept).replace("Overflows: 00000", f"Overflows: {late:05d}") + "\n"
    measured.write_text(text.replace("Total: 000001000", f"Total: {1000 - late:09d}"))
    _, out, _ = rtsim("validate", "--measured", measured, "--scenario", *SHORT)
    assert f"{late} measured samples lie beyond the measured histogram, which ends at {limit} us" in out


def test_pin_is_there(rtsim):
    ended, out, _ = rtsim("pin", "--host", "data/hosts/smt-4cpu.xml", "--flavor", "data/flavors/realtime4.json",
                          "--release", "ocata")  # fmt: skip
    assert ended == 0
    assert re.search(r"vCPU 2 +CPU 2, SCHED_FIFO 1", out)


# --- levers -----------------------------------------------------------------------------------------------------------

LEVERS = ["data/scenarios/levers.yaml", "--duration", "200 ms", "--replications", 1]


@pytest.mark.parametrize("width", [80, 100, 160])
def test_levers_shows_every_row_within_the_page(rtsim, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    ended, out, _ = rtsim("levers", *LEVERS)
    assert ended == 0
    assert all(len(line) <= width for line in out.splitlines())
    shown = " ".join(re.findall(r"^ ((?:\S+ )*\S+)", out, re.MULTILINE))  # names may go over several lines
    alone = ["pinning", "host", "emulator", "policy", "hugepages", "locked"]
    some = [f"all but {name}" for name in (*alone, "emulator, policy", "hugepages, locked")]
    assert " ".join(["none", *alone, *some, "all"]) in shown


def test_levers_writes_its_files(rtsim, tmp_path):
    files = [tmp_path / name for name in ("levers.json", "levers.html", "levers.png")]
    ended, _, _ = rtsim("levers", *LEVERS, "--json", files[0], "--report", files[1], "--plot", files[2])
    assert ended == 0
    assert len(json.loads(files[0].read_text())["levers"]) == 16
    assert "What each lever of realtime4 buys" in files[1].read_text()
    assert files[2].read_bytes().startswith(b"\x89PNG")


def test_levers_of_a_guest_without_any_are_refused(rtsim):
    ended, out, err = rtsim("levers", "data/scenarios/levers.yaml", "--guest", "neighbour")
    assert (ended, out) == (2, "")
    assert "guests.neighbour: expected pinned vCPUs" in err


# --- calibrate --------------------------------------------------------------------------------------------------------


def test_calibrate_writes_a_profile_that_loads(rtsim, tmp_path):
    recording = "data/recorded/kernel-6.1-cfs/per1ms-fifo80-idle"
    ended, out, err = rtsim("calibrate", recording, "-o", tmp_path / "lab.yaml", "--base", "kernel-lab")
    assert ended == 0
    assert "migration" in out
    assert "note: " in err
    profile = load_profile(tmp_path / "lab.yaml")
    assert {"kworker", "migration"} == {source.name for source in profile.noise}
    assert profile.costs.wake.source.startswith("per1ms-fifo80-idle: ")
