"""The schedule file: noise levels, where they come from, and the forms in which samplers take them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np

import art_gym
from art_gym.common.files import write_text

FORMAT = "art_gym.schedule/1"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["format", "sigmas", "method"],
    "additionalProperties": False,
    "properties": {
        "format": {"const": FORMAT},
        "sigmas": {"type": "array", "items": {"type": "number", "minimum": 0}, "minItems": 2},
        "method": {"type": "string"},
        "task": {"type": ["string", "null"]},
        "solver": {"type": ["string", "null"]},
        "seed": {"type": ["integer", "null"]},
        "heldout_error": {"type": ["number", "null"], "minimum": 0},
        "flow": {"type": "boolean"},
        "version": {"type": ["string", "null"]},
    },
}
# What the schema's types are in Python; a whole number is no truth value, though Python has it so.
_TYPES: dict[str, tuple[str, tuple[type, ...]]] = {
    "string": ("text", (str,)),
    "integer": ("a whole number", (int,)),
    "number": ("a number", (int, float)),
    "boolean": ("True or False", (bool,)),
    "null": ("None", (NoneType,)),
}


@dataclass(frozen=True)
class Schedule:
    """K+1 noise levels from σ_max to a trailing 0, with their provenance.

    Attributes:
        sigmas: the levels, strictly decreasing, the last one 0.
        method: how they were found, such as "edm" or "ppo".
        task, solver: what they were found for.
        seed: seed of the method.
        heldout_error: mean endpoint error on held-out noise, in the units of the data.
        flow: whether the levels are for a flow model, whose samplers take s = σ/(1 + σ); the levels here are σ anyhow.
        version: of art_gym; None in files that do not say.

    Raises:
        ValueError: for levels that are not finite, do not decrease or do not end in 0, such a heldout_error, or a value
            of another type.
    """

    sigmas: tuple[float, ...]
    method: str
    task: str | None = None
    solver: str | None = None
    seed: int | None = None
    heldout_error: float | None = None
    flow: bool = False
    version: str | None = art_gym.__version__

    def __post_init__(self) -> None:
        object.__setattr__(self, "sigmas", _checked_levels(self.sigmas))
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.generic):  # numbers of numpy, which JSON does not know
                object.__setattr__(self, field.name, value.item())
        if isinstance(self.seed, float) and self.seed.is_integer():  # of a program that knows no other numbers
            object.__setattr__(self, "seed", int(self.seed))
        for field in fields(self)[1:]:  # the levels are checked above
            _check_type(field.name, getattr(self, field.name))
        if self.heldout_error is not None and not 0 <= self.heldout_error < np.inf:
            raise ValueError(f"heldout_error must be finite and at least 0, or None, got {self.heldout_error!r}")

    @property
    def num_steps(self) -> int:
        """K."""
        return len(self.sigmas) - 1

    def resample(self, num_steps: int) -> Schedule:
        """The same density of steps with another K: log σ linear in the step number between the positive levels.

        Raises:
            ValueError: for a K that is no whole number or below 1, or a schedule of one step, which has no density.
        """
        if not isinstance(num_steps, int | np.integer) or isinstance(num_steps, bool):
            raise ValueError(f"cannot resample to {num_steps!r} steps: K must be a whole number of at least 1")
        if num_steps == self.num_steps:
            return self
        if num_steps < 1 or self.num_steps < 2:
            raise ValueError(
                f"cannot resample a schedule of K = {self.num_steps} to {num_steps} steps: that needs at least 2, "
                f"and the result at least 1"
            )
        levels = (self.sigmas[0], 0.0) if num_steps == 1 else resampled(np.array(self.sigmas), num_steps).tolist()
        method = f"{self.method}, resampled from K = {self.num_steps}"
        return replace(self, sigmas=tuple(levels), method=method, heldout_error=None)

    def to_sigmas(self) -> list[float]:
        """The levels with the trailing 0: what k-diffusion's samplers take, as ``torch.tensor(...)``.

        They are σ of the variance-exploding convention for a flow model too, as a denoiser D(x, σ) of it takes them.
        """
        return list(self.sigmas)

    def to_diffusers(self) -> list[float]:
        """The levels for ``EulerDiscreteScheduler.set_timesteps(sigmas=…)``, which expects the trailing 0.

        For other schedulers see `art_gym.export.diffusers.diffusers_arguments`.

        Raises:
            ValueError: for a flow model's schedule: its schedulers shift custom levels by what only they know.
        """
        if self.flow:
            raise ValueError(
                "the schedule is a flow model's, and what its scheduler takes depends on that one's shift: name the "
                "scheduler, with diffusers_arguments(schedule, scheduler), or --scheduler FOLDER on the command line"
            )
        return list(self.sigmas)

    def to_comfyui(self) -> str:
        """One line for ComfyUI's nodes that take sigmas by hand; for a flow model s = σ/(1 + σ), which it samples in.

        In float32, in which ComfyUI computes, and without exponents: the nodes read 5e-05 as two numbers. Cosmos
        Predict2 is a flow that ComfyUI samples in σ: it takes `to_sigmas`. With a flow ComfyUI's ``euler`` is ours, its
        ``heun`` and ``dpmpp_2m`` step in s and are other methods; its node SamplerDPMPP_2M_SDE with midpoint and eta 0
        is our 2M.

        Raises:
            ValueError: for levels that are the same number in float32, or none.
        """
        with np.errstate(over="ignore"):
            levels = np.array([sigma / (1 + sigma) if self.flow else sigma for sigma in self.sigmas], np.float32)
        if np.isinf(levels[0]):
            raise ValueError(f"ComfyUI computes in float32, which {self.sigmas[0]:g} is too large for")
        if not (np.diff(levels) < 0).all():
            raise ValueError(f"ComfyUI computes in float32, in which two of the levels are one: {levels.tolist()}")
        return ", ".join(np.format_float_positional(level, trim="-") for level in levels)

    def to_json(self) -> str:
        """The content of a schedule file."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=2)

    def save(self, file: str | Path) -> None:
        """Write a schedule file, to a temporary name first."""
        write_text(Path(file), self.to_json() + "\n")

    @classmethod
    def load(cls, file: str | Path) -> Schedule:
        """Read a schedule file.

        Raises:
            ValueError: if the file is missing, is not JSON, or is not a schedule; the message says which and why.
        """
        import jsonschema  # slow to import, and only files need it

        try:
            content = json.loads(Path(file).read_text(encoding="utf-8-sig"), parse_constant=_no_number)
            written = content.get("format") if isinstance(content, dict) else None
            if isinstance(written, str) and written.startswith("art_gym.") and written != FORMAT:
                raise jsonschema.ValidationError(
                    f"its format {written!r} is that of another version of art_gym: this one reads {FORMAT!r}"
                )
            jsonschema.validate(content, SCHEMA)
        except OSError as error:
            raise ValueError(f"cannot read the schedule file {file}: {error.strerror}") from None
        except (ValueError, RecursionError) as error:  # not JSON, not text, NaN, or brackets without end
            raise ValueError(f"{file} is not a schedule file: not JSON ({error})") from None
        except jsonschema.ValidationError as error:
            said = error.message if len(error.message) <= 200 else f"{error.message[:200]}…"
            raise ValueError(f"{file} is not a schedule file: {error.json_path}: {said}") from None
        content.pop("format")
        try:
            return cls(**{"version": None, **content})
        except ValueError as error:
            raise ValueError(f"{file} is not a schedule file: {error}") from None


