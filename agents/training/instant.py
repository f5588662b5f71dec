"""Trains the policy behind instant schedules and samplers, by gradients through the solver on many random models.

The loss is the mean over models of log(E + floor), E the mean endpoint error of what the networks give. So no best
grids are needed as labels, and levels that do not matter for the error do not matter for the fit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

import art_gym
from art_gym.denoisers.base import Denoiser
from art_gym.denoisers.threads import one_thread
from art_gym.schedules.instant import (
    CHANNELS,
    CLIPPED,
    GAP,
    HEADS,
    NODES,
    TOLD_SCALE,
    Ensemble,
    InstantPolicy,
    inputs,
    profile,
)
from art_gym.schedules.probe import Probe, probe
from art_gym.tasks.random_models import TRAINING_SEEDS, VALIDATION_SEEDS, random_model

from .instant_examples import Batch, Example, Group, Seen, grouped
from .instant_models import tree_model, wide_model

WIDE_SHARE, TREE_SHARE = 0.2, 0.35  # how many wide spectra and trees come on top, as shares of the models
NETWORKS, WIDTH = 2, 96  # the second one sees the profile around each level only, which carries over to more models
RATE, DECAY = 3e-3, 0.05  # of AdamW
MODELS_IN_BATCH = 32
SECOND = 0.65  # share of models with the solver of second order
FLOOR = 0.01  # of the error, in units of the data's standard deviation: smaller errors hardly count
BUDGETS = (range(3, 5), 0.12), (range(5, 11), 0.75), (range(11, 21), 0.13)  # numbers of steps, and how often
SCALE = 0.05  # added to the inputs' standard deviations, so that constant ones do not blow up


class Length(NamedTuple):
    """How many models of `random_model`, and steps of the gradient for each network."""

    models: int
    steps: int


# Longer training of samplers goes on helping random models, and makes networks of images worse.
LENGTHS = {"grid": Length(4000, 10_000), "sampler": Length(1500, 2500)}
QUANTILE = 0.99  # of the validation models' distances, which is the threshold for unlike models


def train_instant(
    models: int | None = None, steps: int | None = None, networks: int = NETWORKS, first: int = 0, progress: bool = True
) -> InstantPolicy:
    """Train the networks for schedules and for samplers, on random models alone.

    Args:
        models: how many of `random_model`, instead of those of `LENGTHS`. Wide spectra and trees come on top.
        steps: of the gradient, for each network, instead of those of `LENGTHS`.
        networks: in each ensemble.
        first: number of the first training model, so that policies of disjoint models can be compared.
        progress: show a bar.

    Raises:
        ValueError: for fewer than 2 models.
    """
    if models is not None and models < 2:
        raise ValueError(f"need at least 2 models, got {models}: raise them")
    lengths = {head: Length(models or known.models, steps or known.steps) for head, known in LENGTHS.items()}
    torch.set_num_threads(1)  # the products are small
    began = time.perf_counter()
    with one_thread():
        most = max(of.models for of in lengths.values())
        kinds = _examples(most, first, progress)
        heads = {}
        for head, of in lengths.items():
            groups = grouped(_of_so_many(kinds, of.models))
            heads[head] = joined([fit(groups, head, number, of.steps, progress) for number in range(networks)])
        mean, precision = _spread(example.probe for example in _of_so_many(kinds, most))
        policy = InstantPolicy(**heads, mean=mean, precision=precision, threshold=np.inf, facts={})
        distances = [policy.distance(probe(random_model(seed))) for seed in VALIDATION_SEEDS]
    chosen = "" if models is None else f" --models {models}"
    facts = {
        "command": f"art-gym train-instant --first {first}{chosen}",
        "seeds": f"{TRAINING_SEEDS[first]} to {TRAINING_SEEDS[first + most - 1]}",
        "version": art_gym.__version__,
        "seconds": f"{time.perf_counter() - began:.0f}",
    }
    return replace(policy, threshold=float(np.quantile(distances, QUANTILE)), facts=facts)


KINDS: dict[str, tuple[Callable[[int], Denoiser], float]] = {  # how each is made, and their share of the models
    "random models": (random_model, 1.0),
    "wide spectra": (wide_model, WIDE_SHARE),
    "trees": (tree_model, TREE_SHARE),
}


def _examples(models: int, first: int, progress: bool) -> dict[str, list[Example]]:
    """The examples of each kind."""
    made = {}
    for name, (make, share) in KINDS.items():
        seeds = TRAINING_SEEDS[first : first + round(share * models)]
        made[name] = [Example.of(seed, make(seed)) for seed in tqdm(seeds, desc=name, disable=not progress)]
    return made


def _of_so_many(kinds: dict[str, list[Example]], models: int) -> list[Example]:
    """The first examples of each kind, as many as belong to this number of random models."""
    return [example for name, (_, share) in KINDS.items() for example in kinds[name][: round(share * models)]]


class Network(nn.Module):
    """One network in training. With ``near``, it does not see the whole profile."""

    def __init__(self, mean: np.ndarray, scale: np.ndarray, outputs: int, near: bool) -> None:
        super().__init__()
        size = len(mean)
        self.mean, self.scale, seen = torch.from_numpy(mean), torch.from_numpy(scale), torch.ones(size)
        seen[size - CHANNELS * len(NODES) :] = float(not near)
        self.seen = seen.double()
        self.first, self.second, self.last = (
            nn.Linear(*shape, dtype=torch.float64) for shape in ((size, WIDTH), (WIDTH, WIDTH), (WIDTH, outputs))
        )
        for parameter in self.last.parameters():  # it begins with the closed form
            nn.init.zeros_(parameter)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """(R, K, O) outputs of (R, K, F) inputs."""
        hidden = ((values - self.mean) / self.scale).clamp(-CLIPPED, CLIPPED) * self.seen
        for layer in (self.first, self.second):
            hidden = nn.functional.silu(layer(hidden))
        outputs: torch.Tensor = self.last(hidden)
        return outputs


def fit(groups: Sequence[Group], head: str, number: int, steps: int, progress: bool) -> Network:
    """Train one network."""
    rng = np.random.default_rng([number, *head.encode()])
    torch.manual_seed(int(rng.integers(2**31)))
    network = Network(*_standard(groups), HEADS[head], near=bool(number % 2))
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, max(steps, 2), pct_start=0.1)
    shares = np.array([len(group.batch.size) for group in groups], float)
    for _ in tqdm(range(steps), desc=f"{head} {number}", disable=not progress):
        group = groups[rng.choice(len(groups), p=shares / shares.sum())]
        loss = _drawn_loss(network, group, rng, sampler=head == "sampler")
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return network


def _standard(groups: Sequence[Group]) -> tuple[np.ndarray, np.ndarray]:
    """(F,) means and standard deviations of the inputs."""
    parts = [
        inputs(*group.seen[num_steps][0], np.full(len(group.batch.size), second))  # (R, K, F)
        for group in groups
        for num_steps in (5, 7, 10)
        for second in (True, False)
    ]
    values = np.concatenate([part.reshape(-1, part.shape[2]) for part in parts])  # (…, F)
    return values.mean(axis=0), values.std(axis=0) + SCALE


def _drawn_loss(network: Network, group: Group, rng: np.random.Generator, sampler: bool) -> torch.Tensor:
    """The loss of some models of a group with some noises and a K."""
    count, noises = group.batch.start.shape[:2]
    rows = rng.choice(count, min(MODELS_IN_BATCH, count), replace=False)
    columns = rng.choice(noises, min(group.noises, noises), replace=False)
    among = BUDGETS[rng.choice(len(BUDGETS), p=[share for _, share in BUDGETS])][0]
    num_steps = int(rng.choice(among))
    of_probe = group.seen[num_steps][rng.integers(len(group.seen[num_steps]))]
    second = np.full(len(rows), True) if sampler else rng.random(len(rows)) < SECOND
    seen, batch = Seen(*(part[rows] for part in of_probe)), group.batch.picked(*map(torch.from_numpy, (rows, columns)))
    return loss_of(network, batch, seen, second)


def loss_of(network: nn.Module, batch: Batch, seen: Seen, second: np.ndarray) -> torch.Tensor:
    """The mean of log(E + floor) over models, with (R,) whether each is for the solver of second order."""
    outputs = network(torch.from_numpy(inputs(*seen, second)))  # (R, K, O)
    told = torch.from_numpy(seen.logs - seen.ends[:, :1]) + torch.log(batch.sigma_max)[:, None]
    logs = shifted(told, outputs[:, 1:, 0], batch)
    extra = outputs[:, :, 1:] if outputs.shape[2] > 1 else torch.zeros(*outputs.shape[:2], 2, dtype=torch.float64)
    return torch.log(errors(batch, logs, torch.from_numpy(second), extra) + FLOOR).mean()


def shifted(logs: torch.Tensor, shift: torch.Tensor, batch: Batch) -> torch.Tensor:
    """(R, K) log levels, as `art_gym.schedules.instant.shifted` moves them."""
    count = shift.shape[1]
    apart, room = GAP * torch.arange(1, count + 1), GAP / 2 * torch.arange(count - 1, -1, -1)
    moved = torch.minimum(logs[:, 1:] + shift, torch.log(batch.sigma_max)[:, None] - apart)
    moved = torch.cummin(moved + apart, dim=1).values - apart
    return torch.cat([logs[:, :1], torch.maximum(moved, torch.log(batch.sigma_min)[:, None] + room)], dim=1)


def errors(batch: Batch, logs: torch.Tensor, second: torch.Tensor, extra: torch.Tensor) -> torch.Tensor:
    """(R,) mean endpoint errors.

    Args:
        batch: models and noises.
        logs: (R, K) log levels.
        second: (R,) whether the weights are those of DPM-Solver++(2M), or none as Euler's.
        extra: (R, K, 2) what is added to the weights, and log c over its scale.
    """
    sigmas, sizes, num_steps = torch.exp(logs), logs[:, :-1] - logs[:, 1:], logs.shape[1]
    told = torch.exp(logs + TOLD_SCALE * extra[:, :, 1])
    told = torch.minimum(torch.maximum(told, batch.sigma_min[:, None]), batch.sigma_max[:, None])
    x, before = batch.start, torch.zeros_like(batch.start)
    for k in range(num_steps):
        denoised = mixed = batch.denoise(x, told[:, k])
        if k:
            weight = extra[:, k, 0]
            if k < num_steps - 1:
                weight = weight + torch.where(second, sizes[:, k] / (2 * sizes[:, k - 1]), 0.0)
            mixed = denoised + weight[:, None, None] * (denoised - before)
        before = denoised
        ratio = (sigmas[:, k + 1] / sigmas[:, k])[:, None, None] if k < num_steps - 1 else 0.0
        x = ratio * x + (1 - ratio) * mixed
    square = ((x - batch.endpoints) ** 2).sum(dim=2) / batch.size[:, None]
    return (square + 1e-20).sqrt().mean(dim=1)


def joined(networks: Iterable[Network]) -> Ensemble:
    """Trained networks as arrays. Unseen inputs get no weight."""
    networks = list(networks)
    layers = [
        np.stack([_with_constants(getattr(network, name)) for network in networks])
        for name in ("first", "second", "last")
    ]
    layers[0][:, :-1] *= np.stack([network.seen.numpy() for network in networks])[:, :, None]
    return Ensemble(networks[0].mean.numpy(), networks[0].scale.numpy(), *layers)


def _with_constants(layer: nn.Linear) -> np.ndarray:
    """(inputs + 1, outputs) weights, the last row for a constant."""
    both = torch.cat([layer.weight.T, layer.bias[None]]).detach()
    weights: np.ndarray = both.numpy()
    return weights


def _spread(probes: Iterable[Probe]) -> tuple[np.ndarray, np.ndarray]:
    """(J,) mean and (J, J) precision of the profiles."""
    profiles = np.stack([profile(found) for found in probes])  # (N, J)
    covariance = np.cov(profiles.T) + SCALE**2 * np.eye(profiles.shape[1])
    return profiles.mean(axis=0), np.linalg.inv(covariance)
