"""GITS: dynamic programming over a fine path (Chen, Zhou, Wang, Shen, Lyu 2024, arXiv:2405.11326).

The published code is followed. It takes the costs of its last batch of noises alone. Here all noises count.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from art_gym.denoisers.base import Denoiser, visible
from art_gym.schedules.closed_forms import trajectory
from art_gym.schedules.fitted.base import fitted
from art_gym.schedules.grids.base import make_grid

TEACHER = 61  # levels of the fine path, on EDM's grid to σ_min
FACTOR = 1.15  # with deviations as costs, on the cost of all that follows a step

Cost = Callable[[np.ndarray, int], float]  # of a step that ends in (B, d) instead of a node of the fine path


@fitted("gits")
def gits(denoiser: Denoiser, num_steps: int, start: np.ndarray) -> np.ndarray:
    """The K Euler steps from the fine path with the least sum of costs, in which later ones weigh more.

    A step costs as much as it ends further off the line from noise to sample than the fine path. The factor is the
    published default, of a range from 1.1 to 1.2. σ_min is replaced by 0.

    Cost: 61 evaluations for each latent. Free parameters: the factor, the cost and the fine path.

    Raises:
        ValueError: for latents of one element, which do not leave the line.
    """
    levels, points, slopes = _fine_path(denoiser, num_steps, start)
    if points.shape[-1] == 1:
        raise ValueError("the grid 'gits' needs latents of at least 2 elements, got 1: take 'gits_l2'")
    off = [_off_line(x, points) for x in points]
    costs = _costs(levels, points, slopes, lambda x, j: float((_off_line(x, points) - off[j]).mean()))
    return np.append(levels[cheapest_path(costs, num_steps, FACTOR)[:-1]], 0.0)


@fitted("gits_l2")
def gits_l2(denoiser: Denoiser, num_steps: int, start: np.ndarray) -> np.ndarray:
    """As `gits`, but a step costs its distance to the fine path, and all steps weigh the same."""
    levels, points, slopes = _fine_path(denoiser, num_steps, start)
    costs = _costs(levels, points, slopes, lambda x, j: float(np.linalg.norm(x - points[j], axis=1).mean()))
    return np.append(levels[cheapest_path(costs, num_steps, 1.0)[:-1]], 0.0)


def cheapest_path(costs: np.ndarray, num_steps: int, factor: float) -> list[int]:
    """(K+1,) nodes from the first to the last, with the least c(0, i) + factor · (c(i, j) + factor · (…)).

    Args:
        costs: (N, N) of a step from one node to a later one, infinite elsewhere.
        num_steps: K, less than N.
        factor: on the costs that follow a step.
    """
    count = len(costs)
    best, following = costs[:, -1], [np.full(count, count - 1)]
    for _ in range(num_steps - 1):
        sums = costs + factor * best  # (N, N)
        following.append(sums.argmin(axis=1))
        best = sums.min(axis=1)
    path = [0]
    for choice in reversed(following):
        path.append(int(choice[path[-1]]))
    return path


def _costs(levels: np.ndarray, points: np.ndarray, slopes: np.ndarray, cost: Cost) -> np.ndarray:
    """(N, N) costs of Euler steps between nodes of the fine path."""
    costs = np.full((len(levels), len(levels)), np.inf)
    for i, level in enumerate(levels):
        for j in range(i + 1, len(levels)):
            costs[i, j] = cost(points[i] + (levels[j] - level) * slopes[i], j)
    return costs


def _fine_path(denoiser: Denoiser, num_steps: int, start: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N,) levels to σ_min, and there (N, B, d) points of the path by 2M and (N, B, d) dx/dσ."""
    levels = make_grid("edm", max(TEACHER, num_steps + 1), denoiser)[:-1]
    points, slopes = [], []
    for level, (x, denoised, _) in zip(levels, trajectory(denoiser, levels, start), strict=True):
        points.append(x)
        slopes.append((x - denoised) / start.dtype.type(level))

    def flat(vectors: list[np.ndarray]) -> np.ndarray:
        return np.stack([visible(y, denoiser).reshape(len(y), -1) for y in vectors])

    return levels, flat(points), flat(slopes)


def _off_line(x: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(B,) distances of (B, d) from the lines through the first and the last of (N, B, d) points."""
    line = points[-1] - points[0]
    line = line / np.linalg.norm(line, axis=1, keepdims=True)
    offset = x - points[-1]
    distances: np.ndarray = np.linalg.norm(offset - (offset * line).sum(axis=1, keepdims=True) * line, axis=1)
    return distances
