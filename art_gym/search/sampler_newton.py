"""Gauss-Newton on the terminal defect of a sampler: all of its numbers at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from array_api_compat import array_namespace

from art_gym.denoisers.base import Counted, Denoiser
from art_gym.denoisers.devices import without_gradients
from art_gym.samplers.coefficients import Coefficients, follow, mix
from art_gym.samplers.freedom import Freedom, places, within_limits
from art_gym.search.gauss_newton import CLOSEST
from art_gym.search.least_squares import Latents, LeastSquares, Point, impossible

PROBE = 1e-3  # step of log σ, log c and weights for the finite differences
MOST_WEIGHT = 20.0  # larger weights amplify the rounding of the network
Make = Callable[[np.ndarray], Coefficients]  # a sampler of (P,) numbers, the first K − 1 of which are logits


def within(freedom: Freedom, num_steps: int, denoiser: Denoiser) -> Make:
    """Return the samplers within a freedom, by their numbers."""
    return lambda numbers: freedom.coefficients(numbers, num_steps, denoiser)


class SamplerNewton(LeastSquares):
    """Fits the (P,) numbers of a sampler; see `LeastSquares`.

    Args:
        denoiser: what the sampler is for.
        num_steps: K.
        make: the samplers to choose from.
        start, endpoints, budget: as there.
        most_weight: largest size of a weight.
    """

    least_weighted = 0.02

    def __init__(
        self,
        denoiser: Counted,
        num_steps: int,
        make: Make,
        start: np.ndarray,
        endpoints: np.ndarray,
        budget: float = np.inf,
        most_weight: float = MOST_WEIGHT,
    ) -> None:
        super().__init__(denoiser, start, endpoints, budget)
        self.num_steps, self.make, self.most_weight = num_steps, make, most_weight

    def bounded(self, numbers: np.ndarray) -> np.ndarray:
        """See `LeastSquares`."""
        return within_limits(numbers, self.num_steps)

    def point(self, numbers: np.ndarray) -> Point:
        """See `LeastSquares`."""
        made = self.make(numbers)
        close = (made.sigmas[1:] > (1 - CLOSEST) * made.sigmas[:-1]).any()
        if close or np.abs(made.weights).max() > self.most_weight:
            return impossible(numbers)
        return self._ended(numbers, *self._go_on(made, [self.placed], []))

    def _go_on(self, made: Coefficients, x: Latents, denoised: Latents) -> tuple[Latents, Latents, np.ndarray]:
        """Finish a run from the known x at its first levels, and the known D at all of these or all but the last."""
        first, x, denoised, kind = x[0], list(x), list(denoised), self.start.dtype.type
        if self.denoiser.whole:
            return [first], [], self._defect(follow(self.denoiser, made, first))
        xp = array_namespace(first)
        with without_gradients(first):
            while True:
                k = len(x) - 1
                if len(denoised) == k:
                    level = float(made.told[k] * made.sigmas[k])
                    told = xp.full((len(self.start),), level, dtype=first.dtype, device=first.device)
                    denoised.append(self.denoiser(x[k], told))
                # Plain floats, because numbers of numpy do not multiply tensors on a device.
                ratio = kind(made.sigmas[k + 1] / made.sigmas[k])
                mixed = mix(denoised[::-1], [float(kind(weight)) for weight in made.weights[k]])
                after = float(ratio) * x[k] + float(1 - ratio) * mixed
                if k == self.num_steps - 1:
                    return x, denoised, self._defect(after)
                x.append(after)

    def jacobian(self, at: Point) -> np.ndarray:
        """See `LeastSquares`. A number of step k needs the run from there on only."""
        made = self.make(at.numbers)
        moves = self._moves(at.numbers, made)  # (P, coefficients)
        jacobian = np.zeros((len(at.numbers), *at.defect.shape), at.defect.dtype)
        for column, (changed, known_x, known_d) in enumerate(self._changes(made)):
            used = moves[:, column]
            if not used.any():  # no number reaches this coefficient
                continue
            *_, defect = self._go_on(changed, at.latents[:known_x], at.denoised[:known_d])
            jacobian += np.multiply.outer(used.astype(at.defect.dtype), (defect - at.defect) / PROBE)
        return jacobian

    def _changes(self, made: Coefficients) -> list[tuple[Coefficients, int, int]]:
        """Each coefficient moved a little, and how many latents and estimates of the run stay the same."""
        found = []
        for k in range(1, self.num_steps):
            sigmas, told = made.sigmas.copy(), made.told.copy()
            sigmas[k] *= np.exp(PROBE)
            found.append((made._replace(sigmas=sigmas, told=told), k, k))
        for k in range(self.num_steps):
            told = made.told.copy()
            told[k] *= np.exp(PROBE)
            found.append((made._replace(told=told), k + 1, k))
        for k, i in places(*made.weights.shape):
            weights = made.weights.copy()
            weights[k, i] += PROBE
            found.append((made._replace(weights=weights), k + 1, k + 1))
        return found

    def _moves(self, numbers: np.ndarray, made: Coefficients) -> np.ndarray:
        """(P, coefficients) derivatives of the coefficients in the order of `_changes`."""
        before, size = _vector(made), 1e-6
        return np.stack([(_vector(self.make(numbers + row)) - before) / size for row in size * np.eye(len(numbers))])


def _vector(made: Coefficients) -> np.ndarray:
    """Log levels, log c and weights in one vector."""
    weights = [made.weights[k, i] for k, i in places(*made.weights.shape)]
    return np.concatenate([np.log(made.sigmas[1:-1]), np.log(made.told), weights])
