"""Policies by gradients through the solver start as the grid, see what the suite shows, and learn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from art_gym.agents.cli.main import main
from art_gym.agents.studies import headroom
from art_gym.envs.config import load_config
from art_gym.envs.observations import Observation
from art_gym.envs.state import State
from art_gym.evaluation.heldout import evaluate_plan
from art_gym.solvers.base import Previous
from art_gym.tasks.references import find_reference
from art_gym.tasks.registry import get_task
from art_gym.tasks.target import Target


def policy(task: str, solver: str, view: str) -> headroom.Policy:
    reference = find_reference(Target.of(task, solver), headroom.NUM_STEPS)
    assert reference is not None
    return headroom.Policy(get_task(task), solver, np.array(reference.oracle_sigmas), view, seed=0)


@pytest.mark.parametrize("view", headroom.VIEWS)
@pytest.mark.parametrize("solver", ["dpmpp_2m", "euler"])
@pytest.mark.parametrize("task", ["mixture_1d", "digits"])
def test_the_untrained_policy_is_the_best_fixed_grid(task: str, solver: str, view: str) -> None:
    count = 2048 if task == "mixture_1d" else 256
    reference = find_reference(Target.of(task, solver), headroom.NUM_STEPS)
    assert reference is not None
    expected = evaluate_plan(Target.of(task, solver), np.array(reference.oracle_sigmas), count, distances=False).error
    rows = headroom._rows(get_task(task), "heldout", 0, count)
    assert float(headroom._measured(policy(task, solver, view), rows).mean()) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("view", headroom.VIEWS)
def test_untrained_policies_learn_by_gradients(view: str) -> None:
    ours = policy("mixture_1d", "dpmpp_2m", view)
    start, endpoints = headroom._rows(ours.denoiser, "train", 0, 256)
    optimizer = torch.optim.Adam(ours.network.parameters(), 1e-3)
    losses = []
    for _ in range(20):
        loss = ours.errors(start, endpoints).mean()
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        assert all(torch.isfinite(weight.grad).all() for weight in ours.network.parameters() if weight.grad is not None)
        optimizer.step()
    assert min(losses) < (0.999 if view == "blind" else 0.9) * losses[0]


def test_the_loss_falls_and_the_policy_passes_its_blind_twin() -> None:
    runs = {
        view: headroom.train("mixture_1d", "dpmpp_2m", 2048, view, 0.0, 60, 256, 3e-3, seed=0)
        for view in ("blind", "statistics")
    }
    for run in runs.values():
        assert run["training_error"] <= 1.01 * run["start_training_error"]
    assert runs["statistics"]["error"] < 0.8 * runs["blind"]["error"]


@pytest.mark.parametrize("task", ["mixture_1d", "digits"])
@pytest.mark.parametrize("first", [True, False])
def test_statistics_are_those_of_the_observation(task: str, first: bool) -> None:
    denoiser, rng, count = get_task(task), np.random.default_rng(0), 16
    sigma = np.exp(rng.uniform(np.log(denoiser.sigma_min), np.log(denoiser.sigma_max), count))
    x = rng.standard_normal((count, *denoiser.shape)) * np.sqrt(sigma**2 + 1).reshape(-1, *[1] * len(denoiser.shape))
    x = x.astype(np.float32)
    denoised = denoiser(x, sigma.astype(np.float32))
    before = denoised + 0.1 * rng.standard_normal(x.shape).astype(np.float32)
    previous_sigma = np.full(count, np.inf) if first else 2 * sigma
    state = State(
        x=x[:, None],
        denoised=denoised[:, None],
        previous_denoised=before[:, None],
        sigma=sigma,
        previous_sigma=previous_sigma,
        step=np.ones(count, np.int64),
        num_steps=np.full(count, 7),
        grid=np.full((count, 7), np.nan),
        log_sigma=np.zeros(count),
        log_grid=np.full((count, 7), -1.0, np.float32),
        noise=np.zeros((count, 1), np.int64),
        told=np.empty((count, 0)),
        weights=np.empty((count, 0, 0)),
        earlier=np.empty((count, 0)),
    )
    problem = load_config(task=denoiser).make_core().problem
    expected = Observation(("latents",))(state, problem, 7)
    tensors = [torch.from_numpy(np.asarray(a, np.float32)) for a in (x, denoised, sigma, before, previous_sigma)]
    previous = Previous(tensors[3], tensors[4])
    found = headroom.statistics(*tensors[:3], previous, denoiser.data_std).numpy()
    # the standard deviation of a single number is 0, up to rounding in the observation
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3 if task == "mixture_1d" else 1e-5)


def test_study_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    arguments = ["reproduce", "headroom", "--quick", "--seeds", "0", "--out", str(tmp_path)]
    assert main(arguments) == 0
    table, folder = capsys.readouterr().out, tmp_path / "headroom"
    records = (folder / "results.jsonl").read_text()
    assert [json.loads(line)["view"] for line in records.splitlines()] == [view for view, _ in headroom.FULL]
    assert (folder / "table.md").read_text().strip() in table
    assert (folder / "headroom.png").stat().st_size > 0
    assert main(arguments) == 0  # all records exist, so nothing is computed again
    assert (folder / "results.jsonl").read_text() == records
