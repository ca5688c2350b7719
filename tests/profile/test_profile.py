"""Profile files: what they may say, which sources strike which CPU, and that the built-in ones are sound."""

import copy
import pickle
from collections import Counter
from contextlib import suppress

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtsim.inputs.errors import InputError
from rtsim.kernel import CommandLine, Isolation, Kernel
from rtsim.profile import Constant, Exponential, NoiseSource, builtin_profiles, load_profile
from rtsim.profile.load import _path
from rtsim.profile.model import placed

BUILTIN = builtin_profiles()
SERVERS = ("tuned", "untuned")
TUNED_LINE = "isolcpus=domain,managed_irq,2-7 nohz_full=2-7 rcu_nocbs=2-7 irqaffinity=0-1"


def isolation(cmdline, n_cpus=8):
    return Kernel.of("6.1", cmdline=cmdline).isolation(range(n_cpus))


def source(**changes):
    entry = {
        "name": "a", "class": "irq", "cpus": "all", "source": "assumed",
        "arrival": {"poisson": {"rate": "10 / s"}}, "duration": {"constant": "5 us"},
    }  # fmt: skip
    return NoiseSource.model_validate({**entry, **changes})


def test_the_built_in_profiles():
    assert set(BUILTIN) == {*SERVERS, "modern", "nested", "kernel-lab", "recorded-vm"}


@pytest.mark.parametrize("name", BUILTIN)
def test_every_number_names_its_source(name):
    def check(entry, place):
        if isinstance(entry, dict):
            if entry.keys() & {"constant", "uniform", "lognormal", "gamma", "empirical", "mixture", "value", "arrival"}:
                assert entry["source"].strip(), place
                return
            for key, value in entry.items():
                check(value, f"{place}.{key}")
        elif isinstance(entry, list):
            for value in entry:
                check(value, f"{place}.{value['name']}")
        else:
            assert place in (".schema", ".description"), place

    check(yaml.safe_load(_path(name, ".").read_text()), "")


@pytest.mark.parametrize("name", BUILTIN)
@pytest.mark.parametrize("cmdline", ["", TUNED_LINE])
def test_noise_leaves_the_machine_to_its_work(name, cmdline):
    for cpus in (
        load_profile(name).noise_on(isolation(cmdline)),
        load_profile(name).guest_noise_on(isolation(cmdline)),
    ):
        load = Counter()
        for noise, where in cpus:
            for cpu in where:
                load[cpu] += noise.load() / (1 if noise.scope == "machine" else len(where))
        assert all(0 < share < 0.05 for share in load.values())


@pytest.mark.parametrize("name", SERVERS)
def test_isolation_silences_most_of_the_noise(name):
    found = load_profile(name).noise_on(isolation(TUNED_LINE))
    on = {cpu: {noise.name for noise, cpus in found if cpu in cpus} for cpu in (0, 5)}
    assert on[5] < on[0]
    assert not on[5] & {
        "vmstat",
        "rcu",
        "timer",
        "watchdog",
        "timer-2.000s",
        "timer-2.048s",
        "eth0",
        "nvme0",
        "daemons",
    }
    assert {"smi", "kworker"} <= on[5]


def test_an_untuned_host_has_what_a_tuned_one_has_not():
    tuned, untuned = load_profile("tuned"), load_profile("untuned")
    assert {"nmi-watchdog", "rcuop"} <= {noise.name for noise in untuned.noise} - {noise.name for noise in tuned.noise}
    for name in ("timer-2.000s", "timer-2.048s"):
        series = [next(noise for noise in profile.noise if noise.name == name) for profile in (tuned, untuned)]
        assert {noise.arrival.periodic.phase for noise in series} == {"locked"}
        assert series[0].duration.distribution().mean_ns < series[1].duration.distribution().mean_ns


def test_idle_states_follow_the_command_line():
    costs = load_profile("untuned").costs

    def names(cmdline):
        return [name for name, _ in costs.idle_states(CommandLine(cmdline))]

    assert names("") == ["poll", "C1", "C1E", "C6"]
    assert names("intel_idle.max_cstate=2") == ["poll", "C1", "C1E"]
    assert names("processor.max_cstate=1") == ["poll", "C1"]
    assert names("idle=poll") == ["poll"]
    assert [entry.residency for _, entry in costs.idle_states()] == [0, 2000, 20_000, 600_000]


def test_what_per_cpu_and_the_sets_mean():
    iso = isolation("isolcpus=2-3 nohz_full=4", 6)

    def where(**changes):
        return [cpus for _, cpus in placed([source(**changes)], iso)]

    assert where(cpus="all") == [(0, 1, 2, 3, 4, 5)]
    assert where(cpus="housekeeping") == [(0, 1, 5)]
    assert where(cpus="isolated") == [(2, 3, 4)]
    assert where(cpus="1,3") == [(1, 3)]
    assert where(cpus=[3, 1]) == [(1, 3)]
    assert where(cpus="per-cpu") == [(cpu,) for cpu in range(6)]