def _check_type(name: str, value: object) -> None:
    """Raise a ValueError for a value that is not of the type that the schema has for it."""
    wanted = SCHEMA["properties"][name]["type"]
    kinds = [_TYPES[kind] for kind in ([wanted] if isinstance(wanted, str) else wanted)]
    types = tuple(one for _, several in kinds for one in several)
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        raise ValueError(f"{name} of a schedule must be {' or '.join(words for words, _ in kinds)}, got {value!r}")


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number in JSON")


def resampled(levels: np.ndarray, num_steps: int) -> np.ndarray:
    """Levels (J+1,) at another number of steps K ≥ 2: (K+1,), log σ linear in the step number between positive ones."""
    positive = np.log(levels[:-1])
    inner = np.exp(np.interp(np.linspace(0, 1, num_steps), np.linspace(0, 1, len(positive)), positive))
    inner[[0, -1]] = levels[[0, -2]]  # of which the logarithm may have taken a digit
    return np.append(inner, 0.0)


def as_levels(sigmas: Sequence[float] | np.ndarray | Schedule) -> np.ndarray:
    """The (K+1,) levels of a schedule or of plain numbers, checked as a `Schedule` is."""
    if isinstance(sigmas, str) or not isinstance(sigmas, Schedule | Iterable):
        raise ValueError(
            f"expected a Schedule or its (K+1,) levels, got {sigmas!r}: art_gym.make_grid(name, K, denoiser) has the "
            f"levels of a named grid, Schedule.load(file) those of a file"
        )
    schedule = sigmas if isinstance(sigmas, Schedule) else Schedule(tuple(sigmas), method="given")
    return np.array(schedule.sigmas)


def _checked_levels(sigmas: Iterable[float]) -> tuple[float, ...]:
    """Levels as floats. Raises a ValueError unless they are finite, decrease and end in 0."""
    try:
        if isinstance(sigmas, str):
            raise TypeError
        levels = tuple(float(sigma) for sigma in sigmas)
    except OverflowError:  # of a whole number of some hundred digits
        raise ValueError("the levels of a schedule must be finite, got one that is too large for a float") from None
    except (TypeError, ValueError):
        raise ValueError(f"the levels of a schedule must be numbers, got {sigmas!r}") from None
    if len(levels) < 2 or levels[-1] != 0:
        raise ValueError(
            f"a schedule needs at least two levels and a trailing 0, got {len(levels)} that end in {levels[-1:]}"
        )
    for k, (level, following) in enumerate(pairwise(levels)):
        if not (level > following and np.isfinite(level)):
            raise ValueError(
                f"the levels of a schedule must be finite and decrease, got {level!r} and then {following!r} at "
                f"step {k}"
            )
    return (*levels[:-1], 0.0)  # of a −0 too
