"""Scheduling domains: within which CPUs the kernel balances fair tasks, for each CPU from its core up to the machine.

Built as ``build_sched_domains`` builds them on x86 (``kernel/sched/topology.c``, ``arch/x86/kernel/smpboot.c``): a
domain for every level of the topology, then those without meaning are dropped. The level of CPUs that share a second
level cache (CLS) is left out: a `Topology` knows last-level caches only, and on cores with a cache of their own the
kernel drops that level itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from rtsim.inputs.cpulist import format_cpulist
from rtsim.inputs.errors import InputError
from rtsim.topology.topology import Topology

__all__ = ["SchedDomain", "scheduling_domains"]

Cpus = frozenset[int]

BASE_FLAGS = frozenset(
    {"SD_BALANCE_NEWIDLE", "SD_BALANCE_EXEC", "SD_BALANCE_FORK", "SD_WAKE_AFFINE", "SD_PREFER_SIBLING"}
)
NEEDS_NO_GROUPS = frozenset({"SD_WAKE_AFFINE"})
"""All other flags mean nothing in a domain with a single group (``SDF_NEEDS_GROUPS``)."""
NODE_RECLAIM_DISTANCE = 30
"""Farther nodes are not balanced to on fork, exec and wake-up (32 on some AMD servers)."""
LOCAL_DISTANCE, REMOTE_DISTANCE = 10, 20
"""What the kernel takes where the firmware tells no distances."""
PKG_SINCE = (6, 7)
"""Before, the level was named DIE."""
SHARE_LLC_SINCE = (6, 9)
"""Before, the flag was named SD_SHARE_PKG_RESOURCES."""


@dataclass(frozen=True)
class SchedDomain:
    """One domain of one CPU, with the numbers of ``struct sched_domain``."""

    name: str
    """SMT, MC, PKG (DIE before 6.7), NODE or NUMA."""
    span: Cpus
    groups: tuple[Cpus, ...]
    """What is balanced against each other; the group of the CPU itself first."""
    flags: frozenset[str]
    imbalance_pct: int
    """How much busier, in percent of the own load, another group must be."""
    cache_nice_tries: int
    """Failed attempts after which tasks whose cache is hot are moved too."""
    min_interval_ms: int
    max_interval_ms: int
    busy_factor: int = 16
    """By which the interval is multiplied on a busy CPU."""
    imb_numa_nr: int = 0
    """Tasks in a node up to which nodes may be unequal."""


@dataclass(frozen=True)
class _Level:
    """One level of the topology, as ``struct sched_domain_topology_level``."""

    name: str
    masks: dict[int, Cpus]
    """CPU -> the CPUs it shares this level with, isolated ones included."""
    flags: frozenset[str] = frozenset()
    distance: int = LOCAL_DISTANCE
    overlaps: bool = False


def scheduling_domains(
    topology: Topology, cpus: Iterable[int] | None = None, *, series: tuple[int, int] = (6, 1)
) -> dict[int, tuple[SchedDomain, ...]]:
    """Return the domains of each CPU, bottom up.

    Parameters
    ----------
    topology
        The machine.
    cpus
        The CPUs of one root domain: those that neither ``isolcpus`` nor a cpuset partition takes away; all by default.
        CPUs outside have no domain and do not appear.
    series
        Kernel series, which decides some names.

    Raises
    ------
    InputError
        `cpus` names CPUs that do not exist.
    """
    everyone = frozenset(topology.cpu_ids)
    cpu_map = everyone if cpus is None else frozenset(cpus)
    if not cpu_map <= everyone:
        exist, unknown = format_cpulist(everyone), format_cpulist(cpu_map - everyone)
        raise InputError("topology", "scheduling domains", f"expected CPUs of {exist}, found {unknown}")
    levels = list(_levels(topology, series))
    built = {cpu: _built(levels, cpu, cpu_map) for cpu in sorted(cpu_map)}
    return {cpu: tuple(_without_degenerate(_with_groups(built, levels, cpu))) for cpu in built}


def _levels(topology: Topology, series: tuple[int, int]) -> Iterator[_Level]:
    shares = "SD_SHARE_LLC" if series >= SHARE_LLC_SINCE else "SD_SHARE_PKG_RESOURCES"
    ids = topology.cpu_ids
    node_of = {cpu.id: cpu.numa_node for cpu in topology.cpus}
    nodes = {node.id: frozenset(cpu.id for cpu in node.cpus) for node in topology.numa_nodes}
    smt = {cpu: frozenset(topology.siblings(cpu)) for cpu in ids}
    yield _Level("SMT", smt, frozenset({"SD_SHARE_CPUCAPACITY", shares}))
    # A cache over several nodes is cut at the node, as the kernel does under sub-NUMA clustering.
    llc = {cpu: frozenset(topology.llc(cpu)) & nodes[node_of[cpu]] for cpu in ids}
    yield _Level("MC", llc, frozenset({shares}))
    node = {cpu: nodes[node_of[cpu]] for cpu in ids}
    if not _has_nodes_in_package(topology):
        yield _Level("PKG" if series >= PKG_SINCE else "DIE", node)
    yield _Level("NODE", node)
    distances = _distances(topology)
    for distance in sorted(set(distances.values()))[1:]:
        within = {
            own: frozenset().union(*(nodes[other] for other in nodes if distances[own, other] <= distance))
            for own in nodes
        }
        masks = {cpu: within[node_of[cpu]] for cpu in ids}
        yield _Level("NUMA", masks, frozenset({"SD_NUMA"}), distance, overlaps=True)


def _has_nodes_in_package(topology: Topology) -> bool:
    """Tell whether a socket spans NUMA nodes; then there is no package level (``x86_has_numa_in_package``)."""
    nodes_of: dict[int, set[int]] = {}
    for cpu in topology.cpus:
        nodes_of.setdefault(cpu.socket, set()).add(cpu.numa_node)
    return any(len(nodes) > 1 for nodes in nodes_of.values())


def _distances(topology: Topology) -> dict[tuple[int, int], int]:
    nodes = [node for node in topology.numa_nodes if node.cpus]
    return {
        (own.id, other.id): own.distances.get(other.id, LOCAL_DISTANCE if own is other else REMOTE_DISTANCE)
        for own in nodes
        for other in nodes
    }


def _built(levels: list[_Level], cpu: int, cpu_map: Cpus) -> list[SchedDomain]:
    """Return the domains of `cpu`, without groups, up to the first that spans the root domain (``sd_init``)."""
    domains: list[SchedDomain] = []
    for level in levels:
        mask = level.masks[cpu]
        span = mask & cpu_map
        if domains:
            span |= domains[-1].span
        flags = BASE_FLAGS | level.flags
        imbalance_pct, nice_tries = 117, 1
        if "SD_SHARE_CPUCAPACITY" in flags:
            imbalance_pct, nice_tries = 110, 0
        elif "SD_NUMA" in flags:
            nice_tries = 2
            flags = flags - {"SD_PREFER_SIBLING"} | {"SD_SERIALIZE"}
            if level.distance > NODE_RECLAIM_DISTANCE:
                flags -= {"SD_BALANCE_EXEC", "SD_BALANCE_FORK", "SD_WAKE_AFFINE"}
        if level.overlaps:
            flags |= {"SD_OVERLAP"}
        # The interval is that of the whole level: isolation makes domains smaller, not their balancing quicker.
        domains.append(SchedDomain(level.name, span, (), flags, imbalance_pct, nice_tries, len(mask), 2 * len(mask)))
        if span == cpu_map:
            break
    return list(_with_numa_imbalance(domains))


def _with_numa_imbalance(domains: list[SchedDomain]) -> Iterator[SchedDomain]:
    """Yield the domains with the imbalance between nodes that is let be, of all levels, those without meaning included.

    The first level above a cache decides: an eighth of its CPUs if it is that cache's alone, else one task a cache.
    """
    tolerated, first_node = 0, 1
    for level, domain in enumerate(domains):
        span = len(domain.span)
        if level and _shares_cache(domains[level - 1]) and not _shares_cache(domain):
            caches = span // len(domains[level - 1].span)
            tolerated = max(1, span >> 3 if caches == 1 else caches)
            first_node = next((len(above.span) for above in domains[level + 1 :] if "SD_NUMA" in above.flags), span)
            yield replace(domain, imb_numa_nr=tolerated)
        else:
            yield replace(domain, imb_numa_nr=tolerated * max(1, span // first_node))


def _shares_cache(domain: SchedDomain) -> bool:
    return not domain.flags.isdisjoint({"SD_SHARE_LLC", "SD_SHARE_PKG_RESOURCES"})


def _with_groups(built: dict[int, list[SchedDomain]], levels: list[_Level], cpu: int) -> list[SchedDomain]:
    return [
        replace(domain, groups=tuple(_groups(built, depth, cpu, overlaps=level.overlaps)))
        for depth, (domain, level) in enumerate(zip(built[cpu], levels, strict=False))
    ]


def _groups(built: dict[int, list[SchedDomain]], depth: int, cpu: int, *, overlaps: bool) -> Iterator[Cpus]:
    """Yield the groups of a domain: the spans one level down, starting at the CPU's own."""
    span = built[cpu][depth].span
    covered: set[int] = set()
    ascending = sorted(span)
    start = ascending.index(cpu)
    for other in ascending[start:] + ascending[:start]:
        if other in covered or (overlaps and len(built[other]) <= depth):
            continue  # the second: a CPU whose tree ends lower, where it spans everything already
        group = frozenset({other}) if depth == 0 else _span_below(built[other], depth, span)
        covered |= group
        yield group