def test_arguments_remove_sources_from_the_cpus_they_name():
    iso = isolation("isolcpus=2-3 nohz_full=4 nowatchdog", 6)

    def where(**changes):
        return [cpus for _, cpus in placed([source(**changes)], iso)]

    assert where(removed_by=["nohz_full"]) == [(0, 1, 2, 3, 5)]
    assert where(removed_by=["nohz_full", "isolcpus"]) == [(0, 1, 5)]
    assert where(cpus="isolated", removed_by=["isolcpus", "rcu_nocbs"]) == []
    assert where(removed_by=["nowatchdog"]) == []
    assert where(cpus="per-cpu", removed_by=["isolcpus"]) == [(0,), (1,), (4,), (5,)]


def test_machine_scope_is_all_or_nothing():
    iso = isolation("nohz_full=4", 6)
    stall = source(**{"class": "hardware", "scope": "machine", "removed_by": ["nohz_full"]})
    assert placed([stall], iso) == [(stall, (0, 1, 2, 3, 4, 5))]


def test_cpus_that_do_not_exist():
    with pytest.raises(InputError, match=r"profile: noise.a.cpus: expected CPUs that exist, found 9"):
        placed([source(cpus="9")], isolation("", 4))
    with pytest.raises(InputError, match="expected isolation for 8 CPUs, found 4"):
        load_profile("tuned").noise_on(isolation("", 4), 8)


def test_arrivals():
    arrival = source(arrival={"periodic": {"period": "2.048 s", "phase": "locked", "jitter": "20 us"}}).arrival
    assert arrival.interval() == Constant(2_048_000_000)
    assert arrival.periodic.phase == "locked"
    assert (arrival.jitter().min_ns, arrival.jitter().max_ns) == (0, 20_000)
    assert source(arrival={"periodic": {"period": "1 s", "phase": "3 ms"}}).arrival.periodic.phase == 3_000_000
    assert source(arrival={"poisson": {"rate": "4 / s"}}).arrival.interval() == Exponential(250e6)
    burst = source(arrival={"bursts": {"rate": "10 / s", "size": 4, "spacing": "1 us"}}).arrival
    assert burst.rate_hz() == pytest.approx(40, rel=1e-4)
    assert source().load() == pytest.approx(10 * 5e-6, rel=1e-4)


def profile_file(folder, **changes):
    data = yaml.safe_load(_path("tuned", ".").read_text())
    for path, value in changes.items():
        *parents, last = path.split("__")
        target = data
        for key in parents:
            target = target[int(key) if isinstance(target, list) else key]
        target[last] = value
    path = folder / "p.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"costs__wake": {"constant": "1 us"}}, "costs.wake.source: expected this key, found none"),
        ({"costs__wake": {"constant": 5, "source": "x"}}, "costs.wake.constant: expected a duration such as 50 us"),
        ({"costs__wake": {"source": "x"}}, "costs.wake: expected exactly one of constant, uniform, lognormal"),
        (
            {"costs__wake": {"constant": "1 us", "gamma": {"mean": "1 us", "cv": 1}, "source": "x"}},
            "costs.wake: expected exactly one of constant, uniform, lognormal, gamma, exponential, empirical, mixture, "
            "found constant and gamma",
        ),
        (
            {"costs__wake": {"lognormal": {"median": "2 us", "p99": "1 us"}, "source": "x"}},
            "costs.wake.lognormal: expected p99 >= median, found 1000 ns < 2000 ns",
        ),
        (
            {"costs__wake": {"lognormal": {"median": "1 s", "p99": "1000000000 s"}, "source": "x"}},
            "costs.wake: expected values up to 2^62 ns (give it a max), found larger ones in the tail",
        ),
        ({"costs__wake": {"empirical": "nowhere.txt", "source": "x"}}, "nowhere.txt: expected a readable file"),
        (
            {"costs__wake": {"mixture": [{"weight": 1, "mixture": [{"weight": 1, "constant": "0"}]}], "source": "x"}},
            "costs.wake.mixture[0]: expected no mixture within a mixture",
        ),
        ({"costs__wak": 1}, "costs.wak: expected a known key, found 'wak': did you mean 'wake'?"),
        ({"costs__smt_speed": 0}, "costs.smt_speed: expected a number > 0, found 0"),
        ({"costs__idle_exit": {"X9": {"constant": "1 us", "source": "x"}}}, "costs.idle_exit: expected idle states"),
        ({"noise__0__class": "smi"}, "noise[0].class: expected 'hardware', 'nmi', 'irq', 'softirq' or 'thread'"),
        ({"noise__0__cpus": "some"}, "noise[0].cpus: expected"),
        ({"noise__0__policy": "fifo"}, "noise[0]: expected policy and priority with class thread only"),
        ({"noise__1__name": "smi"}, "expected each name once in noise, found 'smi' twice"),
        ({"noise__0__arrival": {"poisson": {"rate": 0}}}, "noise[0].arrival.poisson.rate: expected a rate above zero"),
        ({"noise__0__arrival": {}}, "noise[0].arrival: expected exactly one of periodic, poisson, empirical, bursts"),
        (
            {"noise__0__arrival": {"periodic": {"period": "1 s", "phase": "loked"}}},
            "noise[0].arrival.periodic.phase: expected",
        ),
        ({"emulator__0__holds_lock": "perhaps"}, "emulator[0].holds_lock: expected true or false, found 'perhaps'"),
        ({"schema": 2}, "schema: expected 1, found 2"),
    ],
)
def test_refused_files(tmp_path, changes, message):
    with pytest.raises(InputError) as refused:
        load_profile(profile_file(tmp_path, **changes))
    assert message in str(refused.value)
    assert "pydantic" not in str(refused.value)


