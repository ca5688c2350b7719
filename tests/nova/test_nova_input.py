"""Flavors, nova.conf, domains and cases that are wrong: one line that names the place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from rtsim.cli.pin import pin
from rtsim.inputs.errors import InputError, RtsimError
from rtsim.nova import Flavor, NovaConf, Placement
from rtsim.nova.batch import place_lines

GOOD: dict[str, Any] = {"ram": 1024, "vcpus": 4, "disk": 1, "properties": {"hw:cpu_policy": "dedicated"}}


def test_flavor_properties_as_text_and_as_object_are_the_same(data: Path) -> None:
    as_object = Flavor.from_openstack(data / "flavors/realtime4.json")
    assert Flavor.from_openstack(data / "flavors/realtime4-string.json") == as_object
    assert as_object.extra_specs["hw:cpu_realtime_mask"] == "^0-1"
    assert (as_object.vcpus, as_object.memory_mib, as_object.disk_gib) == (4, 1024, 1)


@pytest.mark.parametrize(
    ("text", "specs"),
    [
        ("", {}),
        ("a:b='c'", {"a:b": "c"}),
        ("hw:cpu_realtime_mask='0-3,^0, ^1', hw:x='it is'", {"hw:cpu_realtime_mask": "0-3,^0, ^1", "hw:x": "it is"}),
        ("a='', b='x=y'", {"a": "", "b": "x=y"}),
    ],
)
def test_properties_as_text(text: str, specs: dict[str, str]) -> None:
    assert Flavor.from_openstack({**GOOD, "properties": text}).extra_specs == specs


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"vcpus": None}, "vcpus"),
        ({"vcpus": "four"}, "vcpus"),
        ({"vcpus": 0}, "vcpus"),
        ({"vcpus": True}, "vcpus"),
        ({"vcpus": 1e9}, "vcpus"),
        ({"ram": -1}, "ram"),
        ({"disk": []}, "disk"),
        ({"properties": 5}, "properties"),
        ({"properties": "no quotes"}, "properties"),
        ({"properties": {"a": {}}}, "properties.a"),
        ({"vcpu": 4}, "vcpu"),
    ],
)
def test_flavors_that_are_none(change: dict[str, Any], place: str) -> None:
    with pytest.raises(InputError) as wrong:
        Flavor.from_openstack({**GOOD, **change})
    assert wrong.value.place == place
    assert "\n" not in str(wrong.value)


def test_nova_conf(tmp_path: Path) -> None:
    conf = tmp_path / "nova.conf"
    conf.write_text(
        "[DEFAULT]\n# a comment\nvcpu_pin_set = 4-7\ndebug = true\n"
        "reserved_huge_pages = node:0,size:2048,count:64\nreserved_huge_pages = node:1,size:1GB,count:1\n"
        'cpu_shared_set = ignored here\n[compute]\ncpu_shared_set = 0-1\ncpu_dedicated_set="2-3"\n'
        "[libvirt]\nrealtime_scheduler_priority = 10\ncpu_mode = host-passthrough\n"
    )
    read = NovaConf.from_file(conf)
    assert (read.cpu_shared_set, read.cpu_dedicated_set, read.vcpu_pin_set) == ("0-1", "2-3", "4-7")
    assert read.realtime_scheduler_priority == 10
    assert read.reserved_pages() == {(0, 2048): 64, (1, 1048576): 1}


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"cpu_shared_set": 1.5}, "cpu_shared_set"),
        ({"cpu_dedicated_set": ["a"]}, "cpu_dedicated_set"),
        ({"packing_host_numa_cells_allocation_strategy": "perhaps"}, "packing_host_numa_cells_allocation_strategy"),
        ({"realtime_scheduler_priority": "high"}, "realtime_scheduler_priority"),
        ({"virt_type": "vmware"}, "virt_type"),
        ({"cpu_dedicated_sets": "0"}, "cpu_dedicated_sets"),
    ],
)
def test_options_that_are_wrong(options: dict[str, Any], place: str) -> None:
    with pytest.raises(InputError) as wrong:
        NovaConf.from_mapping(options)
    assert wrong.value.place == place


def test_a_list_of_cpus_is_as_good_as_a_cpulist() -> None:
    assert NovaConf.from_mapping({"cpu_dedicated_set": [2, 3, 4]}).dedicated_cpus() == {2, 3, 4}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("<domain>", "line 1"),
        ("<!DOCTYPE x [<!ENTITY a 'b'>]><domain>&a;</domain>", "line 1"),
        ("<network/>", "<network>"),
        ("<domain><memory>1</memory></domain>", "<vcpu>"),
        ("<domain><vcpu>x</vcpu><memory>1</memory></domain>", "<vcpu>"),
        ("<domain><vcpu>2</vcpu><memory unit='stone'>1</memory></domain>", "<memory> unit"),
        (
            "<domain><vcpu>2</vcpu><memory>1</memory><cputune><vcpupin vcpu='2' cpuset='0'/></cputune></domain>",
            "<vcpupin>",
        ),
        (
            "<domain><vcpu>2</vcpu><memory>1</memory><cputune><vcpupin vcpu='0' cpuset='z'/></cputune></domain>",
            "<vcpupin>",
        ),
        (
            "<domain><vcpu>2</vcpu><memory>1</memory><cputune>"
            "<vcpusched vcpus='1' scheduler='fifo' priority='100'/></cputune></domain>",
            "<vcpusched> priority",
        ),
        (
            "<domain><vcpu>4</vcpu><memory>1</memory><cpu><topology sockets='1' cores='1' threads='2'/></cpu></domain>",
            "<topology>",
        ),
    ],
)
def test_domains_that_are_wrong(text: str, place: str) -> None:
    with pytest.raises(InputError) as wrong:
        Placement.from_domain_xml(text)
    assert place in wrong.value.place


def test_several_vcpusched_elements() -> None:
    placement = Placement.from_domain_xml(
        "<domain><name>g</name><memory unit='MiB'>64</memory><vcpu cpuset='0-7'>4</vcpu><cputune>"
        "<vcpupin vcpu='1' cpuset='4'/><vcpupin vcpu='2' cpuset='5'/><emulatorpin cpuset='0-1'/>"
        "<iothreadpin iothread='1' cpuset='2'/>"
        "<vcpusched vcpus='1' scheduler='rr' priority='7'/><vcpusched vcpus='2' scheduler='fifo' priority='3'/>"
        "</cputune></domain>"
    )
    assert placement.vcpu_pins == {0: tuple(range(8)), 1: (4,), 2: (5,), 3: tuple(range(8))}
    assert placement.rt_priorities == {1: ("rr", 7), 2: ("fifo", 3)}
    assert (placement.rt_policy, placement.rt_priority, placement.rt_vcpus) == ("rr", 7, (1, 2))
    assert (placement.pinned, placement.iothreads, placement.memory_kib) == ({1, 2}, {1: (2,)}, 65536)
    again = Placement.from_domain_xml(f"<domain>{''.join(x for x in placement.to_xml().values() if x)}</domain>")
    assert again == placement


CASE: dict[str, Any] = {
    "host": {"cells": [{"id": 0, "memory_mib": 1024, "pcpuset": [0, 1], "siblings": [[0], [1]], "mempages": []}]},
    "flavor": {"vcpus": 1, "memory_mib": 64, "extra_specs": {}},
}


def broken(path: str, value: object) -> str:
    case = json.loads(json.dumps(CASE))
    at = case
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in way:
        at = at[part]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return json.dumps(case)


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("", None),
        ("   ", None),
        ("{", "case"),
        ("[]", "case"),
        ("null", "case"),
        ("[" * 100_000, "case"),
        (broken("host", ...), "host"),
        (broken("host", 3), "host"),
        (broken("host.cells", ...), "host.cells"),
        (broken("host.cells", {}), "host.cells"),
        (broken("host.cells.0", 7), "host.cells[0]"),
        (broken("host.cells.0.id", ...), "host.cells[0].id"),
        (broken("host.cells.0.memory_mib", "big"), "host.cells[0].memory_mib"),
        (broken("host.cells.0.pcpuset", [0, -1]), "host.cells[0].pcpuset"),
        (broken("host.cells.0.pcpuset", "0-z"), "host.cells[0].pcpuset"),
        (broken("host.cells.0.siblings", [[0], 1]), "host.cells[0].siblings[1]"),
        (broken("host.cells.0.mempages", [{"size_kb": 0, "total": 1}]), "host.cells[0].mempages[0].size_kb"),
        (broken("flavor", ...), "flavor"),
        (broken("flavor.vcpus", "four"), "flavor.vcpus"),
        (broken("flavor.vcpus", 10**9), "flavor.vcpus"),
        (broken("flavor.extra_specs", []), "flavor.extra_specs"),
        (broken("image", []), "image"),
        (broken("conf", {"packing_host_numa_cells_allocation_strategy": "perhaps"}), "conf.packing"),
        (broken("limits", {"cpu_allocation_ratio": "x"}), "limits.cpu_allocation_ratio"),
        (broken("pci", {"pools": [{"count": "x"}]}), "pci.pools[0].count"),
        (broken("sequence", [{}]), "sequence[0].flavor"),
    ],
)
def test_lines_that_are_no_case(line: str, key: str | None) -> None:
    results = [json.loads(result) for result in place_lines([json.dumps(CASE), line, json.dumps(CASE)])]
    assert results[0] == results[-1]
    assert results[0]["fit"] is True
    if key is None:
        assert len(results) == 2
        return
    assert (results[1]["error"], results[1]["stage"]) == ("InvalidCase", "input")
    assert results[1]["message"].startswith(f"line 2: {key}")
    assert "expected" in results[1]["message"]


def test_cpu_sets_of_a_case_may_be_cpulists() -> None:
    listed = {**CASE, "flavor": {"vcpus": 2, "memory_mib": 64, "extra_specs": {"hw:cpu_policy": "dedicated"}}}
    written = json.loads(json.dumps(listed))
    written["host"]["cells"][0] |= {"pcpuset": "0-1", "siblings": ["0", "1"], "pinned_cpus": ""}
    first, second = place_lines([json.dumps(listed), json.dumps(written)])
    assert first == second


def test_sample_cases(data: Path) -> None:
    lines = (data / "nova-cases/samples.jsonl").read_text().splitlines()
    expected = (data / "nova-cases/samples.expected.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in place_lines(lines)] == [json.loads(line) for line in expected]


app = typer.Typer()
app.command()(pin)


def run(*options: str, stdin: str | None = None) -> tuple[int, str, BaseException | None]:
    done = CliRunner().invoke(app, options, input=stdin)
    return done.exit_code, done.output, done.exception


def test_cli_table(data: Path) -> None:
    code, out, _ = run(
        "--host", str(data / "hosts/smt-4cpu.xml"), "--flavor", str(data / "flavors/realtime4.json"), "--explain"
    )
    assert code == 0
    assert "vCPU 2      CPU 2, SCHED_FIFO 1" in out
    assert "guest cell 0 on host cell 0: fits" in out


def test_cli_json_and_xml(data: Path) -> None:
    options = ("--host", str(data / "hosts/smt-4cpu.xml"), "--flavor", str(data / "flavors/realtime4.json"))
    code, out, _ = run(*options, "--format", "json", "--release", "Ocata")
    assert code == 0
    assert json.loads(out)["cpu_shares"] == 4096
    code, out, _ = run("--domain", str(data / "domains/realtime4.xml"), "--format", "xml")
    assert code == 0
    assert '<vcpusched vcpus="2-3" scheduler="fifo" priority="1"/>' in out


@pytest.mark.parametrize(
    "options",
    [(), ("--format", "yaml"), ("--release", "grizzly"), ("--batch", "/nonexistent"), ("--domain", "x", "--host", "y")],
)
def test_cli_refuses_what_makes_no_sense(options: tuple[str, ...]) -> None:
    code, _, error = run(*options)
    assert code != 0
    assert isinstance(error, RtsimError)
    assert error.exit_status == 2


def test_cli_batch(tmp_path: Path) -> None:
    cases = tmp_path / "cases.jsonl"
    cases.write_bytes(json.dumps(CASE).encode() + b"\n\n\xff\xfe\n" + json.dumps(CASE).encode())
    code, out, _ = run("--batch", str(cases))
    results = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [result.get("error") for result in results] == [None, "InvalidCase", None]
    assert results[1]["message"].startswith("line 3:")
    assert run("--batch", "-", stdin=json.dumps(CASE))[1].strip() == out.splitlines()[0]
