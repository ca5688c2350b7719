"""What virsh, lscpu, lstopo and sysfs say becomes the same topology; contradictions end in one line."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtsim.inputs.errors import InputError
from rtsim.topology import Topology, capabilities_from_text, read_capabilities, read_hwloc, read_lscpu, read_sysfs

HOSTS = Path(__file__).parents[2] / "data" / "hosts"


def facts(topology):
    return [(cpu.id, cpu.numa_node, cpu.socket, cpu.core, cpu.siblings) for cpu in topology.cpus]


def test_recorded_host():
    topology = read_capabilities(HOSTS / "recorded-2cpu.xml")
    node = topology.numa_nodes[0]
    assert (node.memory_kib, node.pages) == (6908108, {4: 1727027, 2048: 0, 1048576: 0})
    assert facts(topology) == [(0, 0, 0, 0, (0,)), (1, 0, 0, 1, (1,))]
    assert topology.llc(0) == (0, 1)


def test_server():
    topology = read_capabilities(HOSTS / "server-2x8x2.xml")
    assert facts(topology) == facts(Topology.regular(2, 8, 2, numa_nodes=2))
    assert topology.numa_nodes[1].distances == {0: 21, 1: 10}
    assert topology.llc(31) == (*range(8, 16), *range(24, 32))
    for node in topology.numa_nodes:
        assert node.memory_kib == 64 * 1024**2 == sum(size * count for size, count in node.pages.items())
        assert node.pages[2048] > 0 < node.pages[1048576]


def test_four_cpus_in_pairs():
    topology = read_capabilities(HOSTS / "smt-4cpu.xml")
    assert [cpu.siblings for cpu in topology.cpus] == [(0, 1), (0, 1), (2, 3), (2, 3)]
    assert len(topology.numa_nodes) == 1


CAPABILITIES = """<capabilities><host><topology><cells num='1'><cell id='0'>
<memory unit='{unit}'>1024</memory>
<cpus num='2'>{cpus}</cpus></cell></cells></topology></host></capabilities>"""


def capabilities(cpus, unit="KiB"):
    return capabilities_from_text(CAPABILITIES.format(cpus=cpus, unit=unit), "caps.xml")


def test_file_order_and_sibling_lists_stay_as_written():
    topology = capabilities(
        "<cpu id='2' socket_id='0' core_id='0' siblings='2,0'/><cpu id='0' socket_id='0' core_id='0' siblings='0,2'/>"
    )
    assert [cpu.id for cpu in topology.numa_nodes[0].cpus] == [2, 0]
    assert topology.cpu(2).siblings == (2, 0)


def test_a_cpu_off_line_has_no_siblings_written_and_is_its_own():
    topology = capabilities("<cpu id='0' socket_id='0' core_id='0' siblings='0'/><cpu id='1'/>")
    assert topology.cpu(1).siblings == ()
    assert topology.siblings(1) == (1,)


def test_memory_units():
    assert capabilities("<cpu id='0'/>", unit="MiB").memory_kib == 1024**2


@pytest.mark.parametrize(
    ("cpus", "message"),
    [
        ("", "caps.xml: expected at least one CPU"),
        ("<cpu id='0'/><cpu id='0'/>", "caps.xml: expected each CPU once, found CPU 0 twice"),
        ("<cpu id='0' siblings='1'/><cpu id='1'/>", "caps.xml: CPU 0: expected itself among its siblings, found (1,)"),
        ("<cpu id='0' siblings='0,9'/>", "caps.xml: CPU 0: expected siblings that exist, found CPU 9"),
        ("<cpu id='x'/>", "caps.xml: line 3: <cpu>: expected id= with a number, found 'x'"),
        ("<cpu/>", "caps.xml: line 3: <cpu>: expected id= with a number, found none"),
        ("<cpu id='0' siblings='0-'/>", "caps.xml: line 3: <cpu>: expected a CPU list such as 0-3,^2, found '0-'"),
        ("<cpu id='9000'/>", "caps.xml: expected CPU numbers below 8192, found 9000"),
    ],
)
def test_contradictions(cpus, message):
    with pytest.raises(InputError) as refused:
        capabilities(cpus)
    assert str(refused.value) == message


@pytest.mark.parametrize("text", ["<a/>", "<capabilities/>", "<capabilities><host><topology/></host></capabilities>"])
def test_other_xml_is_refused(text):
    with pytest.raises(InputError, match=r"^caps.xml: .*expected <"):
        capabilities_from_text(text, "caps.xml")


def write(folder, name, content):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def table(topology):
    rows = [
        {"cpu": c.id, "node": c.numa_node, "socket": c.socket, "core": topology.cores().index(c.siblings),
         "l1d:l1i:l2:l3": f"{c.id}:{c.id}:{c.id}:{c.socket}", "online": True}
        for c in topology.cpus
    ]  # fmt: skip
    return {"cpus": rows}


def test_lscpu_table(tmp_path):
    server = Topology.regular(2, 8, 2, numa_nodes=2)
    topology = read_lscpu(write(tmp_path, "lscpu.json", table(server)), memory_mib=2048)
    assert [(c.id, c.numa_node, c.socket, c.siblings) for c in topology.cpus] == [
        (c.id, c.numa_node, c.socket, c.siblings) for c in server.cpus
    ]
    assert topology.llc(31) == server.llc(31)
    assert topology.memory_kib == 2 * 1024**2


def test_lscpu_table_of_older_releases_has_text_values(tmp_path):
    rows = [{"cpu": "0", "node": "-", "socket": "0", "core": "0", "online": "yes"}, {"cpu": "1", "online": "no"}]
    topology = read_lscpu(write(tmp_path, "lscpu.json", {"cpus": rows}))
    assert topology.cpu_ids == (0,)


def summary(threads, sockets, nodes):
    fields = {"On-line CPU(s) list": "0-31", "Thread(s) per core": threads, "Socket(s)": sockets, "NUMA node(s)": "2"}
    nested = [{"field": f"NUMA node{i} CPU(s):", "data": cpus} for i, cpus in enumerate(nodes)]
    entries = [{"field": f"{name}:", "data": str(data)} for name, data in fields.items()]
    return {"lscpu": [*entries, {"field": "NUMA:", "data": None, "children": nested}]}


def test_lscpu_summary_of_a_server(tmp_path):
    path = write(tmp_path, "lscpu.json", summary(2, 2, ["0-7,16-23", "8-15,24-31"]))
    assert facts(read_lscpu(path)) == facts(Topology.regular(2, 8, 2, numa_nodes=2))


def test_lscpu_summary_with_neighbouring_siblings(tmp_path):
    path = write(tmp_path, "lscpu.json", summary(2, 2, ["0-15", "16-31"]))
    assert facts(read_lscpu(path)) == facts(Topology.regular(2, 8, 2, numa_nodes=2, numbering="adjacent"))


def test_lscpu_summary_with_alternating_nodes(tmp_path):
    even, odd = (",".join(str(cpu) for cpu in range(start, 32, 2)) for start in (0, 1))
    topology = read_lscpu(write(tmp_path, "lscpu.json", summary(2, 2, [even, odd])))
    assert topology.siblings(2) == (2, 18)
    assert {cpu.socket for cpu in topology.numa_nodes[1].cpus} == {1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "expected what `lscpu -e -J` or `lscpu -J` prints"),
        ({"cpus": [1]}, "cpus[0]: expected an object, found 1"),
        ({"cpus": [{"cpu": "x"}]}, "cpus[0].cpu: expected a number, found 'x'"),
        ({"cpus": []}, "expected at least one CPU"),
        ({"lscpu": []}, "CPU(s): expected a count of 1 to 8192, found ''"),
        (summary(3, 2, ["0-15", "16-31"]), "expected a divisor of each NUMA node's CPUs, found 3"),
        (summary(2, 2, ["0-15", "0-15"]), "expected the NUMA nodes to hold the on-line CPUs, each once"),
        (summary(0, 2, ["0-15", "16-31"]), "Thread(s) per core: expected a count of 1 to 8192, found '0'"),
    ],
)
def test_refused_lscpu(tmp_path, content, message):
    with pytest.raises(InputError) as refused:
        read_lscpu(write(tmp_path, "lscpu.json", content))
    assert message in str(refused.value)


# In the form of hwloc 2's `lstopo --of xml`: memory nodes are children beside the caches, bitmaps are words of 32 bits.
def hwloc(*, version="2.0", cpuset="0x0000000f", indexes="0 1"):
    packages = ""
    for socket, cores in enumerate(([(0, 2)], [(1, 3)])):
        cpuset_of = "0x00000005" if socket == 0 else "0x0000000a"
        pus = "".join(f"<object type='PU' os_index='{cpu}' cpuset='{1 << cpu:#x}'/>" for core in cores for cpu in core)
        packages += f"""<object type="Package" os_index="{socket}" cpuset="{cpuset_of}">
          <object type="NUMANode" os_index="{socket}" cpuset="{cpuset_of}" local_memory="4294967296">
            <page_type size="4096" count="524288"/><page_type size="2097152" count="1024"/></object>
          <object type="L3Cache" cpuset="{cpuset_of}"><object type="L2Cache" cpuset="{cpuset_of}">
            <object type="Core" os_index="0" cpuset="{cpuset_of}">{pus}</object></object></object></object>"""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
    <topology version="{version}"><object type="Machine" os_index="0" cpuset="{cpuset}">{packages}</object>
    <distances2 type="NUMANode" nbobjs="2" kind="5" indexing="os"><indexes length="4">{indexes}</indexes>
    <u64values length="12">10 21 21 10</u64values></distances2></topology>"""


