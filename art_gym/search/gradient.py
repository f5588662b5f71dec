"""Search for a fixed grid by stochastic gradients through the solver, which a practitioner would try first."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from art_gym.denoisers.base import Denoiser
from art_gym.schedules.fractions import levels_from_logits
from art_gym.search.base import Candidate, Sought, search
from art_gym.solvers.base import Solver
from art_gym.solvers.loop import integrate

UPDATES = 400
BATCH = 64  # noises in an update
YIELDED = 20  # updates between two yielded candidates


@search("gradient")
def gradient(sought: Sought) -> Iterator[Candidate]:
    """Adam through the solver. An update counts as one episode. See `gradient_descent`."""
    updates = UPDATES if sought.steps is None else max(sought.steps // sought.num_steps, 1)
    found = gradient_descent(
        sought.denoiser,
        sought.num_steps,
        sought.solver,
        sought.start,
        sought.endpoints,
        updates,
        BATCH,
        seed=sought.seed,
    )
    for update, levels in enumerate(found, start=1):
        if update % YIELDED == 0 or update == updates:
            yield Candidate(update, levels)


def gradient_descent(
    denoiser: Denoiser,
    num_steps: int,
    solver: str | Solver,
    start: np.ndarray,
    endpoints: np.ndarray,
    updates: int = UPDATES,
    batch: int = BATCH,
    learning_rate: float = 0.05,
    seed: int = 0,
) -> Iterator[np.ndarray]:
    """Run Adam on the log of a batch's mean endpoint error, from the geometric grid. Its rate falls to 0.

    Args:
        denoiser, solver, num_steps: what the grid is for. Torch must be able to differentiate through the denoiser.
        start, endpoints: (B, *shape) training noises at σ_max and their precise endpoints.
        updates, batch, learning_rate: of Adam. Batches are drawn with replacement.
        seed: of the batches.

    Yields:
        (K+1,) levels after each update.
    """
    import torch  # not all searches need it

    rng = np.random.default_rng([seed, num_steps])
    logits = torch.zeros(num_steps - 1, dtype=torch.float32, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=learning_rate)
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=updates)
    for _ in range(updates):
        rows = rng.integers(len(start), size=batch)
        samples = integrate(denoiser, levels_from_logits(logits, denoiser), torch.from_numpy(start[rows]), solver)
        squares = ((samples - torch.from_numpy(endpoints[rows])) ** 2).reshape(batch, -1).mean(dim=1)
        loss = torch.log(torch.sqrt(squares + 1e-16).mean())
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        decay.step()
        yield levels_from_logits(logits.detach().double().numpy(), denoiser)
