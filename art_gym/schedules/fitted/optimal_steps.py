"""OptimalSteps: dynamic programming over Euler's own states (Pei, Hu, Gu 2025, arXiv:2503.21774)."""

from __future__ import annotations

import numpy as np

from art_gym.denoisers.base import Checked, Denoiser, visible
from art_gym.schedules.fitted.base import fitted
from art_gym.schedules.grids.base import make_grid

TEACHER = 100  # Euler steps of the path to imitate, on EDM's grid
LATENTS = 64


@fitted("optimal_steps")
def optimal_steps(denoiser: Denoiser, num_steps: int, start: np.ndarray) -> np.ndarray:
    """The K of 100 levels whose Euler steps stay nearest to Euler's path through all of them.

    For each latent, k steps may reach a level from any earlier one. The way there whose state is nearest to the path in
    mean square is kept, and goes on. The result is the median over the first 64 latents, as in the published code. That
    code may also begin a latent at a lower level than the first and use fewer than K steps. Here it does neither.

    Cost: 100 K evaluations for each latent, about. Free parameters: the path and the number of latents.
    """
    levels = make_grid("edm", max(TEACHER, num_steps), denoiser)  # (N+1,)
    start = start[:LATENTS]
    count, last = len(start), len(levels) - 1
    denoise = Checked(denoiser)

    def estimate(x: np.ndarray, i: int) -> np.ndarray:
        return np.asarray(denoise(x, np.full(count, levels[i], x.dtype)))

    def step(x: np.ndarray, denoised: np.ndarray, i: int, j: int) -> np.ndarray:
        moved: np.ndarray = denoised + np.float32(levels[j] / levels[i]) * (x - denoised)
        return moved

    path = [start]
    for i in range(last):
        path.append(step(path[i], estimate(path[i], i), i, i + 1))
    states, choices = {0: start}, []
    for _ in range(num_steps):
        reached: dict[int, np.ndarray] = {}
        least = np.full((last + 1, count), np.inf)
        choice = np.zeros((last + 1, count), int)
        for i, x in states.items():
            if i == last:
                continue
            denoised = estimate(x, i)
            for j in range(i + 1, last + 1):
                moved = step(x, denoised, i, j)
                costs = _squares(visible(moved - path[j], denoiser))
                better = costs < least[j]
                least[j][better], choice[j][better] = costs[better], i
                reached.setdefault(j, moved.copy())[better] = moved[better]
        states = reached
        choices.append(choice)
    found: np.ndarray = levels[_medians(choices)]
    return found


def _squares(vectors: np.ndarray) -> np.ndarray:
    """(B,) mean squares over the elements."""
    squares: np.ndarray = (vectors.reshape(len(vectors), -1).astype(np.float64) ** 2).mean(axis=1)
    return squares


def _medians(choices: list[np.ndarray]) -> np.ndarray:
    """(K+1,) nodes: the medians over latents of the paths that end in the last node.

    Args:
        choices: K of (N+1, B), the node before each node, by step.
    """
    nodes = [np.full(choices[0].shape[1], len(choices[0]) - 1)]
    for choice in reversed(choices):
        nodes.append(choice[nodes[-1], np.arange(choice.shape[1])])
    medians: np.ndarray = np.median(np.array(nodes[::-1]), axis=1).astype(int)
    return medians
