"""What `art-gym learn` keeps beside its files while it runs, so that the same command goes on after a kill."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from art_gym.common.files import write_text
from art_gym.common.messages import one_line
from art_gym.common.reading import read_json
from art_gym.denoisers.base import Denoiser
from art_gym.samplers.coefficients import Coefficients
from art_gym.samplers.plans import Plan, levels_of
from art_gym.samplers.sampler import Sampler

from .book import Found
from .stages import Stage


@dataclass(frozen=True)
class Unfinished:
    """A run that has not written its report.

    Attributes:
        request: what it is for (`request_of`).
        seconds, evaluations: spent so far.
        noises: how many have precise endpoints, None before all of them have.
        stages: that have begun.
        schedules, samplers: improvements in order of time.
        beside: (K+1,) other levels to compare with, by name.
    """

    request: str
    seconds: float
    evaluations: int
    noises: int | None = None
    stages: tuple[Stage, ...] = ()
    schedules: tuple[Found, ...] = ()
    samplers: tuple[Found, ...] = ()
    beside: dict[str, np.ndarray] = field(default_factory=dict)

    def save(self, file: Path) -> None:
        """Write it to a file."""
        content = {
            "request": self.request,
            "seconds": self.seconds,
            "evaluations": self.evaluations,
            "noises": self.noises,
            "stages": self.stages,
            "schedules": [_of_found(found) for found in self.schedules],
            "samplers": [_of_found(found) for found in self.samplers],
            "beside": {name: levels.tolist() for name, levels in self.beside.items()},
        }
        write_text(file, json.dumps(content))

    @classmethod
    def load(cls, file: Path, request: str) -> Unfinished | None:
        """Read a file. None if there is none.

        Raises:
            ValueError: if it is damaged, or of another request.
        """
        if not file.exists():
            return None
        try:
            content = read_json(file)
            known = content.pop("request")
            stages = tuple(Stage(str(name), float(at), int(count)) for name, at, count in content.pop("stages"))
            schedules, samplers = (tuple(map(_found, content.pop(kind))) for kind in ("schedules", "samplers"))
            beside = {name: levels_of(levels) for name, levels in content.pop("beside").items()}
            numbers = float(content["seconds"]), int(content["evaluations"])
            noises = None if content["noises"] is None else int(content["noises"])
        except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"{file} is damaged ({one_line(error, 200)}): remove it to begin anew") from None
        if known != request:
            raise ValueError(
                f"{file} is of an unfinished run with another model, K, solver, seed or agent: give the same command "
                f"to go on with it, or name another file with -o"
            )
        return cls(request, *numbers, noises, stages, schedules, samplers, beside)


def unfinished_file(out: Path) -> Path:
    """The file beside a schedule's that says how far its run has come."""
    return out.with_name(f"{out.stem}_unfinished.json")


def request_of(model: Denoiser, name: str, num_steps: int, solver: str, seed: int, agent: str | None) -> str:
    """A hash of what a run is for. Another budget goes on with it."""
    named = getattr(model, "fingerprint", None)
    facts = (1, name, named, model.shape, model.sigma_min, model.sigma_max, num_steps, solver, seed, agent)
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _of_found(found: Found) -> dict[str, Any]:
    plan = found.plan
    numbers = plan._asdict() if isinstance(plan, Coefficients) else {"sigmas": levels_of(plan)}
    arrays = {name: np.asarray(array).tolist() for name, array in numbers.items()}
    error = found.error if np.isfinite(found.error) else None
    return {**vars(found), "error": error, "plan": arrays}


def _found(content: dict[str, Any]) -> Found:
    arrays = {name: np.array(array, np.float64) for name, array in content["plan"].items()}
    levels = levels_of(arrays["sigmas"])
    plan: Plan = levels
    if "told" in arrays:
        plan = Sampler.made(Coefficients(levels, arrays["told"], arrays["weights"]), "unfinished").coefficients()
    error = np.nan if content["error"] is None else float(content["error"])
    return Found(float(content["seconds"]), int(content["evaluations"]), str(content["method"]), error, plan)
