"""How releases, preemption models and tunables are read, and what each release's scheduler does."""

import pickle
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtsim.inputs.errors import InputError
from rtsim.kernel import (
    HZ,
    NICE_WEIGHTS,
    PREEMPTION_MODELS,
    Kernel,
    Release,
    nice_weight,
    scaling_factor,
    shares_of_weight,
)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("6.1", "6.1.192"),
        ("6.12", "6.12.117"),
        ("6.18", "6.18.45"),
        ("6.12.5", "6.12.5"),
        ("6.1.0", "6.1.0"),
        ("6.1.0-49-amd64", "6.1.192"),
        ("6.12.117-rt-custom", "6.12.117"),
        ("6.10", "6.10.14"),
        ("5.14.0-503.el9.x86_64", "5.14.21"),
    ],
)
def test_releases(text, version):
    assert str(Release.parse(text)) == version


def test_releases_compare_by_number():
    ordered = ["3.10", "5.15.1", "6.1.5", "6.1", "6.5.13", "6.6", "6.12.30", "6.12.31", "6.12", "6.18", "7.2"]
    releases = [Release.parse(text) for text in ordered]
    assert releases == sorted(releases)


@pytest.mark.parametrize("text", ["", "6", "six", "6.1.2.3.4x" * 30, "8.0", "2.6.32", "6.25", "6.1\n", None, [6, 1]])
def test_refused_releases(text):
    with pytest.raises(InputError, match=r"^kernel: release: expected"):
        Release.parse(text)


def test_a_number_is_no_release():
    with pytest.raises(InputError, match=r'expected the release in quotes, such as "6.1", found 6.1'):
        Release.parse(6.1)


@given(st.text(max_size=20))
def test_any_text_is_a_release_or_refused(text):
    with suppress(InputError):
        assert Release.parse(text).text == text


@pytest.mark.parametrize(
    ("release", "model"),
    [("6.1", "voluntary"), ("6.12", "voluntary"), ("7.2", "lazy"), ("6.1.0-49-rt-amd64", "rt"), ("5.10.1-rt20", "rt")],
)
def test_debians_default_model(release, model):
    assert Kernel.of(release).preempt == model


def test_the_command_line_overrides_the_model():
    assert Kernel.of("6.1", preempt="voluntary", cmdline="preempt=none preempt=full").preempt == "full"
    assert Kernel.of("6.12", preempt="rt", cmdline="preempt=full").preempt == "rt"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"release": "6.12", "preempt": "lazy"},
            "k: preempt: expected another model: 6.12.117 has no lazy preemption, 6.13 brought it",
        ),
        (
            {"release": "7.2", "preempt": "voluntary"},
            "k: preempt: expected full, lazy or rt: 7.2.13 on x86 says `Dynamic Preempt: unsupported mode: voluntary`",
        ),
        (
            {"release": "7.2", "cmdline": "preempt=none"},
            "k: cmdline: preempt: expected full, lazy or rt: "
            "7.2.13 on x86 says `Dynamic Preempt: unsupported mode: none`",
        ),
        ({"cmdline": "preempt=rt"}, "k: cmdline: preempt: expected none, voluntary, full or lazy, found 'rt'"),
        ({"preempt": "Full"}, "k: preempt: expected one of none, voluntary, full, lazy, rt, found 'Full'"),
        ({"hz": 128}, "k: hz: expected one of 100, 250, 300, 1000, found 128"),
        ({"release": "6"}, "k: release: expected a release such as 6.1 or 6.12.117, found '6'"),
        (
            {"sysctl": {"sched_rt_runtime": 1}},
            "k: sysctl: expected a known key, found 'sched_rt_runtime': did you mean sched_rt_runtime_us?",
        ),
        (
            {"sysctl": {"sched_rt_runtime_us": -2}},
            "k: sysctl.sched_rt_runtime_us: expected an integer from -1 to 2147483647, found -2",
        ),
        (
            {"sysctl": {"sched_rt_runtime_us": 2_000_000}},
            "k: sysctl.sched_rt_runtime_us: expected at most sched_rt_period_us (1000000), found 2000000",
        ),
        ({"config": {"rt_group_sched": 1}}, "k: config.rt_group_sched: expected true or false, found 1"),
        (
            {"config": {"ipv6": True}},
            "k: config: expected a known key, found 'ipv6': known are rt_group_sched, irq_time_accounting, "
            "paravirt_time_accounting",
        ),
        ({"cmdline": 'isolcpus="2-3'}, "k: cmdline: expected a closing quote, found none in 'isolcpus=\"2-3'"),
    ],
)
def test_refused_settings(settings, message):
    with pytest.raises(InputError) as refused:
        Kernel.of(**settings, source="k")
    assert str(refused.value) == message