def places(data, path=()):
    yield path
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield from places(value, (*path, key))


TUNED = yaml.safe_load(_path("tuned", ".").read_text())
ODD = [
    None,
    "",
    0,
    -1,
    1e300,
    "nan",
    "1 us",
    "9e99 s",
    [],
    {},
    [[]],
    {"x": 1},
    "all",
    True,
    "0-9999999",
    {"constant": "1 s"},
]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(place=st.sampled_from(list(places(TUNED))), odd=st.sampled_from(ODD))
def test_an_odd_value_anywhere_is_taken_or_refused(tmp_path, place, odd):
    data = copy.deepcopy(TUNED)
    target = data
    for key in place[:-1]:
        target = target[key]
    if place:
        target[place[-1]] = odd
    path = tmp_path / "p.yaml"
    path.write_text(yaml.safe_dump(data if place else odd))
    with suppress(InputError):
        profile = load_profile(path)
        assert all(noise.duration.distribution().mean_ns >= 0 for noise in profile.noise)


def test_errors_name_the_line(tmp_path):
    path = profile_file(tmp_path)
    lines = path.read_text().splitlines()
    number = next(i for i, line in enumerate(lines) if line.startswith("schema:"))
    lines[number] = "schema: two"
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match=rf"p.yaml: line {number + 1}: schema: expected 1, found 'two'"):
        load_profile(path)


def test_fifo_threads_need_a_priority():
    thread = {"class": "thread", "policy": "fifo"}
    assert source(**thread, priority=50).priority == 50
    for wrong in ({}, {"priority": 0}, {"policy": "other", "priority": 20}):
        with pytest.raises(ValueError, match="expected a"):
            source(**{**thread, **wrong})


def test_measured_distributions_lie_beside_the_file(tmp_path):
    (tmp_path / "wake.txt").write_text("1000 1\n3000 1\n")
    path = profile_file(tmp_path, costs__wake={"empirical": "wake.txt", "max": "2 us", "source": "measured"})
    assert load_profile(path).costs.wake.distribution().max_ns == 2000
    assert load_profile("p.yaml", folder=tmp_path) == load_profile(path)


def test_mixtures_and_limits():
    duration = {
        "mixture": [
            {"weight": 0.99, "constant": "1 us"},
            {"weight": 0.01, "lognormal": {"median": "50 us", "p99": "200 us", "max": "100 us"}},
        ]
    }
    found = source(duration=duration).duration.distribution()
    assert (found.min_ns, found.max_ns) == (1000, 100_000)


def test_overrides_are_merged_by_key_and_by_name():
    overrides = {
        "costs": {"wake": {"constant": "1 us"}, "smt_speed": 0.5},
        "noise": {"vmstat": {"duration": {"constant": "5 us"}}, "smi": None},
    }
    changed, plain = load_profile("tuned", overrides), load_profile("tuned")
    assert changed.costs.wake.distribution() == Constant(1000)
    assert changed.costs.smt_speed.value == 0.5
    names = [noise.name for noise in changed.noise]
    assert names == [noise.name for noise in plain.noise if noise.name != "smi"]
    assert changed.noise[names.index("vmstat")].duration.distribution() == Constant(5000)
    assert changed.noise[names.index("vmstat")].arrival.periodic.period == 10**9
    assert changed.costs.tick == plain.costs.tick


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"noise": {"smii": None}}, "profile_overrides.noise: smii: expected an existing key to remove, found none"),
        ({"costs": {"wakee": {"constant": "1 us"}}}, "costs.wakee: expected a known key, found 'wakee'"),
        ({"noise": 3}, "noise: expected a list, found 3"),
    ],
)
def test_refused_overrides(overrides, message):
    with pytest.raises(InputError) as refused:
        load_profile("tuned", overrides)
    assert message in str(refused.value)


def test_unknown_profile():
    names = "kernel-lab, modern, nested, recorded-vm, tuned, untuned"
    with pytest.raises(InputError, match=f"nothing: expected a profile file or one of {names}"):
        load_profile("nothing")


def test_it_travels_to_other_processes_and_shows_itself():
    profile = load_profile("tuned")
    assert pickle.loads(pickle.dumps(profile)) == profile
    assert "<td>vmstat</td>" in profile._repr_html_()


def test_isolation_is_enough():
    iso = Isolation.of(CommandLine("isolcpus=1"), [0, 1])
    assert load_profile("tuned").noise_on(iso)
