"""CMA-ES and Adam under the same accounting as the agents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from art_gym.agents.runs.config import TrainConfig
from art_gym.agents.runs.folder import Run
from art_gym.agents.runs.outcome import Outcome
from art_gym.agents.training.policies import load_policy
from art_gym.agents.training.run import train
from art_gym.denoisers import FunctionDenoiser
from art_gym.evaluation.heldout import VALIDATION, VALIDATION_NOISES, evaluate_plan
from art_gym.schedules import Schedule
from art_gym.search.base import SEARCHES, Candidate, Sought
from art_gym.search.evolution import BATCH, CANDIDATES
from art_gym.search.gradient import UPDATES
from art_gym.tasks.references import find_reference, score
from art_gym.tasks.target import Target


def find(tmp_path: Path, algo: str, seed: int = 0, total: int | None = None) -> Outcome:
    config = TrainConfig("ARTDiffusion-Mixture1D-v0", algo, seed, env={"num_steps": 5}, n_timesteps=total)
    return train(config, Run(tmp_path / f"{algo}{seed}{total}"), resume=False, progress=False)


@pytest.mark.parametrize(("algo", "per_step"), [("cma", BATCH), ("gradient", BATCH)])
def test_rivals_come_close_to_the_oracle_and_count_their_calls(tmp_path: Path, algo: str, per_step: int) -> None:
    outcome = find(tmp_path, algo)
    assert score(outcome.as_grid[5].error, find_reference(Target.of("mixture_1d", "dpmpp_2m"), 5)) > 0.8
    tried = (40 + 10 * 5) * CANDIDATES if algo == "cma" else UPDATES
    assert outcome.evaluations == tried * per_step * 5


def test_steps_of_defect_are_evaluations(tmp_path: Path) -> None:
    few, more = (find(tmp_path, "defect", total=total).evaluations for total in (20_000, 200_000))
    assert few < 60_000
    assert 100_000 < more < 300_000


def test_a_rival_has_schedules_and_no_policy(tmp_path: Path) -> None:
    find(tmp_path, "cma", total=60)
    folder = tmp_path / "cma060"
    with pytest.raises(
        ValueError, match=r"run of cma, which finds schedules and has no policy: load one of .*K5\.json$"
    ):
        load_policy(folder, 5)


def test_interrupted_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resumed search keeps what it found before Ctrl-C. Before anything is found, the folder stays free."""
    config = TrainConfig("ARTDiffusion-Mixture1D-v0", "cma", env={"num_steps": (5, 7)}, n_timesteps=600)
    run = Run(tmp_path / "run")
    whole = train(config, Run(tmp_path / "whole"), resume=False, progress=False)
    searched = []

    def search(sought: Sought) -> Iterator[Candidate]:
        searched.append(sought.num_steps)
        if len(searched) in (1, 3):
            raise KeyboardInterrupt
        return real(sought)

    real = SEARCHES["cma"]
    monkeypatch.setitem(SEARCHES._entries, "cma", search)
    for resume in (False, False, True):  # stopped at once, stopped after the first budget, finished
        try:
            outcome = train(config, run, resume, progress=False)
        except KeyboardInterrupt:
            continue
    assert searched == [5, 5, 7, 7]
    assert {k: schedule.sigmas for k, schedule in outcome.plans.items()} == {
        k: schedule.sigmas for k, schedule in whole.plans.items()
    }
    assert outcome.evaluations == whole.evaluations


def test_the_best_grid_on_validation_noise_is_kept(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    outcome = train(TrainConfig("mixture_1d", "gradient", env={"num_steps": 7}), run, False, False)
    found = evaluate_plan(
        Target.of("mixture_1d", "dpmpp_2m"), outcome.as_grid[7].levels, VALIDATION_NOISES, VALIDATION, distances=False
    )
    assert found.error == pytest.approx(min(point.errors[7] for point in run.history()), rel=1e-6)
    assert next(run.tensorboard.glob("run_1/events*")).stat().st_size > 1000


@pytest.mark.parametrize("algo", ["cma", "ppo"])
@pytest.mark.parametrize("flow", [False, True])
def test_a_flow_model_s_schedule_says_so(tmp_path: Path, algo: str, flow: bool) -> None:
    class Task(FunctionDenoiser):
        """Like a flow model from `from_diffusers`."""

    Task.flow = flow
    task = Task(lambda x, sigma: x / (1 + sigma[:, None] ** 2), (1,), data_std=1.0)
    config = TrainConfig("gaussian_1d", algo, env={"task": task, "num_steps": 2}, n_timesteps=200)
    outcome = train(config, Run(tmp_path / "run"), resume=False, progress=False)
    assert Schedule.load(tmp_path / "run" / "schedule_K2.json").flow == outcome.plans[2].flow == flow


@pytest.mark.parametrize("algo", ["cma", "gradient"])
def test_repeatable(tmp_path: Path, algo: str) -> None:
    first = find(tmp_path / "a", algo, 3, 250).plans[5].sigmas
    assert find(tmp_path / "b", algo, 3, 250).plans[5].sigmas == first
    assert find(tmp_path / "c", algo, 4, 250).plans[5].sigmas != first
