"""Cpusets and partitions: who may use which CPU, and what the kernel refuses in which words."""

import pytest

from rtsim.inputs.errors import InputError
from rtsim.kernel.cpusets import partitions_of

CPUS = frozenset(range(8))


def effective(written, **options):
    found = partitions_of(
        {path: (own and frozenset(own), kind) for path, (own, kind) in written.items()}, CPUS, **options
    )
    return {each.path: set(each.cpus) for each in found}


def test_members_share_the_cpus_they_name():
    assert effective({"/a": ({0, 1}, "member"), "/b": ({1, 2}, "member")}) == {"/a": {0, 1}, "/b": {1, 2}}


def test_a_child_gets_what_its_parent_has():
    written = {"/a/b": ({1, 2}, "member"), "/a": ({0, 1}, "member")}
    assert effective(written) == {"/a": {0, 1}, "/a/b": {1}}


def test_parents_need_not_be_named():
    assert effective({"/machine.slice/vm.scope": ({4}, "member")}) == {"/machine.slice/vm.scope": {4}}


@pytest.mark.parametrize("kind", ["root", "isolated"])
def test_a_partition_takes_its_cpus_from_everybody_else(kind):
    written = {"/system.slice": ({0, 1, 2}, "member"), "/rt": ({2, 3}, kind)}
    assert effective(written) == {"/system.slice": {0, 1}, "/rt": {2, 3}}


def test_partitions_within_partitions():
    written = {"/rt": ({2, 3, 4}, "root"), "/rt/quiet": ({4}, "isolated")}
    found = partitions_of({path: (frozenset(own), kind) for path, (own, kind) in written.items()}, CPUS)
    assert [(each.path, set(each.cpus), set(each.owned)) for each in found] == [
        ("/rt", {2, 3}, {2, 3, 4}),
        ("/rt/quiet", {4}, {4}),
    ]


@pytest.mark.parametrize(
    ("written", "place", "reason"),
    [
        (
            {"/a": ({7, 8}, "member")},
            "/a: cpuset.cpus",
            "expected CPUs of 0-7, found 8; the kernel says: Invalid argument",
        ),
        ({"/a": (None, "root")}, "/a: cpuset.cpus.partition", "root invalid (cpuset.cpus is empty)"),
        ({"/a": ({0}, "alone")}, "/a: cpuset.cpus.partition", "expected one of member, root, isolated, found 'alone'"),
        (
            {"/a": ({2}, "root"), "/b": ({2, 3}, "isolated")},
            "/b: cpuset.cpus.partition",
            "isolated invalid (Cpu list in cpuset.cpus not exclusive)",
        ),
        (
            {"/a": ({2, 3}, "member"), "/a/b": ({2}, "isolated")},
            "/a/b: cpuset.cpus.partition",
            "isolated invalid (Parent is not a partition root)",
        ),
        (
            {"/a": ({2, 3}, "root"), "/a/b": ({4}, "root")},
            "/a/b: cpuset.cpus.partition",
            "root invalid (Invalid cpu list in cpuset.cpus)",
        ),
        (
            {"/a": (set(range(8)), "isolated")},
            "/a: cpuset.cpus.partition",
            "isolated invalid (Parent unable to distribute cpu downstream)",
        ),
        ({"/a": ({2}, "member"), "/b": ({2, 3}, "root")}, "/a: cpuset.cpus", "found 2 of /b: it would be empty"),
        (
            {"/a": ({2, 3}, "member"), "/a/b": ({4}, "member")},
            "/a/b: cpuset.cpus",
            "expected CPUs of 2-3, which its parent has left, found 4: it would be empty",
        ),
        ({"/": ({2}, "member")}, "/", "the root's cpuset cannot be written"),
    ],
)
def test_refused(written, place, reason):
    with pytest.raises(InputError) as refused:
        effective(written)
    assert str(refused.value).startswith(f"cpusets: {place}: expected ")
    assert reason in str(refused.value)


def test_isolcpus_and_partitions_do_not_mix_in_newer_kernels():
    written = {"/a": ({6, 7}, "root")}
    assert effective(written, isolcpus=frozenset({7}), series=(6, 6)) == {"/a": {6, 7}}
    with pytest.raises(InputError, match=r"\(partition config conflicts with housekeeping setup\)"):
        effective(written, isolcpus=frozenset({7}), series=(6, 7))
    assert effective({"/a": ({6, 7}, "isolated")}, isolcpus=frozenset({7}), series=(6, 7)) == {"/a": {6, 7}}
    with pytest.raises(InputError, match=r"\(cpuset.cpus and cpuset.cpus.exclusive are empty\)"):
        effective({"/a": (None, "root")}, series=(6, 7))
