"""Training the instant policy: what it computes with, and that it learns what carries over to new models."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from art_gym.agents.training.instant import errors, fit, joined, loss_of, shifted, train_instant
from art_gym.agents.training.instant_examples import Example, Seen, grouped, stacked
from art_gym.agents.training.instant_models import tree_model
from art_gym.measures.errors import endpoint_error
from art_gym.schedules.instant import inputs
from art_gym.schedules.instant import shifted as shifted_levels
from art_gym.solvers.loop import integrate
from art_gym.tasks.random_models import TRAINING_SEEDS, VALIDATION_SEEDS, random_model

MAKERS = [random_model, tree_model]


def examples(make: object, seeds: range) -> list[Example]:
    return [Example.of(seed, make(seed)) for seed in seeds]  # type: ignore[operator]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("solver", ["dpmpp_2m", "euler"])
def test_errors_are_those_of_the_solver(make: object, solver: str) -> None:
    some = examples(make, VALIDATION_SEEDS[:4])
    batch, seen = stacked(some), Seen.of([example.probe for example in some], 5)
    shift = torch.full((4, 4), -0.3, dtype=torch.float64)
    told = torch.from_numpy(seen.logs - seen.ends[:, :1]) + torch.log(batch.sigma_max)[:, None]
    logs = shifted(told, shift, batch)
    found = errors(batch, logs, torch.full((4,), solver == "dpmpp_2m"), torch.zeros(4, 5, 2, dtype=torch.float64))
    for example, row, error in zip(some, logs, found, strict=True):
        levels = shifted_levels(example.probe, example.probe.closed_form(5), np.full(4, -0.3))
        np.testing.assert_allclose(np.exp(row.numpy()) * example.denoiser.data_std, levels[:-1], rtol=1e-6)
        count = batch.start.shape[1]
        samples = integrate(example.denoiser, levels, example.start[:count], solver)
        expected = endpoint_error(samples, example.endpoints[:count]).mean() / example.denoiser.data_std
        assert float(error) == pytest.approx(expected, rel=0.01, abs=1e-4)


def test_it_helps_models_that_it_never_saw() -> None:
    groups = grouped(examples(random_model, TRAINING_SEEDS[:24]))
    unseen = grouped(examples(random_model, VALIDATION_SEEDS[:12]))
    gains = {}
    for head in ("grid", "sampler"):
        torch.manual_seed(0)
        network = fit(groups, head, 0, 60, progress=False)
        with torch.no_grad():
            found = [
                [
                    float(loss_of(net, group.batch, group.seen[7][0], np.full(len(group.batch.size), True)))
                    for group in unseen
                ]
                for net in (lambda values: torch.zeros(*values.shape[:2], 3, dtype=torch.float64), network)
            ]
        gains[head] = np.mean(found[0]) - np.mean(found[1])
    assert min(gains.values()) > 0.1


def test_arrays_compute_what_the_networks_do() -> None:
    groups = grouped(examples(random_model, TRAINING_SEEDS[:3]))
    networks = [fit(groups, "sampler", number, 3, progress=False) for number in range(2)]
    values = inputs(*groups[0].seen[5][0], np.full(len(groups[0].batch.size), True))[0]
    with torch.no_grad():
        expected = torch.stack([network(torch.from_numpy(values)[None])[0] for network in networks]).mean(dim=0)
    np.testing.assert_allclose(joined(networks)(values), expected.numpy(), atol=1e-12)


def test_training_is_deterministic() -> None:
    first, again = (train_instant(3, 2, 1, progress=False) for _ in range(2))
    for part, same in zip((*first.grid, *first.sampler), (*again.grid, *again.sampler), strict=True):
        np.testing.assert_array_equal(part, same)
    assert first.threshold == again.threshold < np.inf
    assert first.facts["seeds"] == f"{TRAINING_SEEDS[0]} to {TRAINING_SEEDS[2]}"


def test_too_little_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 models, got 1"):
        train_instant(1)
