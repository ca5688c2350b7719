"""What is read from traces of several CPUs: wake-ups without the emulator's turns, times on CPUs, migrations."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtsim.traces.compressed import zstd
from rtsim.validation.placed import TaskPlaced, placed

IDLE, TASK, OTHER = ("<idle>", 0, "swapper/2"), ("task", 7, "task"), ("other", 8, "other")


class Written:
    """An ftrace text, event by event."""

    def __init__(self) -> None:
        self.lines = ["# tracer: nop", "#"]

    def add(self, us: int, cpu: int, on: tuple[str, int, str], event: str, words: str) -> None:
        self.lines.append(f"{on[0]:>16}-{on[1]:<7} [{cpu:03}] d..2. {us // 10**6:5}.{us % 10**6:06}: {event}: {words}")

    def waking(self, us: int, cpu: int, on: tuple[str, int, str], who: tuple[str, int, str] = TASK) -> None:
        self.add(us, cpu, on, "sched_waking", f"comm={who[2]} pid={who[1]} prio=120 target_cpu={cpu:03}")

    def exit(self, us: int, cpu: int, on: tuple[str, int, str]) -> None:
        self.add(us, cpu, on, "local_timer_exit", "vector=236")

    def switch(
        self, us: int, cpu: int, leaves: tuple[str, int, str], comes: tuple[str, int, str], state: str = "R"
    ) -> None:
        words = f"prev_comm={leaves[2]} prev_pid={leaves[1]} prev_prio=120 prev_state={state} ==> "
        self.add(us, cpu, leaves, "sched_switch", f"{words}next_comm={comes[2]} next_pid={comes[1]} next_prio=120")

    def migrate(self, us: int, cpu: int, on: tuple[str, int, str]) -> None:
        self.add(us, cpu, on, "sched_migrate_task", "comm=task pid=7 prio=120 orig_cpu=2 dest_cpu=3")

    def read(self, folder: Path, overrun: str = "overrun: 0") -> TaskPlaced:
        (folder / "overrun").write_text(overrun)
        (folder / "trace.txt.zst").write_bytes(zstd.compress("\n".join([*self.lines, ""]).encode()))
        return placed(folder / "trace.txt.zst").tasks["task"]


@pytest.mark.parametrize(
    ("steps", "on", "delays_us", "stretched", "why"),
    [
        ((100, 107, 111), IDLE, [11], 0, "a wake-up on an idle CPU"),
        ((100, 121, 125), IDLE, [], 1, "a turn within the interrupt"),
        ((100, 107, 130), IDLE, [], 1, "a turn behind it: the CPU had nothing else to do"),
        ((100, 107, 5_000), OTHER, [4_900], 0, "a busy CPU: another task ran on"),
        ((100, 130, 140), OTHER, [], 1, "a turn within the interrupt of a busy CPU"),
    ],
)
def test_wakeups_that_turns_stretch_are_left_out(
    tmp_path: Path, steps: tuple[int, int, int], on: tuple[str, int, str], delays_us: list[int], stretched: int,
    why: str,
) -> None:  # fmt: skip
    trace = Written()
    trace.waking(steps[0], 2, on)
    trace.exit(steps[1], 2, on)
    trace.switch(steps[2], 2, on, TASK, "R" if on is IDLE or stretched else "S")
    found = trace.read(tmp_path)
    assert (found.delays_ns, found.stretched) == ([us * 1_000 for us in delays_us], stretched), why
    assert found.is_stretched == (stretched == 1)


def test_a_turn_between_the_interrupt_and_the_switch_that_it_demands_stretches_the_wakeup(tmp_path: Path) -> None:
    for state, stretched, why in (("R", 1, "the task that ran is preempted"), ("S", 0, "it ran on, and then slept")):
        trace = Written()
        trace.waking(100, 2, OTHER)
        trace.exit(107, 2, OTHER)
        trace.switch(300, 2, OTHER, TASK, state)
        (tmp_path / state).mkdir()
        assert trace.read(tmp_path / state).stretched == stretched, why


def test_turns_stretch_a_wakeup_on_another_cpu_that_idles(tmp_path: Path) -> None:
    for us, busy, stretched, why in (
        (118, IDLE, 0, "code"),
        (420, IDLE, 1, "the idle CPU was not executed"),
        (420, OTHER, 0, "another task ran there"),
    ):
        trace = Written()
        trace.waking(100, 2, OTHER)
        trace.switch(us, 3, busy, TASK)
        (tmp_path / why).mkdir()
        assert trace.read(tmp_path / why).stretched == stretched, why


def test_a_task_that_another_one_keeps_waiting_counts_whatever_happens_meanwhile(tmp_path: Path) -> None:
    trace = Written()
    trace.waking(100, 2, IDLE, OTHER)
    trace.waking(104, 2, IDLE)
    trace.exit(107, 2, IDLE)
    trace.switch(111, 2, IDLE, OTHER)
    trace.exit(4_995, 2, OTHER)
    trace.switch(5_000, 2, OTHER, TASK)
    assert trace.read(tmp_path).delays_ns == [4_896_000]


def test_what_happened_while_a_buffer_was_overwritten_is_left_out(tmp_path: Path) -> None:
    for name, overrun, migrations in (("whole", "overrun: 0 commit overrun: 0", 2), ("cut", "overrun: 9", 1)):
        trace = Written()
        trace.migrate(100, 2, OTHER)
        trace.switch(200, 3, IDLE, TASK)
        trace.migrate(300, 2, OTHER)
        trace.switch(350, 3, TASK, IDLE)
        folder = tmp_path / name
        folder.mkdir()
        found = trace.read(folder, overrun)
        assert found.migrations == migrations
        assert dict(found.on_cpu_ns) == {3: 150_000}
        assert placed(folder / "trace.txt.zst").span_ns == (250_000 if migrations == 2 else 150_000)


def test_a_move_by_a_cpu_that_is_not_traced_shows_where_the_task_runs_next(tmp_path: Path) -> None:
    trace = Written()
    trace.switch(100, 2, IDLE, TASK)
    trace.switch(200, 2, TASK, IDLE)
    trace.switch(300, 1, IDLE, TASK)
    trace.migrate(400, 2, OTHER)
    trace.switch(500, 3, IDLE, TASK)
    found = trace.read(tmp_path)
    assert (found.migrations, found.first_cpu) == (2, 2)
