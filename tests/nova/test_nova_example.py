"""The flavor of the OpenStack real-time example on its 4-CPU host, through Ocata and through the newest Nova."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from rtsim.nova import CapabilitiesCell, ComputeHost, Flavor, NovaConf, Placement, place
from rtsim.topology import read_capabilities

PINS = "".join(f"<vcpupin vcpu='{cpu}' cpuset='{cpu}'/>" for cpu in range(4))
NUMATUNE = "<numatune><memory mode='strict' nodeset='0'/><memnode cellid='0' mode='strict' nodeset='0'/></numatune>"
BACKING = "<memoryBacking><nosharepages/><locked/></memoryBacking>"


def canonical(xml: str | None) -> str:
    assert xml is not None
    return ElementTree.canonicalize(xml)


def test_ocata(four_cpus: list[CapabilitiesCell], data: Path) -> None:
    host = ComputeHost.from_capabilities(four_cpus, release="Ocata")
    xml = host.place(Flavor.from_openstack(data / "flavors/realtime4.json")).to_xml()
    assert canonical(xml["cputune"]) == canonical(
        f"<cputune><shares>4096</shares><emulatorpin cpuset='0-1'/>{PINS}"
        "<vcpusched vcpus='2-3' scheduler='fifo' priority='1'/></cputune>"
    )
    assert canonical(xml["numatune"]) == canonical(NUMATUNE)
    assert canonical(xml["memoryBacking"]) == canonical(BACKING)
    assert canonical(xml["cpu"]) == canonical(
        "<cpu mode='host-model' match='exact'><topology sockets='2' cores='1' threads='2'/>"
        "<numa><cell id='0' cpus='0-3' memory='1048576'/></numa></cpu>"
    )
    assert xml["vcpu"] == "<vcpu>4</vcpu>"


@pytest.mark.parametrize("conf", [NovaConf(), NovaConf(cpu_dedicated_set="0-3"), NovaConf(vcpu_pin_set="0-3")])
def test_newest(four_cpus: list[CapabilitiesCell], data: Path, conf: NovaConf) -> None:
    host = ComputeHost.from_capabilities(four_cpus, conf)
    xml = host.place(Flavor.from_openstack(data / "flavors/realtime4-string.json")).to_xml()
    assert canonical(xml["cputune"]) == canonical(
        f"<cputune><emulatorpin cpuset='0-1'/><iothreadpin cpuset='0-1' iothread='1'/>{PINS}"
        "<vcpusched vcpus='2-3' scheduler='fifo' priority='1'/></cputune>"
    )
    assert canonical(xml["numatune"]) == canonical(NUMATUNE)
    assert canonical(xml["memoryBacking"]) == canonical(BACKING)
    assert '<topology sockets="4" cores="1" threads="1"/>' in str(xml["cpu"])


def test_newest_with_ocata_s_values_asked_for(four_cpus: list[CapabilitiesCell], data: Path) -> None:
    flavor = Flavor.from_openstack(data / "flavors/realtime4.json")
    specs = {**flavor.extra_specs, "hw:cpu_threads": "2", "quota:cpu_shares": "4096"}
    placement = ComputeHost.from_capabilities(four_cpus).place(Flavor("f", 4, 1024, 1, specs))
    assert placement.cpu_topology == (2, 1, 2)
    assert placement.cpu_shares == 4096


def test_non_smt_host_of_ocata(data: Path, four_cpus: list[CapabilitiesCell]) -> None:
    """Without threads Ocata shows 4/1/1; Python 2.7's order of single CPUs is the ascending one here."""
    from dataclasses import replace

    single = [replace(four_cpus[0], cpus=tuple(replace(cpu, siblings=(cpu.id,)) for cpu in four_cpus[0].cpus))]
    placement = ComputeHost.from_capabilities(single, release="15").place(
        Flavor.from_openstack(data / "flavors/realtime4.json")
    )
    assert placement.cpu_topology == (4, 1, 1)


def test_domain_xml_gives_the_same_placement(data: Path, four_cpus: list[CapabilitiesCell]) -> None:
    host = ComputeHost.from_capabilities(four_cpus, release="ocata")
    decided = host.place(Flavor.from_openstack(data / "flavors/realtime4.json"))
    assert Placement.from_domain_xml(data / "domains/realtime4.xml") == decided


def test_from_a_capabilities_file(data: Path) -> None:
    topology = read_capabilities(data / "hosts/smt-4cpu.xml")
    placement = place(topology, Flavor.from_openstack(data / "flavors/realtime4.json"), release="ocata")
    assert placement.vcpu_pins == {vcpu: (vcpu,) for vcpu in range(4)}
    assert (placement.emulator_cpus, placement.rt_vcpus, placement.rt_priority) == ((0, 1), (2, 3), 1)


def test_placement_round_trips_through_its_own_xml(four_cpus: list[CapabilitiesCell], data: Path) -> None:
    decided = ComputeHost.from_capabilities(four_cpus).place(Flavor.from_openstack(data / "flavors/realtime4.json"))
    text = "".join(part for part in decided.to_xml().values() if part)
    assert Placement.from_domain_xml(f"<domain>{text}</domain>") == decided


def test_a_host_fills_and_empties(four_cpus: list[CapabilitiesCell], data: Path) -> None:
    from rtsim.nova import NovaRefusal

    host = ComputeHost.from_capabilities(four_cpus)
    flavor = Flavor.from_openstack(data / "flavors/realtime4.json")
    first = host.place(flavor)
    host.claim(first)
    assert host.cells[0].pinned == {0, 1, 2, 3}
    with pytest.raises(NovaRefusal, match="ComputeResourcesUnavailable") as refused:
        host.place(flavor, explain=True)
    assert refused.value.exit_status == 3
    assert any("4 dedicated CPUs wanted, 0 are free" in line for line in refused.value.explain)
    host.remove(first)
    assert host.cells[0].pinned == set()
    assert host.cells[0].pages[0].used == 0
    assert host.place(flavor) == first
    with pytest.raises(NovaRefusal, match="CPUUnpinningInvalid"):
        host.remove(first)
