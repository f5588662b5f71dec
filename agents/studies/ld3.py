"""LD3: levels by gradients, where the model is told other levels than those of the latents (Tong et al., ICLR 2025).

arXiv:2405.15506. The published code is followed, as to the soft teacher, the told levels and the two phases. Not as to
Adam for RMSprop and SGD, the loss, and the noises of validation: here they are those of our other gradient methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from art_gym.denoisers.base import Denoiser, per_sample, visible
from art_gym.samplers.coefficients import Coefficients, follow
from art_gym.samplers.freedom import Freedom, weights_2m
from art_gym.schedules.fractions import logits_from_levels

from .peers import Learning

if TYPE_CHECKING:
    import torch

FREEDOM = Freedom(2, True)  # 2M with told levels
ALONE = 2 / 7  # of the updates choose levels alone
WINDOW = 0.5  # how far a told level may be from its own, in shortest steps of log σ
RADIUS = 0.001  # of the ball in which a noise may move, times its elements over K²; in standard deviations
RATE = 12.0  # of a noise, over K


def ld3(denoiser: Denoiser, levels: np.ndarray, how: Learning) -> Coefficients:
    """Adam on the levels of 2M, and then also on those that the model is told, from the given levels.

    With a soft teacher: a training noise need not itself end at its endpoint, but one near it. So each noise moves down
    its own error, within a small ball around it, where that helps. The ball and the rate are those of the code.

    Args:
        denoiser: what it samples. Torch must be able to differentiate through it.
        levels: (K+1,) of a grid to begin with.
        how: the noises; an update costs 2 K evaluations of each latent in a batch.
    """
    import torch  # not all studies need it

    num_steps = len(levels) - 1
    rng = np.random.default_rng([how.seed, num_steps])
    start, endpoints = torch.from_numpy(how.start), torch.from_numpy(how.endpoints)
    moves = torch.zeros_like(visible(start, denoiser))  # (B, *visible shape), in standard deviations of the noise
    radius = RADIUS * moves[0].numel() / num_steps**2
    logits = torch.tensor(logits_from_levels(levels, denoiser), dtype=torch.float32, requires_grad=True)
    shifts = torch.zeros(num_steps, requires_grad=True)
    optimizer = torch.optim.Adam([logits, shifts], lr=how.rate)
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=how.updates)

    def errors(rows: np.ndarray, move: torch.Tensor) -> torch.Tensor:
        """(B,) root mean squares of the distances to the endpoints."""
        x = start[rows]
        visible(x, denoiser)[:] += denoiser.sigma_max * move
        samples = follow(denoiser, sampler(logits, shifts, denoiser), x)
        return torch.sqrt(((samples - endpoints[rows]) ** 2).flatten(1).mean(dim=1) + 1e-16)

    for update in range(how.updates):
        shifts.requires_grad_(update >= ALONE * how.updates)
        rows = rng.permutation(len(start))[: how.batch]
        move = moves[rows].requires_grad_()
        found = errors(rows, move)
        optimizer.zero_grad()
        torch.autograd.backward(torch.log(found.mean()))
        optimizer.step()
        decay.step()
        with torch.no_grad():
            assert move.grad is not None
            own = move.grad * found.sum()  # of each noise's own error, from that of the logarithm of the mean
            tried = within_ball(move - RATE / num_steps * own, radius)
            better = errors(rows, tried) < found
            moves[rows[better.numpy()]] = tried[better]
    with torch.no_grad():
        return Coefficients(*(part.double().numpy() for part in sampler(logits, shifts, denoiser)))


def sampler(logits: torch.Tensor, shifts: torch.Tensor, denoiser: Denoiser) -> Coefficients:
    """2M on the levels of (K−1,) logits, told other levels by (K,) shifts of log σ. The first shift has no effect."""
    import torch

    num_steps = len(shifts)
    plain = FREEDOM.coefficients(torch.cat([logits, torch.zeros(2 * num_steps - 1)]), num_steps, denoiser)
    steps = -torch.diff(torch.log(plain.sigmas[:-1].detach()))  # (K−1,)
    window = WINDOW * float(steps.min()) if num_steps > 1 else 0.0
    logs = torch.cat([torch.zeros(1), shifts[1:].clamp(-window, window)])
    weights = weights_2m(plain.sigmas)[1:]  # (K−1,)
    return FREEDOM.coefficients(torch.cat([logits, logs, weights]), num_steps, denoiser)


def within_ball(moves: torch.Tensor, radius: float) -> torch.Tensor:
    """(B, *shape) moves, shortened to the radius where they are longer."""
    lengths = moves.flatten(1).norm(dim=1)
    factors = (radius / lengths.clamp(min=1e-30)).clamp(max=1.0)
    shortened: torch.Tensor = moves * per_sample(factors, moves)
    return shortened
