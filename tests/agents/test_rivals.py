"""CMA-ES and Adam under the same accounting as the agents."""

from __future__ import annotations

import pytest

from art_gym.agents.pipeline import learn
from art_gym.agents.rivals import BATCH, CANDIDATES, UPDATES
from art_gym.agents.runs import Run, TrainConfig
from art_gym.references import find_reference, score


def find(tmp_path, algo: str, seed: int = 0, total: int | None = None):
    config = TrainConfig("ARTDiffusion-Mixture1D-v0", algo, seed, env={"num_steps": 5}, n_timesteps=total)
    return learn(config, Run(tmp_path / f"{algo}{seed}{total}"), resume=False, progress=False)


@pytest.mark.parametrize(("algo", "per_step"), [("cma", BATCH), ("gradient", BATCH)])
def test_rivals_come_close_to_the_oracle_and_count_their_calls(tmp_path, algo, per_step):
    outcome = find(tmp_path, algo)
    assert score(outcome.as_grid[5].error, find_reference("mixture_1d", "dpmpp_2m", 5)) > 0.8
    tried = (40 + 10 * 5) * CANDIDATES if algo == "cma" else UPDATES
    assert outcome.evaluations == tried * per_step * 5


@pytest.mark.parametrize("algo", ["cma", "gradient"])
def test_repeatable(tmp_path, algo):
    first = find(tmp_path / "a", algo, 3, 250).schedules[5].sigmas
    assert find(tmp_path / "b", algo, 3, 250).schedules[5].sigmas == first
    assert find(tmp_path / "c", algo, 4, 250).schedules[5].sigmas != first
