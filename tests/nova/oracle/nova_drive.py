"""Runs the real Nova on cases, one JSON object a line in and out. Needs an environment with ``nova`` installed.

Nothing here decides anything: it builds Nova's objects, calls ``nova.virt.hardware`` and the libvirt driver, and prints
what they return. Works with Nova 22 (Victoria) to 34 (2026.2); what differs between them is looked up in signatures.
"""

import argparse
import copy
import importlib.metadata
import inspect
import json
import logging
import os
import sys
import time
import warnings

warnings.filterwarnings("ignore")
os.environ.setdefault("OS_NOVA_DISABLE_EVENTLET_PATCHING", "1")
logging.disable(logging.CRITICAL)

import nova.conf  # noqa: E402
from lxml import etree  # noqa: E402
from nova import objects  # noqa: E402
from nova.pci import stats as pci_stats  # noqa: E402
from nova.virt import hardware  # noqa: E402
from nova.virt.libvirt import config as libvirt_config  # noqa: E402
from nova.virt.libvirt import driver as libvirt_driver  # noqa: E402

for module in (hardware, libvirt_driver, pci_stats):
    module.LOG.logger.setLevel(100)

objects.register_all()
CONF = nova.conf.CONF
CONF([], default_config_files=[], default_config_dirs=[])
nova.conf.neutron.register_dynamic_opts(CONF)
DEFAULTS = {"cpu_mode": "host-passthrough", "virt_type": "kvm"}
OPTIONS = {
    "cpu_shared_set": "compute",
    "cpu_dedicated_set": "compute",
    "vcpu_pin_set": None,
    "reserved_huge_pages": None,
    "packing_host_numa_cells_allocation_strategy": "compute",
    "realtime_scheduler_priority": "libvirt",
    "file_backed_memory": "libvirt",
    "cpu_mode": "libvirt",
    "virt_type": "libvirt",
    "cpu_power_management": "libvirt",
}
CONF.set_override("hw_machine_type", ["x86_64=q35"], group="libvirt")
WITH_PROVIDERS = "provider_mapping" in inspect.signature(hardware.numa_fit_instance_to_host).parameters
WITH_TOPOLOGY = "numa_topology" in inspect.signature(hardware.get_best_cpu_topology).parameters
WITH_PCI_TOPOLOGY = "numa_topology" in inspect.signature(pci_stats.PciDeviceStats.__init__).parameters
WITH_VIRT_TYPE = "virt_type" in inspect.signature(libvirt_driver.LibvirtDriver._update_guest_cputune).parameters


class Host:
    """Stands in for the connection to libvirt."""

    def __init__(self, caps, online):
        self.caps = caps
        self.online = online

    def get_capabilities(self):
        return self.caps

    def get_online_cpus(self):
        return set(self.online)

    get_available_cpus = get_online_cpus
    supports_amd_sev = False

    def is_cpu_control_policy_capable(self):
        return True

    def has_min_version(self, *args, **kwargs):
        return True


class Driver(libvirt_driver.LibvirtDriver):
    """Nova's driver without its start-up."""

    def __init__(self, host, topology):
        self._host = host
        self._topology = topology
        self._supports_sev = False
        self._reserved_hugepages = hardware.numa_get_reserved_huge_pages()

    def _get_host_numa_topology(self):
        return self._topology or super()._get_host_numa_topology()

    def __del__(self):
        pass


def capabilities(host):
    caps = libvirt_config.LibvirtConfigCaps()
    caps.host = libvirt_config.LibvirtConfigCapsHost()
    caps.host.cpu = libvirt_config.LibvirtConfigCPU()
    caps.host.cpu.arch = host.get("arch", "x86_64")
    caps.host.topology = libvirt_config.LibvirtConfigCapsNUMATopology()
    for listed in host.get("caps_cells", ()):
        cell = libvirt_config.LibvirtConfigCapsNUMACell()
        cell.id, cell.memory = listed["id"], listed["memory_kib"]
        for one in listed["cpus"]:
            cpu = libvirt_config.LibvirtConfigCapsNUMACPU()
            cpu.id, cpu.socket_id, cpu.core_id = one["id"], one.get("socket_id", 0), one.get("core_id", 0)
            cpu.siblings = hardware.parse_cpu_spec(",".join(map(str, one["siblings"])))
            cell.cpus.append(cpu)
        for pool in listed.get("mempages", ()):
            pages = libvirt_config.LibvirtConfigCapsNUMAPages()
            pages.size, pages.total = pool["size_kb"], pool["total"]
            cell.mempages.append(pages)
        caps.host.topology.cells.append(cell)
    return caps


