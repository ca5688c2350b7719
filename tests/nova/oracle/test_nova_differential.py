"""rtsim's placement against the real Nova: no key may differ.

``RTSIM_NOVA_PYTHON`` names a Python with Nova (default ``.venv-nova/bin/python``); its version selects the rules.
``RTSIM_NOVA_CASES`` (default 1500) and ``RTSIM_NOVA_SEED`` choose the cases.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import random
import time
from collections.abc import Iterator, Sequence
from typing import Any

import nova_generate
import nova_real
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtsim.nova import batch
from rtsim.nova.batch import place_case, place_lines
from rtsim.nova.cell import HostCell
from rtsim.nova.guest import GuestTopology
from rtsim.nova.rules import Release, Rules

CASES = int(os.environ.get("RTSIM_NOVA_CASES", "1500"))
SEED = int(os.environ.get("RTSIM_NOVA_SEED", "34"))
CHUNK = 10_000
ROUNDS = 5

pytestmark = [
    pytest.mark.nova,
    pytest.mark.skipif(not nova_real.PYTHON.exists(), reason=f"no Nova at {nova_real.PYTHON} (make test-nova)"),
]


@pytest.fixture(scope="module")
def release() -> Release:
    return Release.parse(nova_real.version())


@pytest.fixture(scope="module")
def nova() -> Iterator[nova_real.Nova]:
    with nova_real.Nova() as running:
        yield running


def understood(case: nova_generate.Json, release: Release) -> bool:
    """Whether the case's words exist in that release at all."""
    requests = case.get("pci", {}).get("requests", ())
    return release.rules.cells_know_socket or all(request["numa_policy"] != "socket" for request in requests)


def test_no_key_differs(release: Release) -> None:
    for start in range(0, CASES, CHUNK):
        chosen = nova_generate.cases(SEED, min(CHUNK, CASES - start), start=start)
        lines = [json.dumps(case) for case in chosen if understood(case, release)]
        answers, _ = nova_real.ask_all(lines)
        keys, examples = nova_real.compare(lines, place_lines(lines, release), answers)
        assert not keys, f"{dict(keys)}\n" + "\n\n".join(examples)


@settings(
    max_examples=max(100, CASES // 10),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_no_key_differs_found_by_search(data: st.DataObject, nova: nova_real.Nova, release: Release) -> None:
    """As above, with choices made by hypothesis, which shrinks what it finds."""
    kind = data.draw(st.sampled_from(list(nova_generate.KINDS)))
    r: random.Random = data.draw(st.randoms(use_true_random=False))
    case = nova_generate.KINDS[kind][0](r)
    if understood(case, release):
        mine = json.loads(json.dumps(place_case(case, release)))
        assert list(nova_real.differing_keys(mine, nova.ask(case))) == []


def test_fitting_is_many_times_faster(release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same guests in one run: ``fit_guest`` beside ``numa_fit_instance_to_host``, and whole batches.

    On both sides hosts and guests are objects before the clock starts, and of each guest's rounds the fastest counts.
    """
    lines = [json.dumps(case) for case in nova_generate.cases(SEED + 1, 1000) if understood(case, release)]
    fits: list[float] = []
    original = batch.fit_guest

    def timed(cells: Sequence[HostCell], guest: GuestTopology, *rules: Rules, **options: Any) -> bool:
        seconds = []
        for _ in range(ROUNDS):
            # Nothing derived from the host's cells is kept from one round to the next.
            round_cells, round_guest = [cell.reassigned() for cell in cells], copy.deepcopy(guest)
            started = time.perf_counter()
            with contextlib.suppress(Exception):
                original(round_cells, round_guest, *rules, **options)
            seconds.append(time.perf_counter() - started)
        fits.append(min(seconds))
        return original(cells, guest, *rules, **options)

    list(place_lines(lines, release, xml=False))
    started = time.process_time()
    list(place_lines(lines, release, xml=False))
    whole = time.process_time() - started
    monkeypatch.setattr(batch, "fit_guest", timed)
    list(place_lines(lines, release, xml=False))
    _, nova_whole = nova_real.ask_all(lines, "--no-xml")
    _, nova_fits = nova_real.ask_all(lines, "--no-xml", "--rounds", str(ROUNDS))
    fit, nova_fit = sum(fits) / len(fits), nova_fits["fit_s"] / nova_fits["guests"]
    print(
        f"\nfit: {fit * 1e6:.1f} us against {nova_fit * 1e6:.1f} us, {nova_fit / fit:.1f} times; "
        f"whole batch {whole / len(lines) * 1e6:.0f} us a case against "
        f"{nova_whole['all_s'] / len(lines) * 1e6:.0f} us, {nova_whole['all_s'] / whole:.1f} times"
    )
    assert len(fits) == nova_fits["guests"]
    assert nova_fit > 10 * fit
    assert nova_whole["all_s"] > 5 * whole