def _span_below(domains: list[SchedDomain], depth: int, span: Cpus) -> Cpus:
    """Return the largest span below `depth` that stays inside `span`: nodes three hops apart reach beyond it."""
    inside = [domain.span for domain in domains[:depth] if domain.span <= span]
    return inside[-1]


def _without_degenerate(domains: list[SchedDomain]) -> Iterator[SchedDomain]:
    """Drop domains that add nothing to the one below, and a lowest one of a single CPU (``cpu_attach_domain``)."""
    kept: list[SchedDomain] = []
    for domain in domains:
        if kept and _adds_nothing(kept[-1], domain):
            if "SD_PREFER_SIBLING" in domain.flags:
                kept[-1] = replace(kept[-1], flags=kept[-1].flags | {"SD_PREFER_SIBLING"})
        else:
            kept.append(domain)
    return iter(kept[1:] if kept and _is_degenerate(kept[0]) else kept)


def _is_degenerate(domain: SchedDomain) -> bool:
    if len(domain.span) == 1:
        return True
    return not (len(domain.groups) > 1 and domain.flags - NEEDS_NO_GROUPS) and not domain.flags & NEEDS_NO_GROUPS


def _adds_nothing(domain: SchedDomain, parent: SchedDomain) -> bool:
    if _is_degenerate(parent):
        return True
    flags = parent.flags if len(parent.groups) > 1 else parent.flags & NEEDS_NO_GROUPS
    return domain.span == parent.span and flags <= domain.flags