def test_hwloc(tmp_path):
    topology = read_hwloc(write(tmp_path, "a.xml", hwloc()))
    assert facts(topology) == [(0, 0, 0, 0, (0, 2)), (1, 1, 1, 0, (1, 3)), (2, 0, 0, 0, (0, 2)), (3, 1, 1, 0, (1, 3))]
    assert topology.caches == ((0, 2), (1, 3))
    assert topology.numa_nodes[0].pages == {4: 524288, 2048: 1024}
    assert topology.numa_nodes[0].memory_kib == 4 * 1024**2
    assert topology.numa_nodes[1].distances == {0: 21, 1: 10}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<topology/>", "expected <topology> with a Machine"),
        (hwloc(version="1.11"), "expected version 2"),
        (hwloc(indexes="0 1 2"), "expected 9 distances, found 4"),
        (hwloc().replace('os_index="1" cpuset="0x0000000a" local', 'os_index="1" cpuset="0x2" local'), "exactly one"),
        (hwloc().replace('cpuset="0x00000005" local', 'cpuset="5" local'), "expected cpuset= with a bitmap, found '5'"),
        (hwloc().replace("'PU' os_index='3'", "'PU'"), "<object>: expected os_index= with a number, found none"),
    ],
)
def test_refused_hwloc(tmp_path, text, message):
    with pytest.raises(InputError) as refused:
        read_hwloc(write(tmp_path, "a.xml", text))
    assert message in str(refused.value)


