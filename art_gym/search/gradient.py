"""A fixed grid or sampler by stochastic gradients through it: what a practitioner would try first."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from art_gym.search.base import Candidate, Sought, search
from art_gym.search.spaces import Found, Space

UPDATES = 400
BATCH = 64  # noises in an update
YIELDED = 20  # updates between candidates


@search("gradient")
def gradient(sought: Sought) -> Iterator[Candidate]:
    """Adam through the sampler, one episode an update; see `gradient_descent`."""
    updates = UPDATES if sought.steps is None else max(sought.steps // sought.num_steps, 1)
    found = gradient_descent(sought.space, sought.start, sought.endpoints, updates, seed=sought.seed)
    for update, plan in enumerate(found, start=1):
        if update % YIELDED == 0 or update == updates:
            yield Candidate(update, plan)


def gradient_descent(
    space: Space[Found],
    start: np.ndarray,
    endpoints: np.ndarray,
    updates: int = UPDATES,
    batch: int = BATCH,
    learning_rate: float = 0.05,
    seed: int = 0,
) -> Iterator[Found]:
    """Run Adam on the log of a batch's mean endpoint error, from the first plan of a space. Its rate falls to 0.

    Args:
        space: what to choose from. Torch must be able to differentiate through its denoiser.
        start, endpoints: (B, *shape) training noises at σ_max and their precise endpoints.
        updates, batch, learning_rate: of Adam. Batches are drawn with replacement.
        seed: of the batches.

    Yields:
        The levels, or the sampler, after each update.
    """
    import torch  # not all searches need it

    rng = np.random.default_rng([seed, space.num_steps])
    numbers = torch.tensor(space.first(), dtype=torch.float32, requires_grad=True)
    optimizer = torch.optim.Adam([numbers], lr=learning_rate)
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=updates)
    for _ in range(updates):
        rows = rng.integers(len(start), size=batch)
        samples = space.samples(numbers, torch.from_numpy(start[rows]))
        squares = ((samples - torch.from_numpy(endpoints[rows])) ** 2).reshape(batch, -1).mean(dim=1)
        loss = torch.log(torch.sqrt(squares + 1e-16).mean())
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        decay.step()
        yield space.plan(numbers.detach().double().numpy())
