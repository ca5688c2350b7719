"""Random cases for comparing rtsim's placement with the real Nova: hosts, configurations, flavors, images, PCI.

Five kinds are mixed: ``general`` (one guest on a host in any state), ``numa`` (several asymmetric guest cells on
unevenly used host cells, where Nova's remembered fits go wrong), ``caps`` (hosts from libvirt's capabilities, filled
guest by guest), ``fill`` (one host, a sequence of like guests until nothing fits) and ``odd`` (values nobody should
write). Most guests are sensible; some are refused, and the refusals must agree too. A case depends on (seed, number)
alone.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

Json = dict[str, Any]

ODD_SPECS = [
    "a",
    "3-1",
    "^",
    "^x",
    "",
    " ^0",
    "0-",
    ",,0",
    "1-2-3",
    "-1",
    "0-3,^0-3",
    "^0,^1",
    "2 - 3",
    "+1",
    "1_0",
    "99",
]
ODD_SIZES = [
    "bogus",
    "2XB",
    "-4",
    "0",
    "2M",
    "2mb",
    "2048b",
    "16384bit",
    "1.5MB",
    "-1KB",
    "-2KB",
    "",
    "٢",
    "1e3",
    "0.5KB",
]
ODD_NUMBERS = ["0", "-1", "x", "", "2.0", " 2", "1", "3", "65537", "1_0"]
SIZES = {
    "small": 4,
    "4": 4,
    "large": 2048,
    "any": 2048,
    "2MB": 2048,
    "2048": 2048,
    "2MiB": 2048,
    "1GB": 1048576,
    "64": 64,
}
TRUTHS = ["yes", "true", "1", "on", "T", "Y", "no", "false", "0", "", "maybe", " yes "]


def cpu_spec(r: random.Random, cpus: set[int]) -> str:
    """Write a CPU set in one of the ways people do."""
    ordered = sorted(cpus)
    if r.random() < 0.5:
        return ",".join(map(str, ordered))
    parts: list[str] = []
    while ordered:
        run = 1
        while run < len(ordered) and ordered[run] == ordered[0] + run:
            run += 1
        parts.append(str(ordered[0]) if run == 1 else f"{ordered[0]}-{ordered[run - 1]}")
        ordered = ordered[run:]
    r.shuffle(parts)
    return (", " if r.random() < 0.2 else ",").join(parts)


def cores_of(r: random.Random, nodes: int, most_cores: int = 12) -> list[list[list[int]]]:
    """Return nodes of cores of threads, numbered as one of several machines does."""
    threads = r.choices([1, 2, 4, 8], [30, 55, 10, 5])[0]
    cores = r.randint(1, most_cores if threads < 4 else max(1, most_cores // 3))
    total = nodes * cores
    style = r.choice(["adjacent", "spread", "spread", "striped", "offset"])
    machine: list[list[list[int]]] = []
    for node in range(nodes):
        listed: list[list[int]] = []
        for core in range(cores):
            number = core * nodes + node if style == "striped" else node * cores + core
            if style == "adjacent":
                listed.append([number * threads + t for t in range(threads)])
            elif style == "offset":
                listed.append([number + t * total + 3 for t in range(threads)])
            else:
                listed.append([number + t * total for t in range(threads)])
        machine.append(listed)
    if r.random() < 0.15:
        for listed in machine:
            for core_list in listed:
                r.shuffle(core_list)
    if r.random() < 0.1:  # offline threads: cores of different widths
        for listed in machine:
            for core_list in listed:
                if len(core_list) > 1 and r.random() < 0.3:
                    core_list.pop()
    return machine


def divide(r: random.Random, machine: list[list[list[int]]], conf: Json) -> tuple[set[int], set[int]]:
    """Choose shared and dedicated CPUs and write the configuration that says so."""
    everything = [cpu for node in machine for core in node for cpu in core]
    kind = r.choices(["dedicated", "both", "legacy", "pin_set", "shared"], [25, 40, 15, 10, 10])[0]
    if kind == "legacy":
        return set(everything), set(everything)
    if kind == "pin_set":
        chosen = set(r.sample(everything, r.randint(1, len(everything))))
        conf["vcpu_pin_set"] = cpu_spec(r, chosen)
        if r.random() < 0.2:
            conf["cpu_shared_set"] = cpu_spec(r, set(r.sample(everything, 1)))
        return chosen, chosen
    if kind == "shared":
        conf["cpu_shared_set"] = cpu_spec(r, set(everything))
        return set(everything), set()
    if kind == "dedicated":
        dedicated = set(r.sample(everything, r.randint(max(1, len(everything) // 2), len(everything))))
        conf["cpu_dedicated_set"] = cpu_spec(r, dedicated)
        return set(), dedicated
    shared: set[int] = set()
    how = r.choice(["threads", "cores", "random"])
    for node in machine:
        for core in node:
            if how == "cores" and r.random() < 0.3:
                shared |= set(core)
            elif how == "threads" and r.random() < 0.3:
                shared.add(core[-1])
            elif how == "random":
                shared |= {cpu for cpu in core if r.random() < 0.25}
    dedicated = set(everything) - shared or {everything[0]}
    shared -= dedicated
    conf["cpu_dedicated_set"] = cpu_spec(r, dedicated)
    if shared:
        conf["cpu_shared_set"] = cpu_spec(r, shared)
    return shared, dedicated


def page_pools(r: random.Random, memory_mib: int, used: bool) -> list[Json]:
    kind = r.choices(["none", "small", "2m", "2m1g", "1g", "64k"], [3, 32, 30, 25, 6, 4])[0]
    if kind == "none":
        return []
    smallest = 64 if kind == "64k" else 4
    left = memory_mib * 1024
    pools: list[Json] = []
    if "1g" in kind:
        count = r.randint(0, max(0, left // 1048576))
        left -= count * 1048576
        pools.append({"size_kb": 1048576, "total": count, "used": r.randint(0, count) if used else 0, "reserved": 0})
    if "2m" in kind:
        count = r.randint(0, left // 2048)
        left -= count * 2048
        pool = {"size_kb": 2048, "total": count, "used": r.choice([0, count // 2]) if used else 0, "reserved": 0}
        if r.random() < 0.2:
            pool["reserved"] = r.randint(0, 64)
        pools.append(pool)
    total = left // smallest
    pools.append({"size_kb": smallest, "total": total, "used": r.choice([0, 0, 0, total // 4]) if used else 0})
    if r.random() < 0.9:
        pools.reverse()
    return pools


def host_cells(r: random.Random, nodes: int, *, uneven: bool = False) -> tuple[list[Json], Json]:
    """Return a host as Nova keeps it, in use, and its configuration."""
    conf: Json = {}
    machine = cores_of(r, nodes, 8 if uneven else 12)
    shared, dedicated = divide(r, machine, conf)
    ids = r.choice([list(range(nodes))] * 9 + [[2 * n for n in range(nodes)]])
    if r.random() < 0.05:
        r.shuffle(ids)
    busy = r.random() < 0.6 or uneven
    cells: list[Json] = []
    for number, node in enumerate(machine):
        here = {cpu for core in node for cpu in core}
        mine = sorted(here & dedicated)
        memory = r.choice([512, 1024, 2048, 4096, 4096, 8192, 16384])
        share = r.choice([0.1, 0.2, 0.4, 0.8])
        siblings = [[cpu for cpu in core if cpu in shared | dedicated] for core in node]
        if r.random() < 0.3:
            r.shuffle(siblings)
        cells.append(
            {
                "id": ids[number],
                "memory_mib": memory,
                "cpuset": sorted(here & shared),
                "pcpuset": mine,
                "siblings": [core for core in siblings if core],
                "pinned_cpus": [cpu for cpu in mine if busy and r.random() < share],
                "cpu_usage": r.randint(0, 12) if busy and r.random() < 0.5 else 0,
                "memory_usage_mib": r.randrange(0, memory + 512, 128) if busy and r.random() < 0.5 else 0,
                "mempages": page_pools(r, memory, busy),
                "socket": r.choice([number, number // 2, None]) if r.random() < 0.3 else number,
            }
        )
    return cells, conf


def realtime_mask(r: random.Random, vcpus: int) -> str:
    last = vcpus - 1
    a, b = sorted((r.randint(0, last), r.randint(0, last)))
    return r.choice(
        [f"^{a}", f"^0-{a}", f"^0-{a}", f"{a}-{b}", f"{b}", f"0-{last},^{a}", f"^0,^{a}", f"0-{last}", f"{a},{b}"]
        + ([r.choice(ODD_SPECS)] if r.random() < 0.3 else [])
        + ([f"0-{last + 1}"] if r.random() < 0.3 else [])
    )


def cpu_options(r: random.Random, cells: list[Json], vcpus: int, specs: dict[str, str], image: Json) -> None:
    """Write CPU policy, threads, realtime and emulator options."""
    pinnable = any(cell["pcpuset"] for cell in cells)
    policy = r.choices(["dedicated", "mixed", "shared", None], [55 if pinnable else 5, 20 if pinnable else 2, 8, 17])[0]
    if policy:
        (image if r.random() < 0.1 else specs)["hw:cpu_policy"] = policy
    if policy in ("dedicated", "mixed") or r.random() < 0.06:
        if r.random() < 0.45:
            (image if r.random() < 0.12 else specs)["hw:cpu_thread_policy"] = r.choice(["prefer", "isolate", "require"])
        if r.random() < 0.45:
            specs["hw:emulator_threads_policy"] = r.choice(["isolate", "isolate", "share"])
        if r.random() < (0.35 if policy == "mixed" else 0.45):
            specs["hw:cpu_realtime"] = r.choice(TRUTHS) if r.random() < 0.2 else "yes"
            if r.random() < 0.85:
                (image if r.random() < 0.12 else specs)["hw:cpu_realtime_mask"] = realtime_mask(r, vcpus)
        if policy == "mixed" and ("hw:cpu_realtime" not in specs or r.random() < 0.05):
            specs["hw:cpu_dedicated_mask"] = realtime_mask(r, vcpus)
    for key in [key for key in image if ":" in key]:
        image[key.replace(":", "_")] = image.pop(key)


def numa_options(r: random.Random, nodes: int, vcpus: int, memory: int, specs: dict[str, str], image: Json) -> None:
    """Write NUMA nodes, and perhaps which vCPUs and how much memory each has."""
    (image if r.random() < 0.08 else specs)["hw:numa_nodes"] = str(nodes)
    if "hw:numa_nodes" in image:
        image["hw_numa_nodes"] = int(image.pop("hw:numa_nodes"))
    if r.random() < 0.5:
        return
    order = list(range(vcpus))
    if r.random() < 0.4:
        r.shuffle(order)
    cuts = sorted(r.choices(range(vcpus + 1), k=nodes - 1)) if r.random() < 0.3 else even_cuts(nodes, vcpus)
    left = memory
    for node, (low, high) in enumerate(zip([0, *cuts], [*cuts, vcpus], strict=True)):
        size = left if node == nodes - 1 else r.choice([memory // nodes, left // 2, min(left, 256)])
        left -= size
        cpus = ",".join(map(str, order[low:high]))
        if r.random() < 0.01:
            cpus = r.choice(ODD_SPECS)
        if r.random() < 0.01:
            size += 64
        target = image if image.get("hw_numa_nodes") and r.random() < 0.9 else specs
        prefix = "hw_" if target is image else "hw:"
        target[f"{prefix}numa_cpus.{node}"] = cpus
        if r.random() > 0.01:
            target[f"{prefix}numa_mem.{node}"] = str(size)


def even_cuts(nodes: int, vcpus: int) -> list[int]:
    return [round(vcpus * node / nodes) for node in range(1, nodes)]


def rare_options(r: random.Random, vcpus: int, specs: dict[str, str], image: Json) -> None:
    """Write what few flavors have."""
    for part in ("sockets", "cores", "threads"):
        if r.random() < 0.1:
            specs[f"hw:cpu_{part}"] = str(r.choice([1, 2, 2, 3, 4, 8]))
        if r.random() < 0.04:
            specs[f"hw:cpu_max_{part}"] = str(r.choice([1, 2, 4, 8]))
        if r.random() < 0.04:
            image[f"hw_cpu_{part}"] = r.choice([1, 2, 4, "2"])
        if r.random() < 0.03:
            image[f"hw_cpu_max_{part}"] = r.choice([1, 2, 4, 16])
    if r.random() < 0.04:
        specs["hw:locked_memory"] = r.choice(TRUTHS)
    if r.random() < 0.02:
        image["hw_locked_memory"] = r.choice(["true", "false", True])
    for name in ("shares", "quota", "period"):
        if r.random() < 0.03:
            specs[f"quota:cpu_{name}"] = str(r.choice([1000, 4096, 100000]))
    if r.random() < 0.02:
        specs["hw:pmem"] = r.choice(["6GB", " , ", "a,b", ""])
    if r.random() < 0.02:
        specs["hw:maxphysaddr_mode"] = r.choice(["passthrough", "emulate"])
        specs["hw:maxphysaddr_bits"] = r.choice(["42", "46"])
    if r.random() < 0.03:
        key = r.choice(["resources:VCPU", "resources:PCPU", "resources1:PCPU", "resources:PCPU_X", "resources0:PCPU"])
        specs[key] = str(vcpus + r.choice([0, 0, 0, 1]))
        if r.random() < 0.8:
            specs.pop("hw:cpu_policy", None)
    if r.random() < 0.02:
        where = specs if r.random() < 0.6 else image
        where["trait:HW_CPU_HYPERTHREADING"] = r.choice(["required", "forbidden", "preferred"])
    if r.random() < 0.02:
        image[r.choice(["hw_cpu_policy", "hw_cpu_thread_policy"])] = r.choice(
            ["dedicated", "shared", "mixed", "prefer", "isolate", "require", "bogus"]
        )


def guest(r: random.Random, cells: list[Json]) -> Json:
    """Return a guest that has a chance on these cells."""
    free = max((len(set(c["pcpuset"]) - set(c.get("pinned_cpus", ()))) for c in cells), default=1)
    vcpus = r.choice([1, 2, 2, 3, 4, 4, 5, 6, 7, 8, 8, 12, 16])
    if r.random() < 0.85:
        vcpus = min(vcpus, max(1, free))
    memory = r.choice([64, 256, 512, 512, 768, 1000, 1024, 1024, 2048, 4096])
    if r.random() < 0.7:
        memory = min(memory, r.choice([64, 256, 512]))
    nodes = r.choices([1, 2, 3, 4], [25, 55, 10, 10])[0] if r.random() < 0.4 else 0
    if nodes and r.random() < 0.9:
        nodes = min(nodes, len(cells))
        vcpus = max(nodes, vcpus - vcpus % nodes)
        memory -= memory % nodes
    specs: dict[str, str] = {}
    image: Json = {}
    cpu_options(r, cells, vcpus, specs, image)
    if nodes:
        numa_options(r, nodes, vcpus, memory, specs, image)
    if r.random() < 0.3:
        sizes = ["small", "large", "any", "any", "2MB", "2048", "4", "1GB", "2MiB", "64"]
        present = {pool["size_kb"] for cell in cells for pool in cell.get("mempages", ())}
        likely = [name for name, kib in SIZES.items() if kib in present] if r.random() < 0.8 else sizes
        specs["hw:mem_page_size"] = r.choice(likely or sizes)
        if r.random() < 0.08:
            image["hw_mem_page_size"] = r.choice([*sizes, 2048])
    rare_options(r, vcpus, specs, image)
    return {"flavor": {"vcpus": vcpus, "memory_mib": memory, "extra_specs": specs}, "image": {"properties": image}}


def surroundings(r: random.Random, case: Json, cells: list[Json]) -> None:
    """Add limits, PCI devices and options of the compute node."""
    conf = case["conf"]
    if r.random() < 0.55:
        case["limits"] = {
            "cpu_allocation_ratio": r.choice([0.5, 1.0, 4.0, 16.0]),
            "ram_allocation_ratio": r.choice([1.0, 1.0, 1.5]),
        }
    if r.random() < 0.15:
        conf["packing_host_numa_cells_allocation_strategy"] = r.choice([True, False])
    if r.random() < 0.1:
        conf["realtime_scheduler_priority"] = r.choice([1, 2, 50, 99])
    if r.random() < 0.02:
        conf["file_backed_memory"] = 1024
    if r.random() < 0.02:
        conf["virt_type"] = r.choice(["qemu", "kvm"])
    if r.random() < 0.15 and "cpu_shared_set" not in conf:
        top = max((cpu for cell in cells for core in cell["siblings"] for cpu in core), default=0)
        conf["cpu_shared_set"] = f"{top + 1}-{top + 2}"
        if r.random() < 0.2:
            case["strict_online"] = True
    if r.random() < 0.12:
        nodes = [cell["id"] for cell in cells]
        case["pci"] = {
            "pools": [
                {"numa_node": r.choice([*nodes, *nodes, None]), "count": r.randint(1, 4), "product_id": product(r)}
                for _ in range(r.randint(1, 3))
            ],
            "requests": [
                {
                    "count": r.choice([1, 1, 2]),
                    "numa_policy": r.choice(["legacy", "required", "preferred", "socket", None]),
                    "product_id": product(r),
                }
                for _ in range(r.choice([0, 1, 1, 2]))
            ],
        }


def product(r: random.Random) -> str:
    return r.choice(["10fb", "10fb", "10fb", "1572", "10FB"])


def general(r: random.Random) -> Json:
    cells, conf = host_cells(r, r.choices([1, 2, 3, 4, 8], [30, 40, 10, 17, 3])[0])
    case: Json = {"host": {"cells": cells}, "conf": conf, **guest(r, cells)}
    surroundings(r, case, cells)
    return case


def numa(r: random.Random) -> Json:
    cells, conf = host_cells(r, r.choice([2, 3, 3, 4, 4, 5]), uneven=True)
    nodes = r.randint(1, min(len(cells), 4))
    parts = [r.randint(0 if r.random() < 0.05 else 1, 5) for _ in range(nodes)]
    memory = [r.choice([64, 256, 256, 512, 1024]) for _ in range(nodes)]
    vcpus = max(1, sum(parts))
    specs = {"hw:numa_nodes": str(nodes), "hw:cpu_policy": r.choice(["dedicated"] * 5 + ["mixed", "shared"])}
    at = 0
    for node, count in enumerate(parts):
        specs[f"hw:numa_cpus.{node}"] = ",".join(map(str, range(at, at + count)))
        specs[f"hw:numa_mem.{node}"] = str(memory[node])
        at += count
    if specs["hw:cpu_policy"] == "mixed":
        specs["hw:cpu_dedicated_mask"] = realtime_mask(r, vcpus)
    elif specs["hw:cpu_policy"] == "dedicated":
        if r.random() < 0.35:
            specs["hw:emulator_threads_policy"] = "isolate"
        if r.random() < 0.35:
            specs["hw:cpu_thread_policy"] = r.choice(["prefer", "isolate", "require", "require"])
        if r.random() < 0.2:
            specs |= {"hw:cpu_realtime": "yes", "hw:cpu_realtime_mask": realtime_mask(r, vcpus)}
    if r.random() < 0.5:
        specs["hw:mem_page_size"] = r.choice(["any", "large", "small", "2MB"])
    flavor = {"vcpus": vcpus, "memory_mib": sum(memory), "extra_specs": specs}
    case: Json = {"host": {"cells": cells}, "conf": conf, "flavor": flavor, "image": {}}
    surroundings(r, case, cells)
    return case


def caps(r: random.Random) -> Json:
    nodes = r.choices([1, 2, 3, 4], [35, 40, 10, 15])[0]
    machine = cores_of(r, nodes)
    conf: Json = {}
    shared, dedicated = divide(r, machine, conf)
    listed: list[Json] = []
    seen: list[Json] = []
    for number, node in enumerate(machine):
        cpus = [
            {"id": cpu, "siblings": core, "socket_id": number if r.random() < 0.97 else 9, "core_id": place}
            for place, core in enumerate(node)
            for cpu in core
        ]
        if r.random() < 0.7:
            cpus.sort(key=lambda cpu: cpu["id"])
        memory = r.choice([1024, 2048, 4096, 8192])
        pages = [{"size_kb": pool["size_kb"], "total": pool["total"]} for pool in page_pools(r, memory, False)]
        kib = memory * 1024 + r.choice([0, 0, 512])
        listed.append({"id": number, "memory_kib": kib, "cpus": cpus, "mempages": pages})
        here = {cpu for core in node for cpu in core}
        seen.append(
            {"id": number, "pcpuset": sorted(here & dedicated), "cpuset": sorted(here & shared), "siblings": node}
        )
    host: Json = {"caps_cells": listed}
    if r.random() < 0.05:
        conf["reserved_huge_pages"] = [
            {"node": "0", "size": r.choice(["2048", "2MB", "4"]), "count": str(r.randint(1, 99))}
        ]
    if r.random() < 0.04:
        host["online_cpus"] = sorted({cpu["id"] for cell in listed for cpu in cell["cpus"]} - {r.randint(0, 3)})
    if r.random() < 0.05:
        host["roundtrip"] = False
    case: Json = {"host": host, "conf": conf, "sequence": [guest(r, seen) for _ in range(r.randint(1, 5))]}
    surroundings(r, case, seen)
    # Sets that name absent CPUs are refused by the host itself; keep most hosts alive.
    if "cpu_shared_set" in conf and not shared and "vcpu_pin_set" not in conf and r.random() < 0.8:
        del conf["cpu_shared_set"]
    return case


def fill(r: random.Random) -> Json:
    cells, conf = host_cells(r, r.choice([1, 2, 2, 4]))
    like = guest(r, cells)
    sequence = [like if r.random() < 0.6 else guest(r, cells) for _ in range(r.randint(2, 6))]
    case: Json = {"host": {"cells": cells}, "conf": conf, "sequence": sequence}
    surroundings(r, case, cells)
    return case


def odd(r: random.Random) -> Json:
    """Return a guest with one or two values nobody should write."""
    case = general(r)
    specs, image = case["flavor"]["extra_specs"], case["image"]["properties"]
    edits: list[Callable[[], None]] = [
        lambda: specs.__setitem__("hw:cpu_realtime_mask", r.choice(ODD_SPECS)),
        lambda: specs.__setitem__("hw:cpu_dedicated_mask", r.choice(ODD_SPECS)),
        lambda: specs.__setitem__("hw:mem_page_size", r.choice(ODD_SIZES)),
        lambda: image.__setitem__("hw_mem_page_size", r.choice(ODD_SIZES)),
        lambda: specs.__setitem__("hw:numa_nodes", r.choice(ODD_NUMBERS)),
        lambda: image.__setitem__("hw_numa_nodes", r.choice([0, -1, "x", 2, "1", 2.7, [1]])),
        lambda: specs.__setitem__(f"hw:cpu_{r.choice(['', 'max_'])}threads", r.choice(ODD_NUMBERS)),
        lambda: image.__setitem__(f"hw_cpu_{r.choice(['', 'max_'])}cores", r.choice([0, -1, "x", "2", None, True])),
        lambda: specs.__setitem__("hw:cpu_policy", r.choice(["bogus", "", "Dedicated", " dedicated", "mixed"])),
        lambda: specs.__setitem__("hw:cpu_thread_policy", r.choice(["bogus", "", "Prefer", "isolate"])),
        lambda: specs.__setitem__("hw:emulator_threads_policy", r.choice(["bogus", "", "Share", "isolate"])),
        lambda: specs.__setitem__("hw:cpu_realtime", r.choice(TRUTHS)),
        lambda: specs.__setitem__(f"hw:numa_cpus.{r.randint(0, 1)}", r.choice(ODD_SPECS)),
        lambda: specs.__setitem__(f"hw:numa_mem.{r.randint(0, 1)}", r.choice(ODD_NUMBERS)),
        lambda: image.__setitem__(f"hw_numa_cpus.{r.randint(0, 1)}", r.choice([*ODD_SPECS, 3])),
        lambda: image.__setitem__(f"hw_numa_mem.{r.randint(0, 1)}", r.choice([*ODD_NUMBERS, 128])),
        lambda: image.__setitem__("hw_cpu_realtime_mask", r.choice([*ODD_SPECS, 1, None, ["^0"]])),
        lambda: image.__setitem__("hw_cpu_policy", r.choice(["bogus", "", None, 1, "mixed"])),
        lambda: image.__setitem__("hw_firmware_type", r.choice(["uefi", "bios", "none"])),
        lambda: specs.__setitem__("quota:cpu_shares", r.choice(["x", "-1", "", "10"])),
        lambda: specs.__setitem__("hw:locked_memory", r.choice(TRUTHS)),
        lambda: specs.__setitem__("resources:PCPU", r.choice(ODD_NUMBERS)),
        lambda: case["conf"].__setitem__("cpu_shared_set", r.choice(ODD_SPECS)),
        lambda: case["conf"].__setitem__("cpu_mode", r.choice(["none", "host-model", "custom", "host-passthrough"])),
        lambda: case["conf"].__setitem__("virt_type", r.choice(["qemu", "lxc", "parallels"])),
        lambda: case["flavor"].__setitem__("vcpus", r.choice([0, 1, 17, 33])),
        lambda: case["flavor"].__setitem__("memory_mib", r.choice([0, 1, 3, 1 << 20])),
        lambda: [cell.__setitem__("siblings", []) for cell in case["host"]["cells"]] and None,  # type: ignore[func-returns-value]
        lambda: [cell.__setitem__("mempages", []) for cell in case["host"]["cells"]] and None,  # type: ignore[func-returns-value]
    ]
    for edit in r.sample(edits, r.choice([1, 1, 2])):
        edit()
    return case


KINDS: dict[str, tuple[Callable[[random.Random], Json], float]] = {
    "general": (general, 0.35),
    "numa": (numa, 0.25),
    "caps": (caps, 0.17),
    "fill": (fill, 0.08),
    "odd": (odd, 0.15),
}


def cases(seed: int, count: int, kind: str | None = None, start: int = 0) -> Iterator[Json]:
    """Yield `count` cases; a case depends on the seed and its number alone."""
    for number in range(start, start + count):
        r = random.Random(f"{seed}/{number}")
        chosen = kind or r.choices(list(KINDS), [weight for _, weight in KINDS.values()])[0]
        case = KINDS[chosen][0](r)
        case["name"] = f"{chosen}-{seed}-{number}"
        yield case


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-n", type=int, default=100)
    parser.add_argument("--kind", choices=list(KINDS))
    options = parser.parse_args()
    for case in cases(options.seed, options.n, options.kind):
        sys.stdout.write(json.dumps(case, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
