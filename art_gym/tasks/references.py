"""References for scores: the errors of EDM and of the oracle, stored as data with their provenance."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from art_gym.common.files import write_text
from art_gym.common.messages import one_line
from art_gym.common.reading import read_json
from art_gym.denoisers.base import Denoiser, visible
from art_gym.samplers.plans import Document
from art_gym.samplers.sampler import Sampler
from art_gym.schedules.schedule import Schedule
from art_gym.tasks.noise_bank import Same
from art_gym.tasks.target import Target

REFERENCES_FILE = Path(__file__).parents[1] / "data" / "references.json"
PROBED = 5  # levels that identify a denoiser
Key = tuple[str, str | None, int, str | None]


@dataclass(frozen=True)
class Reference:
    """The errors that define scores 0 and 1 for one task, solver and K.

    The oracle is the best known fixed grid for the solver, or the best known sampler within a freedom.

    Attributes:
        task, solver, num_steps: what was sampled.
        edm_error, oracle_error: mean endpoint errors on held-out noise, in the units of the data.
        oracle_sigmas: (K+1,) the oracle's levels.
        floor: smaller errors count as this one (10⁻⁴ of the data's standard deviation).
        train_noises, heldout_noises: how many noises the oracle was optimised and evaluated on.
        seed: seed of the optimisation.
        method: how the oracle was found, "search" or "polish".
        version: version of art_gym.
        probe: D at a few points (`probe_of`), because the name of your own task may later mean another denoiser. None
            if it was not stored.
        freedom: name of the freedom, if the oracle is a sampler (`art_gym.samplers.freedom.Freedom`).
        oracle_told, oracle_weights: the rest of that sampler.
    """

    task: str
    solver: str
    num_steps: int
    edm_error: float
    oracle_error: float
    oracle_sigmas: tuple[float, ...]
    floor: float
    train_noises: int
    heldout_noises: int
    seed: int
    method: str
    version: str
    probe: tuple[float, ...] | None = None
    freedom: str | None = None
    oracle_told: tuple[float, ...] | None = None
    oracle_weights: tuple[tuple[float, ...], ...] | None = None

    @property
    def key(self) -> Key:
        """What it is for. A sampler needs no solver."""
        return self.task, self.solver if self.freedom is None else None, self.num_steps, self.freedom

    @property
    def oracle(self) -> Document:
        """The grid, or the sampler."""
        if self.oracle_told is None or self.oracle_weights is None:
            return Schedule(self.oracle_sigmas, "oracle", self.task, self.solver)
        return Sampler(self.oracle_sigmas, self.oracle_told, self.oracle_weights, "oracle", self.task, self.solver)

    def fits(self, denoiser: Denoiser) -> bool:
        """Whether this was computed for the denoiser that has the task's name now."""
        return self.probe is None or bool(np.allclose(self.probe, probe_of(denoiser), rtol=1e-3))


def probe_of(denoiser: Denoiser) -> tuple[float, ...]:
    """Return root mean squares of D for one noise at several levels. They identify a denoiser."""
    return _probe(Same(denoiser))


@lru_cache(maxsize=64)
def _probe(of: Same) -> tuple[float, ...]:
    denoiser: Denoiser = of.one
    levels = np.geomspace(denoiser.sigma_max, denoiser.sigma_min, PROBED).astype(np.float32)
    noise = np.random.default_rng(19).standard_normal(denoiser.shape, dtype=np.float32)
    x = np.multiply.outer(np.hypot(levels, denoiser.data_std).astype(np.float32), noise)  # (PROBED, *shape)
    return tuple(np.sqrt((visible(denoiser(x, levels), denoiser) ** 2).reshape(PROBED, -1).mean(axis=1)).tolist())


def key_of(target: Target, num_steps: int) -> Key:
    """The key of a target's reference; see `Reference.key`."""
    if target.freedom is None:
        return target.task, target.solver.name, num_steps, None
    return target.task, None, num_steps, target.freedom.name


def score(error: float, reference: Reference | None) -> float | None:
    """log(e_EDM / e) / log(e_EDM / e_oracle): 0 for EDM's grid, 1 for the best fixed grid.

    None without a reference, or if EDM's grid is the best one, as with one step. Then there is nothing to gain.
    """
    if reference is None:
        return None
    edm, best, found = (max(e, reference.floor) for e in (reference.edm_error, reference.oracle_error, error))
    if best >= edm:
        return None
    return math.log(edm / found) / math.log(edm / best)


@lru_cache(maxsize=4)
def load_references(file: Path = REFERENCES_FILE) -> tuple[Reference, ...]:
    """Return the stored references, none if there is no file. Raises a ValueError if the file holds none."""
    if not file.exists():
        return ()
    try:
        stored = read_json(file)
        return tuple(Reference(**{key: _immutable(value) for key, value in entry.items()}) for entry in stored)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:  # not JSON, or of another form
        raise ValueError(f"{file} holds no references ({one_line(error, 200)}): name another file") from None


def find_reference(target: Target, num_steps: int) -> Reference | None:
    """Return the stored reference. None if there is none, or if it is for another denoiser with this name.

    If the target leaves a freedom, the oracle is a sampler, and the error of EDM's grid is still the solver's.
    """
    known = {entry.key: entry for entry in load_references()}
    grid = known.get(key_of(replace(target, freedom=None), num_steps))
    if grid is None or not grid.fits(target.denoiser):
        return None
    if target.freedom is None:
        return grid
    found = known.get(key_of(target, num_steps))
    return None if found is None else replace(found, solver=grid.solver, edm_error=grid.edm_error)


def write_references(entries: Iterable[Reference], file: Path = REFERENCES_FILE) -> None:
    """Replace the content of the file by these references, one per line."""
    ordered = sorted(entries, key=lambda entry: (entry.task, entry.freedom or "", entry.solver, entry.num_steps))
    lines = (json.dumps({k: v for k, v in asdict(entry).items() if v is not None}) for entry in ordered)
    write_text(file, "[\n" + ",\n".join(lines) + "\n]\n")
    load_references.cache_clear()


def _immutable(value: Any) -> Any:
    return tuple(map(_immutable, value)) if isinstance(value, list) else value
