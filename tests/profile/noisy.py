"""Random profiles whose noise a trace can tell: few overlaps, and enough arrivals for 5 %."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import yaml

from rtsim.profile.load import profile_data

DURATION = "20 s"
CPUS = 2
IRQS, VECTORS, THREADS = ("eth0", "nvme0q1", "ahci"), ("net_rx", "block", "tasklet"), ("kswapd", "kcompactd", "flusher")


def noisy_profile(seed: int) -> dict[str, Any]:
    """Return a profile with one source each of interrupts, softirqs and threads, and one that nothing can mask."""
    rng = random.Random(seed)
    unmasked = rng.choice(("nmi", "hardware"))
    sources = [
        _source(rng, "irq", rng.choice(IRQS), ("poisson", "periodic", "bursts")),
        _source(rng, "softirq", (vector := rng.choice(VECTORS)), ("poisson", "periodic")) | {"vector": vector},
        _source(rng, "thread", rng.choice(THREADS), ("poisson", "periodic"))
        | rng.choice(({"policy": "other", "priority": 5}, {"policy": "fifo", "priority": rng.randint(1, 90)})),
        _source(rng, unmasked, unmasked, ("poisson", "periodic")),
    ]
    if unmasked == "hardware":
        sources[-1] |= {"cpus": "all", "scope": "machine"}
    return {**profile_data("kernel-lab"), "noise": sources}


def _source(rng: random.Random, kind: str, name: str, processes: tuple[str, ...]) -> dict[str, Any]:
    cpus = rng.choice(("per-cpu", str(rng.randrange(CPUS))))
    return {
        "name": name, "class": kind, "cpus": cpus, "arrival": _arrival(rng, rng.choice(processes)),
        "duration": _duration(rng), "source": "drawn at random",
    }  # fmt: skip


def _arrival(rng: random.Random, process: str) -> dict[str, Any]:
    if process == "poisson":
        return {"poisson": {"rate": f"{rng.randint(450, 550)} / s"}}
    if process == "bursts":
        spacing = f"{rng.randint(60, 90)} us"
        return {"bursts": {"rate": f"{rng.randint(350, 400)} / s", "size": rng.randint(2, 4), "spacing": spacing}}
    jitter = {"jitter": f"{rng.randint(1, 40)} us"} if rng.random() < 0.5 else {}
    return {"periodic": {"period": f"{rng.randint(1_500_000, 3_000_000)} ns", "phase": "random", **jitter}}


def _duration(rng: random.Random) -> dict[str, Any]:
    mean = rng.randint(6, 14)
    return rng.choice(
        (
            {"constant": f"{mean} us"},
            {"uniform": {"min": f"{mean - 4} us", "max": f"{mean + 4} us"}},
            {"gamma": {"mean": f"{mean} us", "cv": rng.choice((0.3, 0.7))}},
            {"lognormal": {"median": f"{mean} us", "p99": f"{mean * rng.randint(2, 4)} us"}},
        )
    )


def scenario_of(profile: dict[str, Any], folder: Path, seed: int, duration: str = DURATION) -> dict[str, Any]:
    """Return a scenario of an idle host with this profile, which is written to `folder`."""
    path = folder / f"noisy{seed}.yaml"
    path.write_text(yaml.safe_dump(profile))
    kernel = {"release": "6.1", "preempt": "voluntary", "hz": 250}
    host = {"topology": {"sockets": 1, "cores": CPUS, "threads": 1}, "kernel": kernel, "profile": str(path)}
    return {"host": host, "workload": {}, "duration": duration, "warmup": "0 s", "seed": seed}
