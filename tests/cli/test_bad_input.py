"""Whatever is wrong with what is handed in ends in one line that names the file and the place; nothing is written."""

import json
from pathlib import Path

import pytest

from rtsim.cli import status

SMT4 = Path("data/scenarios/smt4.yaml")

HOST = "host: {topology: {sockets: 1, cores: 4}, nova: {cpu_dedicated_set: 1-3, cpu_shared_set: 0}}"
FLAVOR = "{ram: 1024, vcpus: 2, disk: 1, properties: {hw:cpu_policy: dedicated%s}}"
GUEST = "guests: [{name: g, flavor: %s}]"
GOOD = f"{HOST}\n{GUEST % (FLAVOR % '')}\nduration: 1 s\n"
ENTITIES = """<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<capabilities><host><uuid>&b;</uuid></host></capabilities>"""


@pytest.fixture
def fails(capsys, tmp_path):
    """Run a command that must fail: return (exit status, its one line), and see that it wrote nothing."""

    def run(*arguments):
        before = sorted(tmp_path.iterdir())
        ended = status([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("rtsim: ")
        assert captured.err.count("\n") == 1, captured.err
        assert "Traceback" not in captured.err
        assert "fault in rtsim" not in captured.err
        assert sorted(tmp_path.iterdir()) == before
        return ended, captured.err

    return run


def edited(old, new):
    assert old in GOOD
    return GOOD.replace(old, new)


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("host: {topology: [", "line ", "expected YAML"),
        ("- 1\n", "", "expected a mapping with host, guests, duration"),
        ("", "", "expected a mapping with host, guests, duration"),
        ("a: &a [x]\nb: !!python/object:os.system {}\n", "line 2", "expected plain YAML"),
        ("[" * 2000, "line 1", "expected at most 100 levels"),
        (GOOD + "speed: 3\n", "speed", "expected"),
        (edited("1 s", "1"), "line 3: duration", "expected"),
        (edited("1 s", "fast"), "line 3: duration", "expected"),
        (edited("1 s", "-1 s"), "line 3: duration", "expected"),
        (edited("cores: 4", "cores: 0"), "host.topology.cores", ">= 1, found 0"),
        (edited("cores: 4", "capabilities: x.xml"), "host.topology", "expected exactly one of"),
        (edited("cpu_shared_set: 0", "cpu_shared_sets: 0"), "host.nova", "expected"),
        (edited("name: g", "name: a/b"), "guests[0].name", "expected"),
        (edited("vcpus: 2", "vcpus: many"), "vcpus", "expected"),
        (GOOD.replace("host: {", "host: {profile: quick, "), "profile", "expected"),
        (GOOD.replace("host: {", "host: {kernel: {release: '6.x'}, "), "6.x", "expected"),
        (GOOD.replace("host: {", "host: {kernel: {hz: 1}, "), "hz", "expected"),
        (GOOD + "observe: [nothing]\n", "observe", "expected tasks of"),
        (GOOD + "workload: {cyclictest: {cpus: '7'}}\n", "workload.cyclictest.cpus", "it has no CPU 7"),
        (GOOD.replace("name: g,", "name: g, workload: {cyclictest: {cpus: '5'}},"), "cyclictest.cpus", "found 5"),
        (GOOD.replace("name: g,", "name: g, domain: d.xml,"), "guests[0]", "expected either flavor or domain"),
        (GOOD.replace(FLAVOR % "", "nowhere.json"), "nowhere.json", "expected a readable file"),
    ],
)  # fmt: skip
def test_scenarios(fails, tmp_path, text, place, expected):
    file = tmp_path / "scenario.yaml"
    file.write_text(text)
    ended, line = fails("run", file, "--json", tmp_path / "out.json")
    assert ended == 2
    assert place in line
    assert expected in line


def test_the_good_one_is_good(tmp_path, capsys):
    file = tmp_path / "scenario.yaml"
    file.write_text(GOOD)
    assert status(["run", str(file)]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("properties", "exception"),
    [
        (", hw:cpu_realtime: 'yes', hw:cpu_realtime_mask: ^0-1", "RealtimeMaskNotFoundOrInvalid"),
        (", hw:cpu_realtime: 'yes', hw:cpu_realtime_mask: ^0-x", "Invalid"),
        (", hw:emulator_threads_policy: elsewhere", "InvalidEmulatorThreadsPolicy"),
        (", hw:cpu_thread_policy: require", ""),
        (", hw:mem_page_size: 1GB", ""),
    ],
)
def test_what_nova_refuses_ends_with_3_and_novas_words(fails, tmp_path, properties, exception):
    file = tmp_path / "scenario.yaml"
    file.write_text(GOOD.replace(FLAVOR % "", FLAVOR % properties))
    ended, line = fails("run", file, "--json", tmp_path / "out.json")
    assert ended == 3
    assert exception in line


@pytest.mark.parametrize("cpus", ["1-9", "3-1", "x"])
def test_cpu_sets_that_nova_compute_does_not_start_with(fails, tmp_path, cpus):
    file = tmp_path / "scenario.yaml"
    file.write_text(edited("1-3", cpus))
    ended, line = fails("run", file)
    assert ended == 3
    assert line.startswith("rtsim: Invalid: ")