def sysfs(root, topology):
    def put(name, content):
        path = root / "devices/system" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")

    put("cpu/online", f"0-{len(topology.cpus) - 1}")
    for cpu in topology.cpus:
        put(f"cpu/cpu{cpu.id}/topology/physical_package_id", cpu.socket)
        put(f"cpu/cpu{cpu.id}/topology/core_id", cpu.core)
        put(f"cpu/cpu{cpu.id}/topology/die_id", -1)
        put(f"cpu/cpu{cpu.id}/topology/thread_siblings_list", ",".join(map(str, cpu.siblings)))
        put(f"cpu/cpu{cpu.id}/cache/index3/level", 3)
        put(f"cpu/cpu{cpu.id}/cache/index3/shared_cpu_list", ",".join(map(str, topology.llc(cpu.id))))
    for node in topology.numa_nodes:
        put(f"node/node{node.id}/cpulist", ",".join(str(cpu.id) for cpu in node.cpus))
        put(f"node/node{node.id}/meminfo", f"Node {node.id} MemTotal:       {node.memory_kib} kB")
        put(f"node/node{node.id}/distance", " ".join(str(node.distances[i]) for i in sorted(node.distances)))
        put(f"node/node{node.id}/hugepages/hugepages-2048kB/nr_hugepages", 512)
    return root


def test_sysfs(tmp_path):
    server = Topology.regular(2, 4, 2, numa_nodes=2, memory_mib=8192)
    topology = read_sysfs(sysfs(tmp_path, server))
    assert facts(topology) == facts(server)
    assert topology.llc(5) == server.llc(5)
    assert topology.numa_nodes[1].distances == {0: 21, 1: 10}
    assert topology.numa_nodes[0].pages == {4: (4 * 1024**2 - 512 * 2048) // 4, 2048: 512}


def test_sysfs_without_numa_and_caches(tmp_path):
    (tmp_path / "devices/system/cpu/cpu0/topology").mkdir(parents=True)
    assert facts(read_sysfs(tmp_path)) == [(0, 0, 0, 0, (0,))]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cpu/cpu1/topology/core_id", "x", "core_id: expected a number, found 'x'"),
        ("cpu/cpu1/topology/thread_siblings_list", "0-", "expected a CPU list"),
        ("cpu/online", "zzz", "expected a CPU list"),
    ],
)
def test_refused_sysfs(tmp_path, name, content, message):
    sysfs(tmp_path, Topology.regular(cores=2))
    (tmp_path / "devices/system" / name).write_text(content)
    with pytest.raises(InputError) as refused:
        read_sysfs(tmp_path)
    assert message in str(refused.value)


def test_no_sysfs(tmp_path):
    with pytest.raises(InputError, match="expected a sysfs with at least one CPU"):
        read_sysfs(tmp_path)


fragments = st.lists(
    st.sampled_from(
        [
            "cell",
            "cpu",
            "cpus",
            "cells",
            "topology",
            "host",
            "memory",
            "pages",
            "id",
            "socket_id",
            "siblings",
            "'0'",
            "'1'",
            "'0-1'",
            "'-1'",
            "''",
            "unit",
            "size",
            "distances",
            "sibling",
        ]
    ),
    min_size=2,
    max_size=2,
)


@given(fragments, st.integers(0, 30))
def test_a_changed_word_is_read_or_refused(words, position):
    text = CAPABILITIES.format(unit="KiB", cpus="<cpu id='0' socket_id='0' core_id='0' siblings='0'/>" * 2)
    old, new = words
    parts = text.split(old)
    position %= len(parts)
    text = old.join(parts[:position]) + new + old.join(parts[position:])
    with suppress(InputError):
        capabilities_from_text(text, "caps.xml")
