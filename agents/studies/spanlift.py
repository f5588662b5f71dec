"""SpanLift: a small network adds to each step of a fixed solver what no weights of its velocities can.

Kim et al. 2026, arXiv:2606.08672. A step of a solver stays within the span of the latents and of the velocities so far.
Here a learned operator, which sees these too, adds a residual from outside of that span. It is trained through the
whole sampler, so that samples end where those of a precise teacher do, and the model is called no more often.

Followed: the fixed solver, what the operator sees, and the loss at the end, as the paper's abstract has them. The rest
is ours and may differ from its code: denoised estimates in place of velocities, which have the same span with the
latents, the network, the loss of our other gradient methods, and held-out noises that choose the weights.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from art_gym.denoisers.base import Denoiser
from art_gym.measures.errors import endpoint_error
from art_gym.samplers.coefficients import Coefficients, mix

from .peers import Learning

if TYPE_CHECKING:
    import torch

MEMORY = 3  # estimates that the operator sees, the latest among them
WIDTH, CHANNELS = 128, 32  # of both hidden layers, for vectors and for images
RATE, CLIP = 5e-3, 1.0  # of Adam, and a gradient's largest norm; twice the rate without it fails on Digits at K = 7
HELD, CHECKS = 1 / 8, 16  # share of the noises that choose the best weights, and how often


class Lifted(NamedTuple):
    """A solver with an operator.

    Attributes:
        base: the solver.
        operator: from what `seen` gives to residuals, in units of the data's standard deviation.
    """

    base: Coefficients
    operator: torch.nn.Module

    def samples(self, denoiser: Denoiser, x: torch.Tensor) -> torch.Tensor:
        """(B, *shape) samples from (B, *shape) latents at σ_max, with one call a step.

        Each step goes to the estimate of the solver plus a residual. The last one ends there.
        """
        sigmas, told, weights = self.base.like(x)
        std = denoiser.data_std
        memory: list[torch.Tensor] = []  # denoised estimates, the latest first
        for k in range(len(told)):
            memory = [denoiser(x, (told[k] * sigmas[k]).expand(len(x))), *memory]
            scaled = x / (sigmas[k] ** 2 + std**2).sqrt()
            residual = self.operator(seen(k, len(told), scaled, [each / std for each in memory[:MEMORY]]))
            aim = mix(memory, weights[k]) + std * residual.reshape(x.shape)
            ratio = sigmas[k + 1] / sigmas[k]
            x = ratio * x + (1 - ratio) * aim
        return x

    def draw(self, denoiser: Denoiser, start: np.ndarray) -> np.ndarray:
        """The same of numpy, without gradients."""
        import torch

        with torch.no_grad():
            samples: np.ndarray = self.samples(denoiser, torch.from_numpy(start)).numpy()
        return samples


def seen(k: int, num_steps: int, scaled: torch.Tensor, estimates: list[torch.Tensor]) -> torch.Tensor:
    """What the operator sees in step k: (B, (1 + MEMORY) C + K, H, W) of images, (B, (1 + MEMORY) d + K) of others.

    Args:
        k, num_steps: the step, which is seen as a unit vector, and K.
        scaled: (B, *shape) latents at a standard deviation of 1.
        estimates: at most MEMORY, of the same shape and scale. Those that are missing are seen as 0.
    """
    import torch

    known = [scaled, *estimates] + [torch.zeros_like(scaled)] * (MEMORY - len(estimates))
    parts = known if scaled.ndim == 4 else [part.flatten(1) for part in known]
    step = torch.eye(num_steps)[k].reshape(1, -1, *[1] * (parts[0].ndim - 2))
    return torch.cat([*parts, step.expand(len(scaled), -1, *parts[0].shape[2:])], dim=1)


def new_operator(shape: tuple[int, ...], num_steps: int, seed: int) -> torch.nn.Module:
    """Convolutions for images and a perceptron for other latents. The residuals begin at 0."""
    import torch

    image = len(shape) == 3
    layer: Callable[[int, int], torch.nn.Module] = torch.nn.Linear
    if image:
        layer = partial(torch.nn.Conv2d, kernel_size=3, padding=1)
    width, channels = (CHANNELS, shape[0]) if image else (WIDTH, int(np.prod(shape)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        widths = [(1 + MEMORY) * channels + num_steps, width, width, channels]
        first, second, last = (layer(before, after) for before, after in pairwise(widths))
    for part in last.parameters():
        torch.nn.init.zeros_(part)
    return torch.nn.Sequential(first, torch.nn.SiLU(), second, torch.nn.SiLU(), last)


def spanlift(denoiser: Denoiser, base: Coefficients, how: Learning) -> Lifted:
    """Adam on the operator, with the log of a batch's mean endpoint error. Its rate falls to 0.

    Some of the noises are held out. Of weights at equal distances, those with the least error on them are kept. The
    first ones give the solver alone, so that an operator that fails is left out.

    Args:
        denoiser: what it samples. Torch must be able to differentiate through it.
        base: the solver, which stays as it is.
        how: the noises, and how long to learn. An update costs K evaluations of each latent in a batch, and a check K
            of each noise that is held out.
    """
    import torch  # not all studies need it

    num_steps, fitted = len(base.told), len(how.start) - max(int(HELD * len(how.start)), 1)
    lifted = Lifted(base, new_operator(denoiser.shape, num_steps, how.seed))
    optimizer = torch.optim.Adam(lifted.operator.parameters(), lr=how.rate)
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=how.updates)
    rng = np.random.default_rng([how.seed, num_steps])
    checks = set(np.linspace(0, how.updates, CHECKS, dtype=int).tolist())
    least, best = np.inf, {}
    for update in range(how.updates + 1):
        if update in checks:
            samples = lifted.draw(denoiser, how.start[fitted:])
            error = float(endpoint_error(samples, how.endpoints[fitted:]).mean())
            if error < least:
                least, best = error, deepcopy(lifted.operator.state_dict())
        if update < how.updates:
            rows = rng.integers(fitted, size=how.batch)
            optimizer.zero_grad()
            torch.autograd.backward(_loss(lifted, denoiser, how.start[rows], how.endpoints[rows]))
            torch.nn.utils.clip_grad_norm_(lifted.operator.parameters(), CLIP)
            optimizer.step()
            decay.step()
    lifted.operator.load_state_dict(best)
    return lifted


def _loss(lifted: Lifted, denoiser: Denoiser, start: np.ndarray, endpoints: np.ndarray) -> torch.Tensor:
    import torch

    samples = lifted.samples(denoiser, torch.from_numpy(start))
    squares = ((samples - torch.from_numpy(endpoints)) ** 2).flatten(1).mean(dim=1)
    return torch.log(torch.sqrt(squares + 1e-16).mean())
