"""A schedule for a new model from one probe, without a search.

A linear regression maps the probe to a shift of the ART closed form's log levels. It was trained on random exact models
(`art_gym.tasks.random_models`), for the error at the end of sampling. A model whose profile is unlike theirs gets the
closed form itself.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from art_gym.common.messages import one_line, short
from art_gym.common.reading import MOST_WEIGHTS, check_regular, parse_json
from art_gym.denoisers.base import Denoiser
from art_gym.denoisers.checks import check_call_once, check_denoiser
from art_gym.schedules.probe import Probe, probe
from art_gym.schedules.schedule import Schedule

WEIGHTS_FILE = Path(__file__).parents[1] / "data" / "instant.safetensors"
STEPS = 3, 20  # numbers of steps K that are allowed
NODES = np.linspace(-4.5, 3.0, 31)  # log(σ/s) at which a profile is read, s the data's standard deviation
CLIPPED = 3.0  # largest standardised feature: beyond the training models a line means nothing
GAP = 0.02  # smallest step in log σ


class Regression(NamedTuple):
    """A line from features to the shift of the levels, for one solver and K."""

    mean: np.ndarray  # (F,) of the features over the training models
    scale: np.ndarray  # (F,)
    weights: np.ndarray  # (F + 1, K − 1), the first row for a constant

    def inputs(self, features: np.ndarray) -> np.ndarray:
        """(…, F + 1) inputs of the line from (…, F) features: standardised, and a constant."""
        standard = np.clip((features - self.mean) / self.scale, -CLIPPED, CLIPPED) / np.sqrt(len(self.mean))
        return np.concatenate([np.ones((*features.shape[:-1], 1)), standard], axis=-1)

    def shift(self, features: np.ndarray) -> np.ndarray:
        """(…, K − 1) shift of the log levels."""
        shift: np.ndarray = self.inputs(features) @ self.weights
        return shift


@dataclass(frozen=True, eq=False)
class InstantPolicy:
    """The regressions, and how models outside of their training are known.

    Attributes:
        regressions: by solver and K.
        mean, precision: (J,) and (J, J) of the profiles of the training models.
        threshold: largest Mahalanobis distance of a profile that counts as known.
        facts: how it was trained.
    """

    regressions: dict[tuple[str, int], Regression]
    mean: np.ndarray
    precision: np.ndarray
    threshold: float
    facts: dict[str, str]

    def distance(self, found: Probe) -> float:
        """The Mahalanobis distance of a model's profile from those of the training models, by √J."""
        away = profile(found) - self.mean
        return float(np.sqrt(away @ self.precision @ away / len(away)))

    def levels(self, found: Probe, num_steps: int, solver: str) -> np.ndarray:
        """(K+1,) levels. Between the trained K the shift is interpolated, and outside the nearest K's is taken."""
        known = np.array(sorted(steps for name, steps in self.regressions if name == solver))
        place = np.interp(num_steps, known, np.arange(len(known)))
        low, high = int(np.floor(place)), int(np.ceil(place))
        shifts = [self._resampled(found, solver, int(known[i]), num_steps) for i in (low, high)]
        shift = shifts[0] + (place - low) * (shifts[1] - shifts[0])
        return shifted(found, found.closed_form(num_steps), shift)

    def _resampled(self, found: Probe, solver: str, trained: int, num_steps: int) -> np.ndarray:
        """(K−1,) shift, linear in the step number from that of another K. The first level does not move."""
        shift = self.regressions[solver, trained].shift(features(found, trained))
        places = np.linspace(0, 1, trained), np.append(0.0, shift)
        moved: np.ndarray = np.interp(np.linspace(0, 1, num_steps)[1:], *places)
        return moved


def profile(found: Probe) -> np.ndarray:
    """(J,) log of the stiffness at fixed σ/s. Both are relative to the data, so the data's scale changes nothing."""
    logs = np.log(found.levels[::-1] / found.data_std)
    read: np.ndarray = np.interp(NODES, logs, np.log(found.stiffness[::-1]))
    return read


def features(found: Probe, num_steps: int) -> np.ndarray:
    """(F,) the closed form's levels, the profile and the noise range, all in logarithms and relative to the data."""
    inner = found.closed_form(num_steps)[1:-1]
    ends = np.array([found.sigma_max, found.sigma_min])
    return np.concatenate([np.log(inner / found.data_std), profile(found), np.log(ends / found.data_std)])


