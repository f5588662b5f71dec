"""Many exact models as one denoiser, so that an episode can draw a model and a batch can mix them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace

from art_gym.denoisers.base import SIGMA_MAX, SIGMA_MIN, Array
from art_gym.denoisers.diagonal import DiagonalMixture

ROWS = 16  # noises in a row that belong to one model
REMEMBERED = 16  # stacks of parameters; one of a thousand models has 10 MB


class Parameters(NamedTuple):
    """The parameters of R mixtures, padded to the same size. Modes that a mixture lacks have weight 0."""

    means: np.ndarray  # (R, M, d)
    variances: np.ndarray  # (R, M, d)
    log_weights: np.ndarray  # (R, M)


class Family:
    """Models by their numbers. A latent's last element, which D does not change, says which model is meant.

    It is ±(number + 1). The sign is the solver's for ``solver="drawn"``: + is DPM-Solver++(2M), for even seeds, and −
    is Euler. Models of fewer dimensions have zeros in the rest of their elements. All are scaled to EDM's noise range,
    so models that were drawn for another range have another scale.

    Args:
        make: makes a model from a seed.
        seeds: of the models, whose numbers are their places here.
        width: the largest dimension of a model.
    """

    carried_channels = 1
    sigma_min, sigma_max = SIGMA_MIN, SIGMA_MAX
    data_std = 1.0  # the scale of observations; models have their own

    def __init__(self, make: Callable[[int], DiagonalMixture], seeds: Sequence[int], width: int) -> None:
        self.make, self.seeds, self.width = make, seeds, width
        self.shape = (width + 1,)
        self.model = lru_cache(maxsize=None)(self._model)
        self._stacked = lru_cache(maxsize=REMEMBERED)(self._stack)

    @property
    def fingerprint(self) -> str:
        """Hash of the seeds and of some models."""
        some = [self.model(number).fingerprint for number in range(0, len(self.seeds), -(-len(self.seeds) // 8))]
        seeds = f"{self.seeds[0]} {self.seeds[-1]} {len(self.seeds)}"
        return hashlib.sha256(f"{seeds} {ROWS} {some}".encode()).hexdigest()

    @property
    def contexts(self) -> int:
        """How many models there are."""
        return len(self.seeds)

    def arrange(self, noises: np.ndarray, first: int) -> np.ndarray:
        """(B, *shape) noises of a bank from row ``first`` on, with the numbers of their models in the last element."""
        number = (first + np.arange(len(noises))) // ROWS % len(self.seeds)
        arranged = noises.copy()
        for each in np.unique(number):
            arranged[number == each, self.model(int(each)).shape[0] : -1] = 0
        arranged[:, -1] = np.where(self.second_order(number), 1, -1) * (number + 1)
        return arranged

    def condition(self, x: np.ndarray) -> np.ndarray:
        """(…,) numbers of the models of (…, *shape) latents."""
        numbers: np.ndarray = np.rint(np.abs(x[..., -1])).astype(np.int64) - 1
        return numbers

    def second_order(self, numbers: np.ndarray) -> np.ndarray:
        """(…,) whether the solver drawn for these models is DPM-Solver++(2M)."""
        even: np.ndarray = np.asarray(self.seeds)[numbers] % 2 == 0
        return even

    def solvers(self, numbers: np.ndarray) -> list[str]:
        """The names of the solvers drawn for these models."""
        return ["dpmpp_2m" if second else "euler" for second in self.second_order(numbers)]

    def scales(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(…,) standard deviations of these models' data, and shares of the elements that they use."""
        unique, where = np.unique(numbers, return_inverse=True)
        models = [self.model(int(number)) for number in unique]
        stds = np.array([model.data_std for model in models])
        shares = np.array([model.shape[0] / self.width for model in models])
        return stds[where].reshape(numbers.shape), shares[where].reshape(numbers.shape)

    def __call__(self, x: Array, sigma: Array) -> Array:
        xp = array_namespace(x)
        numbers, levels = self.condition(_values(x[:, -1:])), _values(sigma)
        run = _run(numbers, levels)
        known = self._stacked(numbers[::run].tobytes(), x.dtype == xp.float32)
        means, variances, log_weights = (xp.asarray(part, dtype=x.dtype, device=x.device) for part in known)
        noise = xp.reshape(sigma**2, (-1, run))[:, :1, None]  # (R, 1, 1)
        latents = xp.reshape(x[:, :-1], (-1, run, self.width))  # (R, N, d)
        inverse = 1 / (variances + noise)  # (R, M, d)
        square = [  # Σ_j (x_j − c_mj)² / v_mj as in `DiagonalMixture`: the expanded square would lose digits
            xp.matmul((latents - means[:, m, None]) ** 2, inverse[:, m, :, None]) for m in range(means.shape[1])
        ]
        # All modes share Π_j σ, and without it the logarithm keeps its digits at large σ.
        logits = log_weights - xp.sum(xp.log1p(variances / noise), axis=2) / 2  # (R, M)
        logits = logits[:, None] - xp.concat(square, axis=2) / 2  # (R, N, M)
        responsibility = xp.exp(logits - xp.max(logits, axis=2, keepdims=True))
        responsibility = responsibility / xp.sum(responsibility, axis=2, keepdims=True)
        # D = Σ_m r_m (λ_m x + σ² c_m) / v_m
        denoised = latents * xp.matmul(responsibility, variances * inverse)
        denoised = denoised + xp.matmul(responsibility, means * noise * inverse)  # (R, N, d)
        return xp.concat([xp.reshape(denoised, (-1, self.width)), x[:, -1:]], axis=1)

    def __getstate__(self) -> dict[str, Any]:
        return {"make": self.make, "seeds": self.seeds, "width": self.width}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def _model(self, number: int) -> DiagonalMixture:
        """The model of a number, in EDM's noise range."""
        model = self.make(self.seeds[number])
        scale = SIGMA_MAX / model.sigma_max
        return DiagonalMixture(model.means * scale, model.variances * scale**2, model.weights)

    def _stack(self, numbers: bytes, single: bool) -> Parameters:
        """The parameters of some models, given as the bytes of an array, in single or double precision."""
        models = [self.model(number) for number in np.frombuffer(numbers, np.int64).tolist()]
        modes = max(len(model.weights) for model in models)
        size = (len(models), modes, self.width)
        stacked = Parameters(np.zeros(size), np.ones(size), np.full(size[:2], -np.inf))
        for r, model in enumerate(models):
            count, dimension = model.means.shape
            stacked.means[r, :count, :dimension] = model.means
            stacked.variances[r, :count, :dimension] = model.variances
            stacked.variances[r, :count, dimension:] = 1e-12  # D is 0 there
            stacked.log_weights[r, :count] = np.log(model.weights)
        return Parameters(*(part.astype(np.float32) for part in stacked)) if single else stacked


def _values(array: Array) -> np.ndarray:
    """The numbers of an array or a tensor, without gradients."""
    return np.asarray(array.detach().cpu() if hasattr(array, "detach") else array)


def _run(numbers: np.ndarray, levels: np.ndarray) -> int:
    """The number of rows N so that every N rows in a row have the same model and level; 1 if there is no such N."""
    changed = np.flatnonzero((numbers[1:] != numbers[:-1]) | (levels[1:] != levels[:-1])) + 1
    run = int(changed[0]) if len(changed) else len(numbers)
    return run if len(numbers) % run == 0 and not (changed % run).any() else 1