def test_more_vcpus_than_the_host_has(fails, tmp_path):
    file = tmp_path / "scenario.yaml"
    file.write_text(GOOD.replace("vcpus: 2", "vcpus: 4"))
    ended, _ = fails("run", file)
    assert ended == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<capabilities><host>", "expected well-formed XML"),
        (ENTITIES, "expected"),
        ("<domain/>", "expected"),
        ("<capabilities/>", "expected"),
        ("\0\0", "expected"),
    ],
)
def test_hosts(fails, tmp_path, text, expected):
    (tmp_path / "host.xml").write_text(text)
    file = tmp_path / "scenario.yaml"
    file.write_text(GOOD.replace("{sockets: 1, cores: 4}", "{capabilities: host.xml}"))
    ended, line = fails("run", file)
    assert ended == 2
    assert "host.xml" in line
    assert expected in line


@pytest.mark.parametrize("text", ["{", "[]", '{"ram": 1, "ram": 2}', "[" * 5000, '{"vcpus": NaN}', "{}"])
def test_flavors(fails, tmp_path, text):
    (tmp_path / "flavor.json").write_text(text)
    file = tmp_path / "scenario.yaml"
    file.write_text(GOOD.replace(FLAVOR % "", "flavor.json"))
    ended, line = fails("run", file)
    assert ended == 2
    assert "flavor" in line


def test_files_of_100_mb_are_not_read(fails, tmp_path):
    for name in ("scenario.yaml", "host.xml", "result.json"):
        with (tmp_path / name).open("wb") as stream:
            stream.truncate(600 * 1024**2 if name == "result.json" else 100 * 1024**2)
    good = tmp_path / "good.yaml"
    good.write_text(GOOD.replace("{sockets: 1, cores: 4}", "{capabilities: host.xml}"))
    for arguments in (
        ["run", tmp_path / "scenario.yaml"],
        ["run", good],
        ["report", tmp_path / "result.json", "-o", tmp_path / "r.html"],
    ):
        ended, line = fails(*arguments)
        assert ended == 2
        assert "MiB" in line


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["run", "no-such-file.yaml"],
        ["run", "data"],
        ["run", SMT4, "--clock", "sundial"],
        ["run", SMT4, "--duration", "long"],
        ["run", SMT4, "--duration", "0 s"],
        ["run", SMT4, "--seed", "-1"],
        ["run", SMT4, "--seed", "one"],
        ["run", SMT4, "--colour"],
        ["run", SMT4, "--json", "nowhere/r.json"],
        ["run", SMT4, "--json", "data"],
        ["walk"],
        ["compare", SMT4, "--vary", "host.kernel.hz"],
        ["compare", SMT4, "--vary", "host.kernel.hz=x"],
        ["compare", SMT4, "--vary", "host.kernel.hzz=100"],
        ["compare", SMT4, "--replications", "0"],
        ["compare", SMT4, "--plot", "tails.gif"],
        ["compare", SMT4, "--report", "nowhere/r.html"],
        ["validate", "--measured", "no-such-file", "--scenario", SMT4],
        ["validate", "--measured", SMT4, "--scenario", SMT4],
        ["validate", "--measured", "data", "--scenario", SMT4],
        ["validate", "--measured", "tests/traces/fixtures/cyclictest.json", "--scenario", SMT4, "--tolerance", "p50"],
        ["validate", "--measured", "a", "--measured", "b", "--scenario", SMT4],
        ["validate", "--measured", "tests/traces/fixtures/cyclictest.json", "--scenario", SMT4, "--plot", "v.txt"],
        ["validate", "--measured", "tests/traces/fixtures/cyclictest.json", "--scenario", SMT4, "--unit", "ms"],
        ["calibrate", "tests/traces/fixtures/cyclictest.json", "-o", "profile.yaml", "--unit", "ms"],
        ["validate", "--measured", "tests/traces/fixtures/cyclictest.json", "--scenario", SMT4, "--task", "nobody"],
        ["validate", "--measured", "data/measured/rtla/osnoise-hist-6.12.txt", "--scenario", SMT4],
        ["calibrate", "no-such-file", "-o", "p.yaml"],
        ["calibrate", SMT4, "-o", "p.yaml"],
        ["calibrate", "docs", "-o", "p.yaml"],
        ["calibrate", "tests/traces/fixtures/cyclictest.json", "-o", "nowhere/p.yaml"],
        ["calibrate", "tests/traces/fixtures/cyclictest.json", "-o", "p.yaml", "--base", "nobody"],
        ["calibrate", "tests/traces/fixtures/cyclictest.json", "-o", "p.yaml", "--stop", "15 ticks"],
        ["calibrate", "tests/traces/fixtures/cyclictest.json", "-o", "p.yaml", "--stop", "0 s"],
        ["report", "no-such-file", "-o", "r.html"],
        ["report", SMT4, "-o", "r.html"],
        ["pin"],
        ["pin", "--host", "data/hosts/smt-4cpu.xml", "--flavor", SMT4],
    ],
    ids=lambda arguments: " ".join(map(str, arguments)),
)
def test_commands(fails, arguments):
    ended, _ = fails(*arguments)
    assert ended == 2


@pytest.mark.parametrize("data", [[], {}, {"schema": 2}, {"schema": 1, "tasks": {"x": 3}}, {"schema": 1, "rows": 1}])
def test_results(fails, tmp_path, data):
    (tmp_path / "r.json").write_text(json.dumps(data))
    ended, line = fails("report", tmp_path / "r.json", "-o", tmp_path / "r.html")
    assert ended == 2
    assert "r.json" in line