@given(st.sampled_from(PREEMPTION_MODELS), st.sampled_from(["6.1", "6.12", "6.13", "6.18", "7.1", "7.2"]))
def test_which_release_has_which_model(model, release):
    version = Release.parse(release).series
    refused = (model == "lazy" and version < (6, 13)) or (model in ("none", "voluntary") and version >= (7, 2))
    if refused:
        with pytest.raises(InputError):
            Kernel.of(release, preempt=model)
    else:
        assert Kernel.of(release, preempt=model).preempt == model


def test_defaults_are_debians():
    kernel = Kernel.of("6.1")
    assert (kernel.hz, kernel.tick_ns) == (250, 4_000_000)
    assert (kernel.rt_runtime_ns, kernel.rt_period_ns) == (950_000_000, 1_000_000_000)
    assert kernel.rr_timeslice_ticks == 25
    assert kernel.config == dict.fromkeys(("rt_group_sched", "irq_time_accounting", "paravirt_time_accounting"), False)


def test_tunables_are_named_with_or_without_their_folder():
    assert Kernel.of(sysctl={"kernel.sched_rt_runtime_us": -1}).rt_runtime_ns is None
    assert Kernel.of(config={"CONFIG_RT_GROUP_SCHED": True}).config["rt_group_sched"]


@pytest.mark.parametrize("hz", HZ)
def test_ticks(hz):
    assert Kernel.of(hz=hz).tick_ns == 10**9 // hz


@pytest.mark.parametrize(("n_cpus", "factor"), [(1, 1), (2, 2), (3, 2), (4, 3), (7, 3), (8, 4), (64, 4)])
def test_scaling_by_number_of_cpus(n_cpus, factor):
    assert scaling_factor(n_cpus) == factor
    assert Kernel.of("6.18").features(n_cpus).base_slice_ns == 700_000 * factor


def test_cfs_as_recorded_on_6_1_with_4_cpus():
    found = Kernel.of("6.1").features(4)
    assert found.fair == "cfs"
    assert found.sched_latency_ns == 18_000_000
    assert found.min_granularity_ns == 2_250_000
    assert found.wakeup_granularity_ns == 3_000_000
    assert found.idle_min_granularity_ns == 750_000


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("6.5", {"fair": "cfs", "protection": "none", "guard": "rt_throttling"}),
        ("6.6", {"fair": "eevdf", "protection": "deadline", "delay_dequeue": False, "preempt_short": False}),
        ("6.11", {"base_slice_ns": 3_000_000, "guard": "rt_throttling", "custom_slice": False}),
        ("6.12.30", {"base_slice_ns": 3_000_000, "guard": "fair_server", "delay_dequeue": True, "custom_slice": True}),
        ("6.12.31", {"base_slice_ns": 2_800_000, "yield_forfeits": False}),
        ("6.12", {"base_slice_ns": 2_800_000, "yield_forfeits": True, "reweight_defect": False}),
        ("6.14", {"base_slice_ns": 3_000_000, "lazy_preemption": True, "preempt_short": True}),
        ("6.15", {"base_slice_ns": 2_800_000, "protection": "deadline"}),
        ("6.17", {"protection": "vprot", "throttle_at_user_return": False}),
        ("6.18.44", {"reweight_defect": True, "throttle_at_user_return": True}),
        ("6.18", {"reweight_defect": False}),
        ("7.2", {"protection": "vprot_moved", "hrtick": True, "only_full_or_lazy": True}),
        ("6.1.191", {"rt_slack_zero": False, "halt_poll_shrink": 0}),
        ("6.1", {"rt_slack_zero": True, "halt_poll_shrink": 0}),
        ("6.12.0", {"halt_poll_shrink": 2}),
    ],
)
def test_rules_by_release(release, expected):
    found = Kernel.of(release).features(8)
    assert {name: getattr(found, name) for name in expected} == expected


def test_realtime_group_scheduling_keeps_throttling():
    assert Kernel.of("6.18", config={"rt_group_sched": True}).features(2).guard == "rt_throttling"


def test_tunables_of_the_fair_class_are_not_scaled():
    assert Kernel.of("6.18", sysctl={"base_slice_ns": 100_000}).features(8).base_slice_ns == 100_000


def test_weights():
    assert (nice_weight(0), nice_weight(5), nice_weight(-20), nice_weight(19)) == (1024, 335, 88761, 15)
    steps = [a / b for a, b in pairwise(NICE_WEIGHTS)]
    assert len(NICE_WEIGHTS) == 40
    assert all(1.18 < step < 1.3 for step in steps)
    assert [shares_of_weight(weight) for weight in (1, 100, 10_000)] == [10, 1024, 102_400]


@pytest.mark.parametrize("nice", [-21, 20])
def test_refused_nice_values(nice):
    with pytest.raises(ValueError, match="expected a nice value from -20 to 19"):
        nice_weight(nice)


def test_it_travels_to_other_processes():
    kernel = Kernel.of("6.1", cmdline="isolcpus=1")
    assert kernel.isolation(range(2)).domain == {1}
    assert pickle.loads(pickle.dumps(kernel)) == kernel