def shifted(found: Probe, levels: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """(K+1,) levels whose K−1 inner ones are moved in log σ, kept in the noise range and apart from each other."""
    apart = GAP * np.arange(1, len(shift) + 1)
    logs = np.log(levels[1:-1]) + shift
    logs = np.minimum.accumulate(np.minimum(logs, np.log(found.sigma_max) - apart) + apart) - apart
    logs = np.maximum(logs, np.log(found.sigma_min) + GAP / 2 * np.arange(len(shift) - 1, -1, -1))
    return np.concatenate([[found.sigma_max], np.exp(logs), [0.0]])


class Found(NamedTuple):
    """A schedule from a probe.

    Attributes:
        schedule: the levels.
        probe: what they come from, with its cost.
        distance, threshold: of the model's profile from those of the training, and the largest that counts as known.
    """

    schedule: Schedule
    probe: Probe
    distance: float
    threshold: float

    @property
    def known(self) -> bool:
        """Whether the model is like those of the training. If not, the schedule is the closed form."""
        return self.distance <= self.threshold

    def summary(self) -> str:
        """One line: what the probe cost, and which schedule it gave."""
        cost = f"the probe took {self.probe.evaluations} evaluations in {self.probe.calls} calls"
        far = f"the profile's distance from the training models is {self.distance:.2f}"
        if self.known:
            return f"{cost}; {far}, within the limit of {self.threshold:.2f}"
        return f"{cost}; {far}, above the limit of {self.threshold:.2f}, so this is the ART closed form"


def instant(denoiser: Denoiser, num_steps: int, solver: str = "dpmpp_2m") -> Schedule:
    """Make a schedule for a new model from one probe of about 800 evaluations, without a search.

    Args:
        denoiser: D.
        num_steps: K, from 3 to 20.
        solver: dpmpp_2m or euler.

    Returns:
        The schedule. It is the ART closed form, with a warning, if the model is unlike those of the training.

    Raises:
        ValueError: for another K or solver, or values of D that are not finite.
    """
    found = find(denoiser, num_steps, solver)
    if not found.known:
        warnings.warn(found.summary(), stacklevel=2)
    return found.schedule


def find(denoiser: Denoiser, num_steps: int, solver: str = "dpmpp_2m", task: str | None = None) -> Found:
    """As `instant`, with the probe and what it says of the model. ``task`` is a name for the schedule's file."""
    check_request(num_steps, solver)
    check_call_once(check_denoiser(denoiser))
    policy, seen = load_policy(), probe(denoiser)
    distance = policy.distance(seen)
    known = distance <= policy.threshold
    levels = policy.levels(seen, num_steps, solver) if known else seen.closed_form(num_steps)
    flow = bool(getattr(denoiser, "flow", False))
    method = "instant" if known else "art, as the model is unlike those that instant was trained on"
    return Found(Schedule(tuple(levels), method, task, solver, flow=flow), seen, distance, policy.threshold)


def check_request(num_steps: int, solver: str) -> None:
    """Raise a ValueError if no instant schedule has this K or solver."""
    solvers = sorted({name for name, _ in load_policy().regressions})
    if solver not in solvers:
        raise ValueError(
            f"instant schedules are for {', '.join(solvers)}, got {short(solver)}: `art-gym learn` takes any"
        )
    if not isinstance(num_steps, int | np.integer) or not STEPS[0] <= num_steps <= STEPS[1]:
        raise ValueError(
            f"instant schedules have {STEPS[0]} to {STEPS[1]} steps, got {short(num_steps)}: make one and resample it"
        )


@cache
def load_policy(file: Path = WEIGHTS_FILE) -> InstantPolicy:
    """Return the trained policy. Raises a ValueError if the file is missing or is another one."""
    from safetensors import SafetensorError, safe_open

    try:
        check_regular(file, MOST_WEIGHTS)
        with safe_open(file, framework="np") as opened:
            facts = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 it is no mapping
        keys = [(str(solver), int(steps)) for solver, steps in parse_json(facts["regressions"])]
        regressions = {key: Regression(*(tensors[name] for name in names(*key))) for key in keys}
        known = tensors["mean"], tensors["precision"], float(facts["threshold"])
    except (SafetensorError, OSError, LookupError, TypeError, ValueError) as error:
        raise ValueError(
            f"{file} holds no instant policy ({one_line(error, 200)}): train it with `art-gym train-instant`"
        ) from None
    return InstantPolicy(regressions, *known, facts)


def save_policy(policy: InstantPolicy, file: Path) -> None:
    """Write a policy, to a temporary name first."""
    from safetensors.numpy import save_file

    from art_gym.common.files import replacing

    tensors = {"mean": policy.mean, "precision": policy.precision}
    for key, regression in policy.regressions.items():
        tensors |= dict(zip(names(*key), regression, strict=True))
    facts = policy.facts | {"regressions": json.dumps([*policy.regressions]), "threshold": repr(policy.threshold)}
    with replacing(file) as temporary:
        save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, temporary, facts)


def names(solver: str, num_steps: int) -> list[str]:
    """The names of a regression's tensors."""
    return [f"{solver}.{num_steps}.{part}" for part in Regression._fields]
