"""The parts that stay the same during an episode: the denoiser, the solver and the initial noises."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from art_gym.denoisers.base import Counted, Denoiser, models_of, visible
from art_gym.envs.state import State
from art_gym.measures.errors import endpoint_error, image_error
from art_gym.solvers.base import Solver
from art_gym.tasks.noise_bank import NoiseBank


@dataclass(frozen=True)
class Problem:
    """A denoiser with a solver and a bank of noises. ``denoise`` is the denoiser with counted calls."""

    denoiser: Denoiser
    solver: Solver
    bank: NoiseBank
    denoise: Counted

    def error_floor(self, state: State) -> np.ndarray:
        """(E,) smallest errors that count, 10⁻⁴ of the data's standard deviation (DESIGN §3) or as the task says."""
        models = models_of(state.x[:, 0], self.denoiser)
        return np.array([1e-4 * self.denoiser.data_std]) if models is None else models.floors

    def endpoint_errors(self, state: State, images: bool = False) -> np.ndarray:
        """(E, N) errors of latents that have landed on 0; in image space if asked."""
        samples, endpoints = (visible(x, self.denoiser, 2) for x in (state.x, self.bank.endpoints[state.noise]))
        if images:
            return image_error(self.denoiser, samples, endpoints, batch_axes=2)
        return endpoint_error(samples, endpoints, batch_axes=2)

    def reference_errors(self, state: State, images: bool = False) -> np.ndarray:
        """(E, N) errors of EDM's grid with the same budget on the same noises; in image space if asked."""
        errors = np.empty(state.noise.shape, np.float32)
        rows = int(state.noise.max()) + 1
        for budget in np.unique(state.num_steps):
            lanes = state.num_steps == budget
            errors[lanes] = self.bank.reference_errors(self.solver, int(budget), rows, images)[state.noise[lanes]]
        return errors

    def mean_reference_error(self, num_steps: np.ndarray) -> np.ndarray:
        """(E,) mean error of EDM's grid over the first chunk of the bank, for each environment's budget."""
        rows = self.bank.chunk
        mean = {
            budget: self.bank.reference_errors(self.solver, int(budget), rows)[:rows].mean()
            for budget in np.unique(num_steps)
        }
        return np.array([mean[budget] for budget in num_steps])
