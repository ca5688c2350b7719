"""Known noise, simulated, exported as a trace and calibrated back."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from rtsim.profile import Profile, load_profile
from rtsim.profile.calibration import Calibration, calibrate
from rtsim.profile.calibration.sources import FoundSource
from rtsim.profile.model import NoiseSource
from rtsim.scenario import Scenario
from rtsim.scenario.ftrace import simulated_ftrace
from tests.profile.noisy import noisy_profile, scenario_of


def recovered(seed: int, folder: Path) -> tuple[Profile, Calibration]:
    """Return a known profile and what its trace was calibrated to."""
    scenario = scenario_of(noisy_profile(seed), folder, seed)
    trace = folder / "trace.txt"
    with open(trace, "w") as stream:
        stream.writelines(simulated_ftrace(Scenario.of(scenario, source="noisy")))
    base = scenario["host"]["profile"]
    return load_profile(base), calibrate(trace, base=base)


def agrees(known: NoiseSource, found: FoundSource) -> None:
    where = f"{known.kind} {known.name}: {found.entry('')}"
    cpus = known.cpus if isinstance(known.cpus, str) else ",".join(map(str, known.cpus))
    assert (found.cpus, found.scope) == (cpus, known.scope), where
    assert found.policy == known.policy, where
    assert known.priority in (None, found.priority), where
    (process,) = known.arrival.model_fields_set
    assert found.process.kind == process, where
    if known.arrival.periodic is not None:
        assert found.process.period_ns == pytest.approx(known.arrival.periodic.period, rel=1e-3), where
    assert found.process.rate_hz == pytest.approx(known.arrival.rate_hz(), rel=0.05), where
    assert found.duration.mean_ns == pytest.approx(known.duration.distribution().mean_ns, rel=0.05), where


def check_recovery(seed: int, folder: Path) -> None:
    known, calibration = recovered(seed, folder)
    by_name = {(each.kind, each.name): each for each in calibration.sources or ()}
    assert set(by_name) == {(each.kind, each.name) for each in known.noise}
    for each in known.noise:
        agrees(each, by_name[each.kind, each.name])
    calibration.write(folder / "found.yaml")
    written = load_profile(folder / "found.yaml")
    for known_source in known.noise:
        (again,) = (each for each in written.noise if each.name == known_source.name)
        assert again.load() == pytest.approx(known_source.load(), rel=0.1)


@pytest.mark.parametrize("seed", range(10))
def test_known_noise_is_found_again(seed: int, tmp_path: Path) -> None:
    check_recovery(seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 100))
def test_much_known_noise_is_found_again(seed: int, tmp_path: Path) -> None:
    check_recovery(seed, tmp_path)


def test_what_no_family_fits_is_written_as_measured(tmp_path: Path) -> None:
    profile = noisy_profile(0)
    two_peaks = [{"weight": 1, "constant": "5 us"}, {"weight": 1, "constant": "30 us"}]
    profile["noise"] = [
        {"name": "eth0", "class": "irq", "cpus": "0", "arrival": {"poisson": {"rate": "1000 / s"}},
         "duration": {"mixture": two_peaks}, "source": "drawn"}
    ]  # fmt: skip
    scenario = Scenario.of(scenario_of(profile, tmp_path, 0, "1 s"), source="noisy")
    (tmp_path / "trace.txt").write_text("".join(simulated_ftrace(scenario)))
    found = calibrate(tmp_path / "trace.txt", base="kernel-lab")
    written = found.write(tmp_path / "found.yaml")
    assert [path.name for path in written] == ["1.txt", "found.yaml"]
    assert yaml.safe_load(written[-1].read_text())["noise"][-1]["duration"] == {"empirical": "found.d/1.txt"}
    (source,) = (each for each in load_profile(written[-1]).noise if each.name == "eth0")
    assert source.duration.distribution().mean_ns == pytest.approx(17_500, rel=0.05)
    assert source.load() == pytest.approx(found.profile().noise[-1].load())


def test_a_handler_that_ran_as_a_thread_is_found_without_its_switches(tmp_path: Path) -> None:
    profile = noisy_profile(0)
    profile["noise"] = [
        {"name": "eth0", "class": "irq", "cpus": "0", "arrival": {"poisson": {"rate": "500 / s"}},
         "duration": {"constant": "30 us"}, "source": "drawn"}
    ]  # fmt: skip
    written = scenario_of(profile, tmp_path, 0, "1 s")
    written["host"]["kernel"]["cmdline"] = "threadirqs"
    (tmp_path / "trace.txt").write_text("".join(simulated_ftrace(Scenario.of(written, source="noisy"))))
    sources = calibrate(tmp_path / "trace.txt", base=written["host"]["profile"]).sources or ()
    (found,) = (each for each in sources if each.kind == "irq")
    assert (found.name, found.cpus) == ("eth0", "0")
    assert found.duration.mean_ns == pytest.approx(30_000, rel=0.05)