def host_topology(host):
    cells = []
    for listed in host["cells"]:
        values = {
            "id": listed["id"],
            "cpuset": set(listed.get("cpuset") or ()),
            "pcpuset": set(listed.get("pcpuset") or ()),
            "memory": listed["memory_mib"],
            "cpu_usage": listed.get("cpu_usage", 0),
            "memory_usage": listed.get("memory_usage_mib", 0),
            "pinned_cpus": set(listed.get("pinned_cpus") or ()),
            "siblings": [set(core) for core in listed.get("siblings") or ()],
            "mempages": [
                objects.NUMAPagesTopology(
                    size_kb=pool["size_kb"],
                    total=pool["total"],
                    used=pool.get("used", 0),
                    reserved=pool.get("reserved", 0),
                )
                for pool in listed.get("mempages") or ()
            ],
        }
        if "socket" in objects.NUMACell.fields:
            values["socket"] = listed.get("socket")
        cells.append(objects.NUMACell(**values))
    return objects.NUMATopology(cells=cells)


def stored_and_loaded(topology):
    return objects.NUMATopology.obj_from_db_obj(topology._to_json())


def pages_of(cell):
    return [{"size_kb": p.size_kb, "total": p.total, "used": p.used, "reserved": p.reserved} for p in cell.mempages]


def socket_of(cell):
    return cell.socket if "socket" in cell.fields and cell.obj_attr_is_set("socket") else None


def shown_host(topology):
    return [
        {
            "id": cell.id,
            "cpuset": sorted(cell.cpuset),
            "pcpuset": sorted(cell.pcpuset),
            "siblings": [list(core) for core in cell.siblings],
            "pinned_cpus": sorted(cell.pinned_cpus),
            "memory_mib": cell.memory,
            "memory_usage_mib": cell.memory_usage,
            "cpu_usage": cell.cpu_usage,
            "socket": socket_of(cell),
            "mempages": pages_of(cell),
        }
        for cell in topology.cells
    ]


def shown_guest(topology, cpu_topology):
    return [
        {
            "id": cell.id,
            "memory_mib": cell.memory,
            "cpuset": sorted(cell.cpuset),
            "pcpuset": sorted(cell.pcpuset),
            "cpu_pinning": {str(vcpu): cpu for vcpu, cpu in sorted((cell.cpu_pinning or {}).items())},
            "cpuset_reserved": sorted(cell.cpuset_reserved) if cell.cpuset_reserved else None,
            "pagesize": cell.pagesize,
            "cpu_policy": cell.cpu_policy,
            "cpu_thread_policy": cell.cpu_thread_policy,
            "cpu_topology": cpu_topology,
        }
        for cell in topology.cells
    ]


def flavor_of(wanted):
    return objects.Flavor(
        id=1,
        flavorid="f",
        name="oracle",
        vcpus=wanted["vcpus"],
        memory_mb=wanted["memory_mib"],
        root_gb=1,
        ephemeral_gb=0,
        swap=0,
        extra_specs={str(key): str(value) for key, value in (wanted.get("extra_specs") or {}).items()},
    )


def image_of(wanted):
    return objects.ImageMeta.from_dict(
        {
            "id": "155d900f-4e14-4e4c-a73d-069cbf4541e6",
            "name": "img",
            "properties": dict((wanted or {}).get("properties") or {}),
        }
    )


def limits_of(case):
    limits = case.get("limits")
    if not limits:
        return None
    return objects.NUMATopologyLimits(
        cpu_allocation_ratio=float(limits.get("cpu_allocation_ratio", 4.0)),
        ram_allocation_ratio=float(limits.get("ram_allocation_ratio", 1.0)),
    )


