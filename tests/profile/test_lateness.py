"""How late timers are served: the entry of their interrupt and the exits of idle states, from events."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest

from rtsim.inputs.errors import InputError
from rtsim.profile import load_profile
from rtsim.profile.calibration import calibrate
from rtsim.profile.calibration.idle_states import WITHOUT_DRIVER, IdleState, idle_states
from rtsim.profile.calibration.steps import StepReader
from rtsim.traces.text import TextTrace

ENTRY_NS, EXIT_NS = 800, {0: 100, 2: 7_000}
BASE_ENTRY_NS = 300
STATES = {0: IdleState("poll", 0), 2: IdleState("C1E", 20_000)}


def wake_up(second: int, late_ns: int, running: str, *, before: tuple[str, ...] = ()) -> str:
    """Return a timer that expires at half a second and is read so late; `before`: lines ahead of its interrupt."""
    due = second * 10**9 + 500_000_000
    stamp = f"{second}.500009000"
    lines = (
        f"a-7 [000] {second}.400000000: hrtimer_start: hrtimer=0x{second} function=f expires={due} softexpires={due}",
        *before,
        f"{running} [000] {stamp}: local_timer_entry: vector=236",
        f"{running} [000] {stamp}: hrtimer_expire_entry: hrtimer=0x{second} function=f now={due + late_ns}",
        f"{running} [000] {second}.500012000: local_timer_exit: vector=236",
    )
    return "".join(f"  {line}\n" for line in lines)


def idles(second: int, state: int) -> tuple[str, ...]:
    """Return the events of an idle state entered before and left for a timer at half a second."""
    return (
        f"<idle>-0 [000] {second}.450000000: cpu_idle: state={state} cpu_id=0",
        f"<idle>-0 [000] {second}.500008000: cpu_idle: state=4294967295 cpu_id=0",
    )


def read(text: str, states=STATES) -> StepReader:
    reader = StepReader()
    reader.begin({}, states)
    for chunk in TextTrace(BytesIO(text.encode()), "trace"):
        reader.read(chunk)
    return reader


def lates(text: str, states=STATES):
    fits = read(text, states).late.fits(
        dict(load_profile("untuned").costs.idle_states()), BASE_ENTRY_NS, {"C1E": 20_000}
    )
    return {name: fit.mean_ns for name, fit in fits.items()}


def on_busy(first: int, count: int = 10) -> str:
    return "".join(wake_up(second, ENTRY_NS, "a-7") for second in range(first, first + count))


def on_idle(first: int, state: int, count: int = 10) -> str:
    late_ns = ENTRY_NS + EXIT_NS[state]
    return "".join(wake_up(s, late_ns, "<idle>-0", before=idles(s, state)) for s in range(first, first + count))


def test_each_state_has_its_own_exit_beyond_the_entry() -> None:
    found = lates(on_busy(1) + on_idle(20, 0) + on_idle(40, 2))
    assert found == {"irq_entry": ENTRY_NS, "idle_exit.poll": EXIT_NS[0], "idle_exit.C1E": EXIT_NS[2]}


def test_without_a_busy_cpu_entry_and_exit_are_parted_as_in_the_base() -> None:
    found = lates(on_idle(20, 0) + on_idle(40, 2))
    late_ns = ENTRY_NS + EXIT_NS[0]
    entry_ns = round(late_ns * BASE_ENTRY_NS / (BASE_ENTRY_NS + 100))
    assert found == {
        "irq_entry": entry_ns, "idle_exit.poll": late_ns - entry_ns, "idle_exit.C1E": ENTRY_NS + EXIT_NS[2] - entry_ns
    }  # fmt: skip


def test_a_state_is_told_by_the_residencies_of_the_base_where_no_event_tells() -> None:
    woken = "".join(wake_up(second, 140_000, "<idle>-0") for second in range(1, 11))
    assert lates(on_busy(20) + woken) == {"irq_entry": ENTRY_NS, "idle_exit.C6": 140_000 - ENTRY_NS}


def test_what_came_before_the_interrupt_is_no_entry() -> None:
    masked = ("a-7 [000] {}.500001000: irq_handler_entry: irq=24 name=eth0",)
    disturbed = (wake_up(s, 9_000, "a-7", before=(masked[0].format(s),)) for s in range(20, 60))
    assert lates(on_busy(1) + "".join(disturbed)) == {"irq_entry": ENTRY_NS}


def test_a_state_of_which_nothing_is_known_is_left_out() -> None:
    text = on_busy(1) + on_idle(20, 2)
    assert lates(text, {2: IdleState("C9")}) == {"irq_entry": ENTRY_NS}
    assert lates(text, WITHOUT_DRIVER) == {"irq_entry": ENTRY_NS}


def test_exits_are_written_beside_the_other_states_of_the_base(tmp_path: Path) -> None:
    (tmp_path / "trace.txt").write_text(on_busy(1) + on_idle(20, 0))
    calibrate(tmp_path, base="untuned").write(tmp_path / "found.yaml")
    found = load_profile(tmp_path / "found.yaml").costs
    assert found.idle_exit["poll"].constant == EXIT_NS[0]
    assert "cpu_idle" in found.idle_exit["poll"].source
    known = load_profile("untuned").costs.idle_exit
    assert {name: entry for name, entry in found.idle_exit.items() if name != "poll"} == {
        name: entry for name, entry in known.items() if name != "poll"
    }


def host(folder: Path, **files: str) -> Path:
    for number, name in enumerate(("POLL", "C1_ACPI", "C1E-SKX", "haltpoll idle")):
        state = folder / f"sys/devices/system/cpu/cpu0/cpuidle/state{number}"
        state.mkdir(parents=True)
        (state / "name").write_text(f"{name}\n")
        (state / "residency").write_text(files.get(f"residency{number}", f"{number * 10}\n"))
    return folder


def test_states_have_the_names_of_the_profile(tmp_path: Path) -> None:
    assert idle_states(host(tmp_path)) == {
        0: IdleState("poll", 0), 1: IdleState("C1", 10_000), 2: IdleState("C1E", 20_000)
    }  # fmt: skip
    assert idle_states(tmp_path / "none") == WITHOUT_DRIVER


def test_a_residency_that_is_no_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"state1/residency: expected a number, found 'deep"):
        idle_states(host(tmp_path, residency1="deep\n"))
