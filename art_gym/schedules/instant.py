"""The policy behind instant schedules and samplers: small networks from one probe to a correction of ART's closed form.

They were trained on random exact models, for the error at the end of sampling. `art_gym.search.instant` applies them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from art_gym.common.messages import one_line
from art_gym.common.reading import MOST_WEIGHTS, check_regular
from art_gym.schedules.probe import Probe

WEIGHTS_FILE = Path(__file__).parents[1] / "data" / "instant.safetensors"
SOLVERS = "dpmpp_2m", "euler"
STEPS = 3, 20  # numbers of steps K that are allowed
NODES = np.linspace(-4.5, 3.0, 31)  # log(σ/s) at which a profile is read, s the data's standard deviation
WINDOWS = 0.5, 1.0  # steps of log σ for the bend of D
CHANNELS = 1 + len(WINDOWS)
AROUND = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])  # log σ relative to a level, where its own inputs read the profile
CLIPPED = 3.0  # largest standardised input: beyond the training models a network means nothing
SMALL = 1e-4  # changes of D that do not count, in units of the data
GAP = 0.02  # smallest step in log σ
HEADS = {"grid": 1, "sampler": 3}  # outputs for each step: shift of log σ; also the weight, and log c
TOLD_SCALE = 0.3  # of the output for log c


class Ensemble(NamedTuple):
    """Networks with two hidden layers, E of them. Their mean is the output."""

    mean: np.ndarray  # (F,) of the inputs over the training models
    scale: np.ndarray  # (F,)
    first: np.ndarray  # (E, F + 1, H), the last row for a constant
    second: np.ndarray  # (E, H + 1, H)
    last: np.ndarray  # (E, H + 1, O)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """(K, O) outputs of (K, F) inputs."""
        hidden = np.clip((values - self.mean) / self.scale, -CLIPPED, CLIPPED)[None]  # (1, K, F)
        for layer in (self.first, self.second):
            hidden = hidden @ layer[:, :-1] + layer[:, -1:]  # (E, K, H)
            hidden = hidden / (1 + np.exp(-hidden))
        mean: np.ndarray = (hidden @ self.last[:, :-1] + self.last[:, -1:]).mean(axis=0)
        return mean


@dataclass(frozen=True, eq=False)
class InstantPolicy:
    """The networks, and how models outside of their training are known.

    Attributes:
        grid, sampler: networks for schedules and for samplers.
        mean, precision: (J,) and (J, J) of the profiles of the training models.
        threshold: largest Mahalanobis distance of a profile that counts as known.
        facts: how it was trained.
    """

    grid: Ensemble
    sampler: Ensemble
    mean: np.ndarray
    precision: np.ndarray
    threshold: float
    facts: dict[str, str]

    def distance(self, found: Probe) -> float:
        """The Mahalanobis distance of a model's profile from those of the training models, by √J."""
        away = profile(found) - self.mean
        return float(np.sqrt(away @ self.precision @ away / len(away)))

    def shift(self, found: Probe, num_steps: int, solver: str) -> np.ndarray:
        """(K−1,) shift of the closed form's inner log levels."""
        outputs: np.ndarray = self.grid(inputs_of(found, num_steps, solver))[1:, 0]
        return outputs

    def levels(self, found: Probe, num_steps: int, solver: str) -> np.ndarray:
        """(K+1,) levels for a solver."""
        return shifted(found, found.closed_form(num_steps), self.shift(found, num_steps, solver))

    def coefficients(self, found: Probe, num_steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(K−1,) shift of the log levels of a sampler, (K,) what its weights add to 2M's, and (K,) log c."""
        outputs = self.sampler(inputs_of(found, num_steps, SOLVERS[0]))  # (K, 3)
        weights = np.append(0.0, outputs[1:, 1])  # the first step has no memory
        return outputs[1:, 0], weights, TOLD_SCALE * outputs[:, 2]


def profile(found: Probe) -> np.ndarray:
    """(J,) log of the stiffness at fixed σ/s. Both are relative to the data, so the data's scale changes nothing."""
    logs = np.log(found.levels[::-1] / found.data_std)
    read: np.ndarray = np.interp(NODES, logs, np.log(found.stiffness[::-1]))
    return read


def profiles(found: Probe) -> np.ndarray:
    """(C, J) the profile, and the log of how much D bends there over each window: second differences by first ones."""
    rows = [profile(found)]
    for window in WINDOWS:
        above, at, below = (passed(found, NODES + by) for by in (window, 0.0, -window))  # (J, M−1) each
        sizes = [
            np.sqrt(np.einsum("ja,ab,jb->j", w, found.gram, w).clip(0)) for w in (above - 2 * at + below, below - above)
        ]
        rows.append(np.log((sizes[0] + SMALL) / (sizes[1] + SMALL)))
    return np.stack(rows)


def passed(found: Probe, logs: np.ndarray) -> np.ndarray:
    """(Q, M−1) the share of each change of D between the probe's levels that lies above Q levels log(σ/s)."""
    nodes = np.log(found.levels / found.data_std)
    shares: np.ndarray = np.clip((nodes[:-1] - logs[:, None]) / (nodes[:-1] - nodes[1:]), 0, 1)
    return shares


def inputs_of(found: Probe, num_steps: int, solver: str) -> np.ndarray:
    """(K, F) inputs of the networks, a row for each step."""
    logs = np.log(found.closed_form(num_steps)[:-1] / found.data_std)
    ends = np.log(np.array([found.sigma_max, found.sigma_min]) / found.data_std)
    rows: np.ndarray = inputs(profiles(found)[None], ends[None], logs[None], np.array([solver == SOLVERS[0]]))[0]
    return rows


def inputs(known: np.ndarray, ends: np.ndarray, logs: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The inputs of the networks for R models, all relative to their data.

    Args:
        known: (R, C, J) `profiles` of the models.
        ends: (R, 2) log of σ_max and σ_min.
        logs: (R, K) log of the closed form's levels.
        second: (R,) whether the solver is of second order.

    Returns:
        (R, K, F). The last C·J are the whole profiles. Those before tell of the step, and of the profiles around its
        level.
    """
    count, num_steps = logs.shape
    k, size = np.arange(num_steps), logs[:, :-1] - logs[:, 1:]  # (K,), (R, K−1)
    none = np.zeros((count, 1))
    step = [logs, np.hstack([none, size]), np.hstack([size, none])]
    step += [
        k / num_steps,
        (num_steps - k) / 10,
        1 / (k + 1),
        1 / (num_steps - k),
        np.full(num_steps, np.log(num_steps)),
    ]
    step += [second[:, None], k == num_steps - 1, k == 1, k == num_steps - 2]
    at = (logs[:, :, None] + AROUND - NODES[0]) / (NODES[1] - NODES[0])  # (R, K, 5), in nodes
    at = np.clip(at, 0, len(NODES) - 1.001)
    low = at.astype(int)
    rows = np.arange(count)[:, None, None]
    near = [each[rows, low] * (low + 1 - at) + each[rows, low + 1] * (at - low) for each in known.swapaxes(0, 1)]
    parts = [np.broadcast_to(part, logs.shape)[:, :, None] for part in step]
    whole = known.reshape(count, -1)
    wide = [np.broadcast_to(part[:, None], (count, num_steps, part.shape[1])) for part in (ends, whole)]
    return np.concatenate([*parts, *near, *wide], axis=2)


def shifted(found: Probe, levels: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """(K+1,) levels whose K−1 inner ones are moved in log σ, kept in the noise range and apart from each other."""
    apart = GAP * np.arange(1, len(shift) + 1)
    logs = np.log(levels[1:-1]) + shift
    logs = np.minimum.accumulate(np.minimum(logs, np.log(found.sigma_max) - apart) + apart) - apart
    logs = np.maximum(logs, np.log(found.sigma_min) + GAP / 2 * np.arange(len(shift) - 1, -1, -1))
    return np.concatenate([[found.sigma_max], np.exp(logs), [0.0]])


@cache
def load_policy(file: Path = WEIGHTS_FILE) -> InstantPolicy:
    """Return the trained policy. Raises a ValueError if the file is missing or is another one."""
    from safetensors import SafetensorError, safe_open

    try:
        check_regular(file, MOST_WEIGHTS)
        with safe_open(file, framework="np") as opened:
            facts = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name).astype(np.float64) for name in opened.keys()}  # noqa: SIM118 it is no mapping
        grid, sampler = (Ensemble(*(tensors[name] for name in names(head))) for head in HEADS)
        known = tensors["mean"], tensors["precision"], float(facts["threshold"])
    except (SafetensorError, OSError, LookupError, TypeError, ValueError) as error:
        raise ValueError(
            f"{file} holds no instant policy ({one_line(error, 200)}): train it with `art-gym train-instant`"
        ) from None
    return InstantPolicy(grid, sampler, *known, facts)


def save_policy(policy: InstantPolicy, file: Path) -> None:
    """Write a policy, to a temporary name first. Weights are rounded to float32."""
    from safetensors.numpy import save_file

    from art_gym.common.files import replacing

    tensors = {"mean": policy.mean, "precision": policy.precision}
    for head, network in zip(HEADS, (policy.grid, policy.sampler), strict=True):
        tensors |= {name: part.astype(np.float32) for name, part in zip(names(head), network, strict=True)}
    facts = policy.facts | {"threshold": repr(policy.threshold)}
    with replacing(file) as temporary:
        save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, temporary, facts)


def names(head: str) -> list[str]:
    """The names of an ensemble's tensors."""
    return [f"{head}.{part}" for part in Ensemble._fields]
