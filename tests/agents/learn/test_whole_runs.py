"""`art-gym learn` on pipelines that depend on the number of the step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from art_gym.agents.cli.main import main
from art_gym.agents.learn.trial import own_path
from art_gym.denoisers import from_pipeline
from art_gym.denoisers.base import visible
from art_gym.export import ARTScheduler
from art_gym.measures.errors import endpoint_error
from art_gym.samplers.methods import dpmpp_3m
from art_gym.samplers.plans import load
from art_gym.samplers.sampler import Sampler
from art_gym.samplers.traced import traced
from art_gym.schedules.fine import reference_grid
from helpers.commands import STEPS, options, sampled
from helpers.pipelines import ARGUMENTS, diffusers, tiny

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def ending(tmp_path: Path) -> list[str]:
    """The command for a ControlNet that acts in the first half of the steps."""
    tiny("controlnet").save_pretrained(tmp_path / "model")
    said = ["learn", *options("controlnet", tmp_path), "-o", str(tmp_path / "s.json"), "--no-progress"]
    with (tmp_path / "args.yaml").open("a") as file:
        file.write("control_guidance_end: 0.5\n")
    return [*said, "--steps", str(STEPS), "--budget", "900nfe"]


def test_errors_are_those_of_a_pipeline_that_depends_on_the_step(
    ending: list[str], tmp_path: Path, quick: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Samples and endpoints of the user's pipeline have the error that the report says."""
    assert main(ending) == 0
    text, proof = capsys.readouterr().out, quick[0]
    assert "The pipeline depends on the number of the step, so each sample here is a whole run of it." in text
    assert "precise endpoints are its own schedule with 13 steps" in text
    assert "Plugged into the pipeline by ARTScheduler it gives the samples measured here" in text
    model, start, found = proof.trial.model, proof.noises.start, load(tmp_path / "s.json")
    monkeypatch.setitem(ARGUMENTS, "controlnet", {**ARGUMENTS["controlnet"], "control_guidance_end": 0.5})
    pipe = diffusers.DiffusionPipeline.from_pretrained(tmp_path / "model")
    pipe.set_progress_bar_config(disable=True)
    own, noise = pipe.scheduler, torch.from_numpy(visible(start, model) / np.float32(model.sigma_max))
    precise = Sampler.made(traced(dpmpp_3m, own_path(model, 21)), "precise")  # as many calls as 6 steps of RK4 make
    ends = []
    for plan in (found, precise):
        pipe.scheduler = ARTScheduler.from_sampler(plan, own)
        count = len(plan.sigmas) - 1
        samples = sampled("controlnet", pipe, model.condition(start).tolist(), noise, monkeypatch, count)
        ends.append(samples.numpy())
    assert endpoint_error(*ends).mean() == pytest.approx(proof.error, rel=1e-4)
    assert found.heldout_error == proof.error


def test_the_path_of_precise_endpoints_is_the_pipelines_own_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of its steps end where half of the pipeline's do, also where the pipeline begins below σ_max."""
    for kind in ("sd1", "flux", "img2img"):
        model = from_pipeline(tiny(kind), **ARGUMENTS[kind])
        (own,) = model.own_levels(50).values()
        path = own_path(model, 189)
        assert len(path) == 190
        assert (path[0], path[-1]) == (model.sigma_max, 0.0)
        assert (np.diff(path) < 0).all()
        assert own[26] < path[94] < own[23]
    monkeypatch.setattr(model, "own_levels", lambda _: {})  # as of a scheduler that cannot take 50 steps
    np.testing.assert_array_equal(own_path(model, 189), reference_grid(model, 189))


def test_single_calls_of_what_depends_on_the_step(
    ending: list[str], tmp_path: Path, quick: list[Any], capsys: pytest.CaptureFixture
) -> None:
    """Where whole runs are switched off, the report says that the pipeline samples otherwise."""
    with (tmp_path / "args.yaml").open("a") as file:
        file.write("whole: false\n")
    assert main(ending) == 0
    text = capsys.readouterr().out
    assert "**Plugged into the pipeline it gives other samples, by" in text
    assert "It may depend on the number of the step: learn with --whole." in text


def test_whole_runs_can_be_asked_for(tmp_path: Path, quick: list[Any], capsys: pytest.CaptureFixture) -> None:
    tiny("ddim").save_pretrained(tmp_path / "model")
    said = ["--model", str(tmp_path / "model"), "--whole", "--steps", str(STEPS), "-o", str(tmp_path / "s.json")]
    assert main(["learn", *said, "--budget", "500nfe", "--no-progress"]) == 0
    assert "each sample here is a whole run of it" in capsys.readouterr().out
    assert quick[0].trial.model.whole


def test_what_cannot_learn_from_whole_runs(ending: list[str], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for more, message in (
        (["--solver", "heun"], "this model depends on the number of the step, and heun makes 2 calls a step: choose"),
        (["--agent", "ppo"], "leave --agent 'ppo' out: an agent makes single calls"),
    ):
        assert main([*ending, *more]) == 2
        assert message in capsys.readouterr().err.splitlines()[-1]
    instant = [word for word in ending[1:] if word != "--no-progress"][:-2]  # without a budget
    assert main(["instant", *instant]) == 0
    assert "takes each call of a probe for a first step" in capsys.readouterr().out
