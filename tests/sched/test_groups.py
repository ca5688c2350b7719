"""cgroups in the fair class: what a group weighs on a CPU, reweighting, slices, idle groups, buddies."""

from __future__ import annotations

from itertools import pairwise

import pytest

from rtsim.engine import constants as es
from rtsim.engine.builder import Builder
from rtsim.engine.clock import run_until
from rtsim.engine.state import State
from rtsim.sched import fair, groups
from tests.engine.small import MS, SECOND, TICK, US, machine, run
from tests.sched.queues import BASE_SLICE, On, eevdf_machine, queue, weighted_mean
from tests.sched.topologies import structured

S = 1024 << 10
"""cpu.weight 100."""

# ---- calc_group_shares ----------------------------------------------------------------------------------------------


def spread_group(kind: int = es.CFS, shares: int = 1024) -> State:
    """A group whose task may run on either of two CPUs; its queues are rows 2 and 3."""
    b = machine(cpus=2, fair=kind)
    b.hog("hog", 0, [0, 1], es.OTHER, 0, group=b.group("group", shares=shares))
    return b.build(watched=[])[0]


@pytest.mark.parametrize(
    ("load", "average", "told", "total", "expected"),
    [
        (1024, 0, 0, 0, S),  # alone: all of it
        (1024, 1024, 1024, 4096, S // 4),  # a quarter of the group's load is here
        (1024, 512, 512, 1024, S * 1024 // 1536),  # what is queued counts where the average lags behind
        (0, 512, 512, 1024, S // 2),  # and the average where nothing is queued
        (1024, 0, 0, 10**6, S * 1024 // (10**6 + 1024)),
        (1, 0, 0, 10**12, 2),  # the least
        (3000, 0, 2000, 2000, S),  # never more than the group has
    ],
)
def test_a_groups_weight_on_a_cpu_is_its_part_of_the_groups_load(
    load: int, average: int, told: int, total: int, expected: int
) -> None:
    state = spread_group()
    q = state.cfs_rqs[2]
    q["load"], q["load_avg"], q["load_contrib"] = load << 10, average, told
    state.groups[0]["load_avg"] = total
    assert groups.group_weight(state, 2) == expected


def test_a_group_of_one_cpu_has_its_whole_weight_there() -> None:
    b = machine()
    b.hog("hog", 0, [0], es.OTHER, 19, group=b.group("group", shares=512))
    assert groups.group_weight(b.build(watched=[])[0], 1) == 512 << 10


@pytest.mark.parametrize(
    ("kind", "told", "average", "last_ns", "published"),
    [
        (es.CFS, 640, 650, 0, 640), (es.CFS, 640, 651, 0, 651), (es.CFS, 640, 629, 0, 629),  # by more than 1/64
        (es.CFS, 640, 900, 10 * MS - 1, 900), (es.EEVDF, 640, 900, 10 * MS - 1, 640),  # once a millisecond since EEVDF
        (es.EEVDF, 640, 900, 9 * MS, 900),
    ],
)  # fmt: skip
def test_a_queue_publishes_its_load_when_it_has_moved(
    kind: int, told: int, average: int, last_ns: int, published: int
) -> None:
    state = spread_group(kind)
    state.cpus[0]["clock"] = 10 * MS
    q = state.cfs_rqs[2]
    q["load_updated"] = 10 * MS
    q["load_avg"], q["load_contrib"], q["load_told"] = average, told, last_ns
    state.groups[0]["load_avg"] = 1000
    state.kernels[0]["spread"] = 0  # averages of the entities themselves are of no matter here
    task = 0
    state.entities[task]["queue"] = 2
    groups.update_load_avg(state, task)
    assert int(q["load_contrib"]) == published
    assert int(state.groups[0]["load_avg"]) == 1000 + published - told


# ---- reweight -------------------------------------------------------------------------------------------------------


def reweighted(release: str, row: int, weight: int) -> tuple[State, tuple[int, int]]:
    """Give task `row` of two, 2 ms apart, another weight; return the state and the weighted sum before."""
    state = queue(eevdf_machine(release), [On(0, BASE_SLICE), On(2 * MS, 2 * MS + BASE_SLICE)], running=True)
    before = weighted_mean(state)
    groups.reweight_entity(state, row, weight << 10)
    return state, before


@pytest.mark.parametrize("weight", [512, 2048, 300])
@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize("release", ["6.6", "6.12", "6.18.45", "7.2"])
def test_a_new_weight_scales_lag_and_request_and_leaves_v(release: str, row: int, weight: int) -> None:
    state, (total, load) = reweighted(release, row, weight)
    after, new_load = weighted_mean(state)
    assert after // new_load == pytest.approx(total // load, abs=2)
    e = state.entities[row]
    lag = MS if row == 0 else -MS
    assert int(e["vruntime"]) == pytest.approx(MS - lag * 1024 / weight, abs=2)
    assert int(e["deadline"] - e["vruntime"]) == pytest.approx(BASE_SLICE * 1024 / weight, abs=2)
    assert (int(e["weight"]), int(e["load"])) == (weight, weight << 10)


def test_from_6_13_to_6_18_44_a_new_weight_of_the_running_entity_moves_v() -> None:
    """Lag 1 ms becomes 0.5 by weight; placed by a mean of 2/3 ms that the entity itself is part of, V falls to 5/9."""
    state, _ = reweighted("6.13", 0, 2048)
    total, load = weighted_mean(state)
    assert total // load == pytest.approx(MS * 5 / 9, abs=2)


def test_a_new_weight_outside_any_queue_scales_the_lag() -> None:
    state = queue(eevdf_machine(), [On(), On()], running=True)
    state.entities[1]["on_rq"], state.entities[1]["vlag"] = 0, -900
    groups.reweight_entity(state, 1, 3 << 18)
    assert int(state.entities[1]["vlag"]) == -1200


# ---- slices of groups -----------------------------------------------------------------------------------------------


def nested(b: Builder, depth: int = 3) -> list[int]:
    """Add groups one in the other, as libvirt nests machine.slice, a VM's scope and a vCPU's group."""
    rows: list[int] = []
    for level in range(depth):
        rows.append(b.group(f"level{level}", parent=rows[-1] if rows else es.NONE))
    return rows


@pytest.mark.parametrize(("release", "inherited"), [("6.6", BASE_SLICE), ("6.12", 100 * US)])
def test_groups_ask_for_the_shortest_slice_below_while_it_is_queued(release: str, inherited: int) -> None:
    b = eevdf_machine(release)
    inner = nested(b)[-1]
    b.hog("hog", 0, [0], es.OTHER, 0, group=inner)
    b.periodic(
        "short", 0, [0], es.OTHER, 0,
        period_ns=SECOND, first_ns=10 * MS, work=b.constant(50 * MS), slack_ns=0, slice=100 * US, group=inner,
    )  # fmt: skip
    b.hog("beside", 0, [0], es.OTHER, 0)
    state, _ = b.build(watched=[])
    run_until(state, 9 * MS)
    assert state.entities["slice"][3:].tolist() == [BASE_SLICE] * 3  # `short` has gone to sleep
    run_until(state, 12 * MS)
    assert state.entities["slice"][3:].tolist() == [inherited] * 3


# ---- idle groups and policies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [es.CFS, es.EEVDF])
@pytest.mark.parametrize("grouped", [False, True])
def test_idle_tasks_and_groups_weigh_3_and_give_way_to_any_wakee(kind: int, grouped: bool) -> None:
    """Under EEVDF the pick that follows may find that the wakee is not eligible yet: then it waits for the tick."""
    b = machine(fair=kind)
    if grouped:
        b.hog("idle", 0, [0], es.OTHER, 0, group=b.group("idle", idle=True))
    else:
        b.hog("idle", 0, [0], es.IDLE_POLICY, 0)
    work = b.constant(100 * US)
    task = b.periodic("task", 0, [0], es.OTHER, 0, period_ns=7 * MS, first_ns=7 * MS, work=work, slack_ns=0)
    done = run(b, 300 * MS, [task])
    samples = done.samples("task")
    assert len(samples) == 42
    assert max(samples) <= (0 if kind == es.CFS else TICK)
    assert samples.count(0) > 30
    assert [int(w) for w in done.state.entities["weight"] if w != 1024] == [3]


def test_tasks_of_an_idle_group_count_as_idle_above_it_also_while_it_is_throttled() -> None:
    b = machine()
    group = b.group("idle", idle=True, quota_ns=10 * MS)
    for number in range(2):
        b.hog(f"hog{number}", 0, [0], es.OTHER, 0, group=group)
    b.hog("beside", 0, [0], es.OTHER, 19)  # light enough for the group to use its quota up
    state, _ = b.build(watched=[])
    counts = set()
    for time in range(0, 300 * MS, 2 * MS):
        run_until(state, time)
        q = state.cfs_rqs[0]
        counts.add((int(q["h_nr_running"]), int(q["h_nr_idle"]), int(state.cfs_rqs[1]["throttled"])))
    assert counts == {(3, 2, 0), (1, 0, 1)}


# ---- buddies --------------------------------------------------------------------------------------------------------


def after_the_sleeper(b: Builder) -> list[str]:
    """Return who follows whenever a task of a group sleeps that has another to run, beside a hog outside."""
    group = b.group("group")
    b.hog("inside", 0, [0], es.OTHER, 0, group=group)
    work = b.constant(100 * US)
    b.periodic("sleeper", 0, [0], es.OTHER, 0, period_ns=13 * MS, first_ns=13 * MS, work=work, slack_ns=0, group=group)
    b.hog("outside", 0, [0], es.OTHER, 0)
    switches = run(b, 500 * MS).switches(after_ns=10 * MS)
    return [after for (_, name), (_, after) in pairwise(switches) if name == "sleeper"]


def test_who_sleeps_leaves_the_cpu_to_its_group_if_that_is_fair_under_cfs() -> None:
    followers = after_the_sleeper(machine())
    assert followers.count("inside") > 0.8 * len(followers)


@pytest.mark.parametrize(
    ("pick_buddy", "vruntime", "picked"),
    [(1, 0, 0), (0, 0, 1), (1, 1, 1)],  # with the feature; without; not eligible
)
def test_under_eevdf_a_buddy_is_picked_if_eligible_where_the_release_looks_at_it(
    pick_buddy: int, vruntime: int, picked: int
) -> None:
    state = queue(eevdf_machine("6.12", pick_buddy=pick_buddy), [On(vruntime, 9), On(0, 5)], running=False)
    state.cfs_rqs[0]["next"] = 0
    assert fair.pick_task_fair(state, 0) == picked


# ---- groups whose tasks move ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [es.CFS, es.EEVDF], ids=["cfs", "eevdf"])
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_a_task_in_nested_groups_has_the_share_of_one_beside_them(kind: int, levels: int) -> None:
    """What it leaves behind on a CPU ages, and the groups above follow it to the other one."""
    b = structured(1, 2, 1, fair=kind)
    group = es.NONE
    for level in range(levels):
        group = b.group(f"/level{level}", parent=group)
    rows = [b.hog(f"hog{number}", 0, [0, 1], es.OTHER, 0, first_ns=number * MS) for number in range(2)]
    rows.append(b.hog("nested", 0, [0, 1], es.OTHER, 0, group=group))
    done = run(b, 3 * SECOND)
    assert [int(done.state.tasks[row]["cpu_ns"]) / (3 * SECOND) for row in rows] == pytest.approx([2 / 3] * 3, abs=0.12)
    assert int(done.task("nested")["migrations"]) > 0


def test_two_guests_in_groups_of_their_own_share_four_cpus_evenly() -> None:
    """As libvirt lays them out: a group a guest, in it one a vCPU."""
    b = structured(1, 4, 1, fair=es.EEVDF)
    shares = []
    for guest in range(2):
        above = b.group(f"/{guest}")
        vcpus = [
            b.hog(
                f"{guest}/vcpu{number}", 0, range(4), es.OTHER, 0, group=b.group(f"/{guest}/{number}", parent=above),
                first_ns=(4 * guest + number) * MS,
            )
            for number in range(4)
        ]  # fmt: skip
        shares.append(vcpus)
    done = run(b, 2 * SECOND)
    totals = [sum(int(done.state.tasks[row]["cpu_ns"]) for row in vcpus) / (2 * SECOND) for vcpus in shares]
    assert totals == pytest.approx([2, 2], abs=0.15)