def pci_of(case, topology):
    pci = case.get("pci")
    if not pci:
        return None, None
    stats = pci_stats.PciDeviceStats(topology) if WITH_PCI_TOPOLOGY else pci_stats.PciDeviceStats()
    stats.pools = [
        {
            "vendor_id": "8086",
            "product_id": pool.get("product_id", "10fb"),
            "numa_node": pool.get("numa_node"),
            "count": pool["count"],
            "devices": [],
            "dev_type": "type-PCI",
        }
        for pool in pci.get("pools", ())
    ]
    requests = [
        objects.InstancePCIRequest(
            count=request.get("count", 1),
            numa_policy=request.get("numa_policy"),
            alias_name=f"a{number}",
            is_new=False,
            request_id=f"00000000-0000-0000-0000-{number:012d}",
            spec=[{"vendor_id": "8086", "product_id": request.get("product_id", "10fb")}],
        )
        for number, request in enumerate(pci.get("requests", ()))
    ]
    return requests, stats


def refused(error, stage):
    return {"error": type(error).__name__, "message": str(error), "stage": stage}


def guest_config(driver, fitted, flavor, image):
    """The part of the driver's ``_get_guest_config`` that matters here, in its order."""
    guest = libvirt_config.LibvirtConfigGuest()
    guest.virt_type = CONF.libvirt.virt_type
    guest.memory = flavor.memory_mb * 1024
    guest.vcpus = flavor.vcpus
    numa = driver._get_guest_numa_config(fitted, flavor, image)
    guest.cpuset, guest.cputune, guest.numatune = numa.cpuset, numa.cputune, numa.numatune
    guest.membacking = driver._get_guest_memory_backing_config(fitted, numa.numatune, flavor, image)
    extra = [CONF.libvirt.virt_type] if WITH_VIRT_TYPE else []
    driver._update_guest_cputune(guest, flavor, *extra)
    guest.cpu = driver._get_guest_cpu_config(flavor, image, numa.numaconfig, fitted)
    return guest


def fragments(guest):
    def text(part):
        return None if part is None else etree.tostring(part.format_dom()).decode()

    shown = {
        "cputune": text(guest.cputune),
        "numatune": text(guest.numatune),
        "memoryBacking": text(guest.membacking),
        "cpu": text(guest.cpu),
    }
    domain = etree.Element("domain")
    guest._format_basic_props(domain)
    return shown | {tag: etree.tostring(domain.find(tag)).decode() for tag in ("vcpu", "memory")}


class Clock:
    """Seconds in ``numa_fit_instance_to_host``, for each guest the fastest of so many rounds."""

    rounds = 1
    fit = 0.0
    guests = 0


def fit_to_host(topology, requested, options):
    """Return what Nova's function returns; rounds before the last one only measure, on copies of the guest."""
    fastest = float("inf")
    Clock.guests += 1
    try:
        for left in reversed(range(Clock.rounds)):
            guest = copy.deepcopy(requested) if left else requested
            started = time.perf_counter()
            try:
                fitted = hardware.numa_fit_instance_to_host(topology, guest, **options)
            except Exception:
                if not left:
                    raise
            finally:
                fastest = min(fastest, time.perf_counter() - started)
        return fitted
    finally:
        Clock.fit += fastest


def place(wanted, topology, case, with_xml, online):
    """Return the result for one guest, and the host afterwards."""
    try:
        flavor, image = flavor_of(wanted["flavor"]), image_of(wanted.get("image"))
    except Exception as error:
        return refused(error, "image"), topology
    try:
        realtime = hardware.get_realtime_cpu_constraint(flavor, image)
        hardware.get_cpu_topology_constraints(flavor, image)
        requested = hardware.numa_get_constraints(flavor, image)
    except Exception as error:
        return refused(error, "api"), topology
    result = {
        "requested_numa": None if requested is None else len(requested.cells),
        "emulator_threads_policy": hardware.get_emulator_thread_policy_constraint(flavor),
        "realtime": {
            "enabled": hardware.is_realtime_enabled(flavor),
            "rt_vcpus": sorted(realtime) if realtime else None,
        },
    }
    fitted = None
    if requested is not None:
        requests, stats = pci_of(case, topology)
        options = {"limits": limits_of(case), "pci_requests": requests, "pci_stats": stats}
        if WITH_PROVIDERS:
            options["provider_mapping"] = {} if stats else None
        try:
            fitted = fit_to_host(topology, requested, options)
        except Exception as error:
            return refused(error, "fit"), topology
        if fitted is None:
            return result | {"fit": False}, topology
    try:
        extra = {"numa_topology": fitted} if WITH_TOPOLOGY else {}
        best = hardware.get_best_cpu_topology(flavor, image, **extra)
    except Exception as error:
        cells = shown_guest(fitted, None) if fitted else None
        return refused(error, "cpu_topology") | {"cells": cells}, topology
    result["fit"] = True
    result["cpu_topology"] = cpu_topology = {"sockets": best.sockets, "cores": best.cores, "threads": best.threads}
    result["cells"] = None
    after = topology
    if fitted is not None:
        result["cells"] = shown_guest(fitted, cpu_topology)
        try:
            after = stored_and_loaded(hardware.numa_usage_from_instance_numa(topology, fitted))
            keys = ("id", "pinned_cpus", "memory_usage_mib", "cpu_usage", "mempages")
            result["host_after"] = [{key: cell[key] for key in keys} for cell in shown_host(after)]
        except Exception as error:
            result["usage_error"] = refused(error, "usage")
    if with_xml:
        spawn(result, case, topology, fitted, flavor, image, online)
    return result, after


