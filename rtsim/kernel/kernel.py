"""How one kernel is set up: release, preemption model, HZ, command line, build options and tunables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from rtsim.inputs.errors import InputError, shown
from rtsim.kernel.ablation import ablated, checked_ablations
from rtsim.kernel.commandline import CommandLine
from rtsim.kernel.features import Features, features, rule
from rtsim.kernel.isolation import Isolation, Masks
from rtsim.kernel.release import NEWEST_SERIES, Release
from rtsim.kernel.sysctl import checked_config, checked_sysctl

__all__ = ["DEFAULT_RELEASE", "HZ", "PREEMPTION_MODELS", "Kernel"]

PREEMPTION_MODELS = ("none", "voluntary", "full", "lazy", "rt")
HZ = (100, 250, 300, 1000)
DEFAULT_RELEASE = ".".join(map(str, NEWEST_SERIES))


@dataclass(frozen=True)
class Kernel:
    """A kernel as it runs. Make one with `Kernel.of`, which checks and completes."""

    release: Release
    preempt: str
    """Preemption model in force: none, voluntary, full, lazy or rt."""
    hz: int
    command_line: CommandLine
    config: Mapping[str, bool] = field(hash=False)
    sysctl: Mapping[str, int | None] = field(hash=False)
    ablate: tuple[str, ...] = ()
    """Rules left out, for validation only."""

    @classmethod
    def of(
        cls,
        release: str | Release = DEFAULT_RELEASE,
        *,
        preempt: str | None = None,
        hz: int = 250,
        cmdline: str = "",
        config: Mapping[str, object] | None = None,
        sysctl: Mapping[str, object] | None = None,
        ablate: Iterable[object] = (),
        source: str = "kernel",
    ) -> Kernel:
        """Return the kernel that these settings give.

        Parameters
        ----------
        release
            ``6.1``, ``6.12.117``, ``6.1.0-49-rt-amd64``; without patch level the newest known.
        preempt
            Model the kernel is built with; by default Debian's choice for the release (rt where its name says so).
            ``preempt=`` on the command line overrides it, except on an rt build.
        config, sysctl
            Values that differ from Debian's.
        ablate
            Rules to leave out (`rtsim.kernel.ablation.ABLATIONS`); for validation only.
        source
            Name of the file in errors.

        Raises
        ------
        InputError
            A setting is unknown or out of range, or the release does not have that preemption model.
        """
        parsed = release if isinstance(release, Release) else _parsed(release, source)
        if hz not in HZ or isinstance(hz, bool):
            raise InputError(source, "hz", f"expected one of {', '.join(map(str, HZ))}, found {shown(hz)}")
        command_line = CommandLine(cmdline, f"{source}: cmdline")
        command_line.check()
        built = preempt or ("rt" if parsed.is_rt_build else str(rule("preempt", parsed)))
        _check_model(built, parsed, source, "preempt")
        model = built
        if command_line.preempt is not None and built != "rt":
            model = command_line.preempt
            if model == "rt":
                raise InputError(source, "cmdline: preempt", "expected none, voluntary, full or lazy, found 'rt'")
            _check_model(model, parsed, source, "cmdline: preempt")
        return cls(
            release=parsed,
            preempt=model,
            hz=hz,
            command_line=command_line,
            config=checked_config(config or {}, source),
            sysctl=checked_sysctl(sysctl or {}, source),
            ablate=checked_ablations(ablate, source),
        )

    @property
    def tick_ns(self) -> int:
        """Length of a tick; 300 Hz is cut to whole nanoseconds, as the kernel does."""
        return 10**9 // self.hz

    @property
    def force_irqthreads(self) -> bool:
        """Whether device interrupts and softirqs run in threads: PREEMPT_RT, or ``threadirqs``."""
        return self.preempt == "rt" or self.command_line.threadirqs

    @property
    def autogroups(self) -> bool:
        """Whether tasks of the root cgroup are grouped by their sessions; ``noautogroup`` switches that off."""
        return bool(self._tunable("sched_autogroup_enabled")) and not self.command_line.has("noautogroup")

    @property
    def rt_runtime_ns(self) -> int | None:
        """RT time allowed in each period; None: unlimited."""
        runtime = self._tunable("sched_rt_runtime_us")
        return None if runtime < 0 else runtime * 1000

    @property
    def rt_period_ns(self) -> int:
        """Period of RT throttling."""
        return self._tunable("sched_rt_period_us") * 1000

    @property
    def fair_server_runtime_ns(self) -> int:
        """Run time the fair server gets in each period, where the release has one; 0: none."""
        return self._tunable("fair_server_runtime_ns")

    @property
    def fair_server_period_ns(self) -> int:
        """Period of the fair server."""
        return self._tunable("fair_server_period_ns")

    @property
    def rr_timeslice_ticks(self) -> int:
        """Ticks of a round-robin slice, at least one."""
        return max(1, self._tunable("sched_rr_timeslice_ms") * self.hz // 1000)

    @property
    def cfs_bandwidth_slice_ns(self) -> int:
        """Run time that a CPU draws at once from the pool of a group with cpu.max."""
        return self._tunable("sched_cfs_bandwidth_slice_us") * 1000

    def isolation(self, cpus: Iterable[int], masks: Masks | None = None) -> Isolation:
        """Return what the command line, and masks written after boot, isolate on a machine with these CPUs.

        Raises
        ------
        InputError
            They name CPUs that do not exist, leave none for housekeeping, or contradict each other.
        """
        return Isolation.of(self.command_line, cpus, series=self.release.series, masks=masks or Masks())

    def features(self, n_cpus: int) -> Features:
        """Return the scheduler's rules with `n_cpus` on line, own tunables and build options applied."""
        found = features(self.release, n_cpus)
        changes: dict[str, int | str] = {}
        for tunable, feature in _FAIR_TUNABLES.items():
            value = self.sysctl[tunable]
            if value is not None:
                changes[feature] = value
        if self.config["rt_group_sched"]:
            changes["guard"] = "rt_throttling"
        return ablated(replace(found, **changes), self.ablate)  # type: ignore[arg-type]

    def _tunable(self, name: str) -> int:
        value = self.sysctl[name]
        assert value is not None
        return value


_FAIR_TUNABLES = {
    "sched_latency_ns": "sched_latency_ns",
    "sched_min_granularity_ns": "min_granularity_ns",
    "sched_wakeup_granularity_ns": "wakeup_granularity_ns",
    "base_slice_ns": "base_slice_ns",
}


def _parsed(release: object, source: str) -> Release:
    try:
        return Release.parse(release)
    except InputError as error:
        raise InputError(source, error.place, error.expected) from None


def _check_model(model: str, release: Release, source: str, place: str) -> None:
    if model not in PREEMPTION_MODELS:
        raise InputError(source, place, f"expected one of {', '.join(PREEMPTION_MODELS)}, found {shown(model)}")
    if model == "lazy" and not rule("lazy_preemption", release):
        raise InputError(source, place, f"expected another model: {release} has no lazy preemption, 6.13 brought it")
    if model in ("none", "voluntary") and rule("only_full_or_lazy", release):
        reason = f"Dynamic Preempt: unsupported mode: {model}"
        raise InputError(source, place, f"expected full, lazy or rt: {release} on x86 says `{reason}`")
