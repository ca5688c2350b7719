"""How distributions and arrivals are written in a profile file, and what they become."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from rtsim.inputs.errors import shown
from rtsim.inputs.models import StrictModel
from rtsim.inputs.units import Duration, Rate, parse_duration
from rtsim.profile.distributions import (
    Constant,
    Distribution,
    Empirical,
    Exponential,
    Gamma,
    Limited,
    Lognormal,
    Mixture,
    Uniform,
)
from rtsim.profile.empirical import read_empirical

__all__ = ["FOLDER", "Arrival", "CostEntry", "DistributionEntry", "IdleEntry"]

FOLDER = "folder"
"""Key of the validation context: the folder that ``empirical`` files are relative to."""

LARGEST_CV = 100.0


class _Uniform(StrictModel):
    min: Duration
    max: Duration

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"expected min <= max, found {self.min} ns > {self.max} ns")
        return self


class _Lognormal(StrictModel):
    median: Duration = Field(gt=0)
    p99: Duration
    max: Duration | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.p99 < self.median:
            raise ValueError(f"expected p99 >= median, found {self.p99} ns < {self.median} ns")
        return self


class _Gamma(StrictModel):
    mean: Duration = Field(gt=0)
    cv: float = Field(gt=0.01, le=LARGEST_CV)
    max: Duration | None = None


class _Exponential(StrictModel):
    mean: Duration = Field(gt=0)
    max: Duration | None = None


def _empirical(value: Any, info: ValidationInfo) -> Empirical:
    if isinstance(value, Empirical):
        return value
    if not isinstance(value, str) or not value:
        raise ValueError(f"expected a file name, found {shown(value)}")
    folder = (info.context or {}).get(FOLDER, ".")
    return read_empirical(Path(folder) / value)


class DistributionEntry(StrictModel):
    """Exactly one form, with an optional upper limit beside or inside it."""

    constant: Duration | None = None
    uniform: _Uniform | None = None
    lognormal: _Lognormal | None = None
    gamma: _Gamma | None = None
    exponential: _Exponential | None = None
    empirical: Annotated[Any, BeforeValidator(_empirical)] = None
    mixture: list[MixtureEntry] | None = Field(default=None, min_length=1, max_length=64)
    max: Duration | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        forms = [name for name in _FORMS if getattr(self, name) is not None]
        if len(forms) != 1:
            found = " and ".join(forms) or "none"
            raise ValueError(f"expected exactly one of {', '.join(_FORMS)}, found {found}")
        self.distribution().table()
        return self

    def distribution(self) -> Distribution:
        """Return the distribution meant."""
        inner, limit = self._form()
        limits = [value for value in (limit, self.max) if value is not None]
        return Limited(inner, min(limits)) if limits else inner

    def _form(self) -> tuple[Distribution, int | None]:
        if self.constant is not None:
            return Constant(self.constant), None
        if self.uniform is not None:
            return Uniform(self.uniform.min, self.uniform.max), None
        if self.lognormal is not None:
            return Lognormal(self.lognormal.median, self.lognormal.p99), self.lognormal.max
        if self.gamma is not None:
            return Gamma(self.gamma.mean, self.gamma.cv), self.gamma.max
        if self.exponential is not None:
            return Exponential(self.exponential.mean), self.exponential.max
        if self.mixture is not None:
            return Mixture(tuple((part.weight, part.distribution()) for part in self.mixture)), None
        assert isinstance(self.empirical, Empirical)
        return self.empirical, None


_FORMS = ("constant", "uniform", "lognormal", "gamma", "exponential", "empirical", "mixture")


class MixtureEntry(DistributionEntry):
    """A component of a mixture."""

    weight: float = Field(gt=0, le=1e9)

    @model_validator(mode="after")
    def _flat(self) -> Self:
        if self.mixture is not None:
            raise ValueError("expected no mixture within a mixture: multiply the weights")
        return self


DistributionEntry.model_rebuild()


class CostEntry(DistributionEntry):
    """A cost, and where its number is from (``assumed`` where from nowhere)."""

    source: str = Field(min_length=1)


class IdleEntry(CostEntry):
    """The exit latency of an idle state, and the idle time from which the governor picks it."""

    residency: Duration = 0


def _as_jitter(value: Any) -> Any:
    return value if isinstance(value, dict | DistributionEntry) else {"uniform": {"min": 0, "max": value}}


def _as_phase(value: Any) -> Any:
    return value if value in ("locked", "random") else parse_duration(value)


class Periodic(StrictModel):
    """Arrivals at phase + n * period + jitter. ``locked``: multiples of the period; ``random``: drawn once a run."""

    period: Duration = Field(gt=0)
    phase: Annotated[int | Literal["locked", "random"], BeforeValidator(_as_phase)] = "random"
    jitter: Annotated[DistributionEntry | None, BeforeValidator(_as_jitter)] = None


class Poisson(StrictModel):
    """Arrivals of a Poisson process."""

    rate: Rate


class MeasuredIntervals(StrictModel):
    """Independent intervals with a measured distribution."""

    file: Annotated[Any, BeforeValidator(_empirical)]


class Bursts(StrictModel):
    """Bursts start as a Poisson process; each has `size` arrivals `spacing` apart."""

    rate: Rate
    size: int = Field(ge=1, le=1_000_000)
    spacing: Duration


class Arrival(StrictModel):
    """When a noise source strikes: exactly one form."""

    periodic: Periodic | None = None
    poisson: Poisson | None = None
    empirical: MeasuredIntervals | None = None
    bursts: Bursts | None = None

    @field_validator("empirical", mode="before")
    @classmethod
    def _file(cls, value: Any) -> Any:
        return {"file": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        forms = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(forms) != 1:
            found = " and ".join(forms) or "none"
            raise ValueError(f"expected exactly one of {', '.join(type(self).model_fields)}, found {found}")
        return self

    def interval(self) -> Distribution:
        """Return the distribution of intervals: of arrivals (or bursts); the period where periodic."""
        if self.periodic is not None:
            return Constant(self.periodic.period)
        if self.empirical is not None:
            assert isinstance(self.empirical.file, Empirical)
            return self.empirical.file
        process = self.poisson or self.bursts
        assert process is not None
        return Exponential(float(10**9 / process.rate))

    def jitter(self) -> Distribution | None:
        """Return the distribution of the delay of a periodic arrival, if it has one."""
        entry = self.periodic.jitter if self.periodic else None
        return entry.distribution() if entry else None

    def slowed(self, factor: Fraction | int) -> Arrival:
        """Return the Poisson process with `factor` times fewer arrivals."""
        assert self.poisson is not None
        return Arrival(poisson=Poisson(rate=self.poisson.rate / factor))

    def rate_hz(self) -> float:
        """Return the mean number of arrivals a second."""
        size = self.bursts.size if self.bursts else 1
        return size * 1e9 / self.interval().mean_ns