def spawn(result, case, topology, fitted, flavor, image, online):
    try:
        if online is None:
            online = set()
            for cell in topology.cells:
                online |= cell.cpuset.union(cell.pcpuset, *cell.siblings)
            shared = hardware.get_cpu_shared_set()
            if shared and not case.get("strict_online"):
                online |= shared
        driver = Driver(Host(capabilities({}), online), topology)
        guest = guest_config(driver, fitted, flavor, image)
        result["xml"] = fragments(guest)
        tune = guest.cputune
        if tune is not None and tune.emulatorpin is not None:
            emulator = sorted(tune.emulatorpin.cpuset)
            pins = {pin.id: set(pin.cpuset) for pin in tune.vcpupin}
            inside = sorted(vcpu for vcpu, cpus in pins.items() if cpus <= set(emulator)) if emulator else []
            result["realtime"] |= {"emulator_pcpus": emulator, "emulator_vcpus": inside}
            result["vcpupin"] = {str(vcpu): sorted(cpus) for vcpu, cpus in sorted(pins.items())}
    except Exception as error:
        result["xml_error"] = refused(error, "xml")


def run(case, with_xml=True):
    set_options = []
    try:
        for key, value in (DEFAULTS | (case.get("conf") or {})).items():
            if key in OPTIONS and hasattr(CONF[OPTIONS[key]] if OPTIONS[key] else CONF, key):
                CONF.set_override(key, value, group=OPTIONS[key])
                set_options.append(key)
        return run_on_host(case, with_xml)
    finally:
        for key in set_options:
            CONF.clear_override(key, group=OPTIONS[key])


def run_on_host(case, with_xml):
    host = case["host"]
    result = {}
    online = None
    try:
        if "caps_cells" in host:
            online = set()
            for cell in host["caps_cells"]:
                for cpu in cell["cpus"]:
                    online.add(cpu["id"])
            online = set(host.get("online_cpus", online))
            topology = Driver(Host(capabilities(host), online), None)._get_host_numa_topology()
            if host.get("roundtrip", True):
                topology = stored_and_loaded(topology)
            result["host_topology"] = shown_host(topology)
        else:
            topology = host_topology(host)
    except Exception as error:
        return refused(error, "host")
    if "sequence" not in case:
        return result | place(case, topology, case, with_xml, online)[0]
    result["sequence"] = []
    for wanted in case["sequence"]:
        outcome, topology = place(wanted, topology, case, with_xml, online)
        result["sequence"].append(outcome)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-xml", action="store_true")
    parser.add_argument("--time", action="store_true", help="print times to standard error")
    parser.add_argument("--rounds", type=int, default=1, help="fit each guest so often, for the time of the fastest")
    parser.add_argument("--version", action="store_true", help="print Nova's version")
    options = parser.parse_args()
    if options.version:
        print(importlib.metadata.version("nova"))
        return
    Clock.rounds = options.rounds
    cases = 0
    started = time.process_time()
    # Line by line, so that the other side may ask one case at a time.
    for line in iter(sys.stdin.readline, ""):
        sys.stdout.write(json.dumps(run(json.loads(line), not options.no_xml), sort_keys=True) + "\n")
        sys.stdout.flush()
        cases += 1
    if options.time:
        spent = time.process_time() - started
        report = {"cases": cases, "guests": Clock.guests, "fit_s": Clock.fit, "all_s": spent}
        sys.stderr.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
