"""Models for `art-gym learn`: saved models, bad models, and models that fail on the way."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from art_gym.agents.cli.main import main
from art_gym.agents.learn import learner as learn
from art_gym.agents.learn.budget import Budget
from art_gym.agents.learn.learner import Learner
from art_gym.agents.learn.trial import Noises
from art_gym.denoisers import FunctionDenoiser, from_diffusers
from art_gym.denoisers.base import visible
from art_gym.measures.errors import endpoint_error
from art_gym.schedules import Schedule, make_grid
from art_gym.solvers.loop import integrate
from art_gym.tasks.registry import get_task


@pytest.mark.parametrize("raises", [False, True])
def test_a_model_that_fails_late_leaves_the_best_so_far(raises: bool, tmp_path: Path) -> None:
    calls = 0

    def late(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += len(x)
        if calls > 60_000 and raises:
            raise RuntimeError("the power failed")
        return x / (1 + sigma[:, None] ** 2) if calls < 60_000 else x + np.nan

    out = tmp_path / "s.json"
    task = FunctionDenoiser(late, (2,), data_std=1.0)
    learner = Learner(task, "late", 5, "euler", Budget(evaluations=100_000), out, progress=False)
    with pytest.raises(
        RuntimeError if raises else ValueError, match="power failed" if raises else "not finite"
    ) as said:
        learner.run()
    kept = rf"{out} holds the best schedule so far \(.*, error 0\.\d+ on the selection noises\), without a report"
    assert re.search(kept, said.value.__notes__[0] if raises else str(said.value))
    assert Schedule.load(out).num_steps == 5
    assert calls > 60_000


def test_a_denoiser_that_cannot_be_called_as_one_is_refused_at_once(tmp_path: Path) -> None:
    def in_place(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        x /= 1 + sigma[:, None] ** 2
        return x

    out = tmp_path / "s.json"
    learner = Learner(FunctionDenoiser(in_place, (2,)), "mine", 4, "euler", Budget(evaluations=10_000), out)
    with pytest.raises(ValueError, match="changes its argument x in place"):
        learner.run()
    assert not out.exists()


def test_bad_models(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for arguments, message in (
        (["--model", str(tmp_path / "none")], "no folder of a diffusers model"),
        (["--model", str(tmp_path / "network.pkl")], "is a pickle"),
        (["--model", str(tmp_path / "none"), "--solver", "eulr"], "unknown solver 'eulr'"),  # before a model is loaded
        (["--model", str(tmp_path / "none"), "--seed", "-1"], "a seed is a whole number from 0 to 4294967295, got -1"),
        ([], "name either --model"),
        (
            ["--task", "digits", "--max-batch", "8", "--device", "cuda"],
            "leave out --device, --max-batch: such options need --model",
        ),
        (["--task", "digits", "--shape", "1", "8", "8"], "leave out --shape: such options need --model"),
        (["--task", "digits", "--steps", "1"], "from 2 to 1000 steps, got 1"),
        (["--task", "digits", "--steps", "1001"], "from 2 to 1000 steps, got 1001"),
        (["--task", "digits", "--budget", "soon"], "cannot read the budget"),
        (["--task", "digits", "--agent", "ppa"], "unknown algorithm 'ppa'"),
        (["--task", "digits", "--agent", "cma"], "'cma' is no RL agent: leave --agent out"),
        (["--task", "digits", "--agent", "dqn"], "'dqn' is for discrete actions"),
    ):
        assert main(["learn", *arguments, "--no-progress", "-o", str(tmp_path / "s.json")]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def of_any_size(model: Any) -> Any:
    """The model, with the size of its latents removed from its configuration."""
    model.register_to_config(sample_size=None)
    return model


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("prediction", ["sample", "v_prediction"])
def test_what_a_saved_model_does_not_say(
    prediction: str, tmp_path: Path, tiny_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Options give the shape of its latents, and correct its scheduler about what it predicts."""
    import diffusers

    model, scheduler, handed = tiny_model(), diffusers.DDPMScheduler(), []
    diffusers.DDPMPipeline(of_any_size(model), scheduler).save_pretrained(tmp_path / "model")
    monkeypatch.setattr(learn, "Learner", lambda denoiser, *_: handed.append(denoiser) or SimpleNamespace(run=str))
    said = ["--prediction-type", prediction, "--rounding", "--shape", "2", "12", "8", "--max-memory", "0.001"]
    assert main(["learn", "--model", str(tmp_path / "model"), *said, "-o", str(tmp_path / "s.json")]) == 0
    denoiser = handed[0]
    expected = from_diffusers(model, scheduler, prediction_type=prediction, rounding=True, shape=(2, 12, 8))
    x, sigma = np.ones((1, 2, 12, 8), np.float32), np.ones(1, np.float32)
    assert denoiser.shape == (2, 12, 8)
    assert 1 < denoiser.max_batch["network"] < 64
    np.testing.assert_allclose(denoiser(x, sigma), expected(x, sigma), rtol=1e-5, atol=1e-6)
    for missing in ({"rounding": True}, {"prediction_type": prediction}):
        plain = from_diffusers(model, scheduler, shape=(2, 12, 8), **missing)
        assert not np.allclose(denoiser(x, sigma), plain(x, sigma))


@pytest.mark.filterwarnings("ignore")
def test_saved_models_that_cannot_be_used(tmp_path: Path, tiny_model: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """The error is one line of ours, without messages of model libraries."""
    import diffusers

    tiny_model().save_pretrained(tmp_path / "model")
    diffusers.DDPMScheduler().save_pretrained(tmp_path / "ddpm")
    diffusers.IPNDMScheduler().save_pretrained(tmp_path / "ipndm")
    tiny_model().half().save_pretrained(tmp_path / "half", variant="fp16")
    of_any_size(tiny_model()).save_pretrained(tmp_path / "free")
    model = ["--model", str(tmp_path / "model"), "--scheduler", str(tmp_path / "ddpm")]
    half = ["--model", str(tmp_path / "half")]
    capfd.readouterr()
    for arguments, message in (
        ([*model, "--variant", "fp16"], "its weights were saved without a variant: leave variant (--variant) out"),
        ([*half, *model[2:]], "its weights were saved as variant 'fp16': choose with variant= (--variant)"),
        ([*model, "--device", "foo"], "cannot use the device 'foo'"),
        ([*model[:3], str(tmp_path / "free")], "free holds a UNet2DModel, which is no scheduler of diffusers: give"),
        (["--model", str(tmp_path / "ddpm"), *model[2:]], "a DDPMScheduler is no network: pass a pipeline or a model"),
        ([*model[:3], str(tmp_path / "ipndm"), "--prediction-type", "sample"], "no table of noise levels"),
        (model[:2], "pass its scheduler too (--scheduler)"),
        ([*model, "--prediction-type", "score"], "choose one of epsilon, v_prediction, sample, flow_prediction with"),
        ([*model, "--max-memory", "1e-6"], "GiB of tensors, more than max_memory = 1e-06 GiB: give more, or a smaller"),
        ([*model, "--max-memory", "0"], "max_memory must be a positive number of GiB, got 0.0"),
        ([*model, "--shape", "3", "8", "8"], "cannot be run on latents of shape (1, 3, 8, 8)"),
        ([*model, "--shape", "2", "9", "8"], "cannot be run on latents of shape (1, 2, 9, 8)"),
        ([*model, "--shape", "2", "0", "8"], "tuple of positive whole numbers, got (2, 0, 8)"),
        (["--model", str(tmp_path / "free"), *model[2:]], "does not say its latents' shape: pass shape="),
    ):
        assert main(["learn", *arguments, "--no-progress", "-o", str(tmp_path / "s.json")]) == 2
        error = capfd.readouterr().err
        assert message in error
        assert error.count("\n") == 1


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.01), (0.3, 0.6)])
def test_model_that_is_not_finite(low: float, high: float, tmp_path: Path) -> None:
    """The message names the level, at the ends of the range or between."""

    def broken(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        return np.where((low < sigma[:, None]) & (sigma[:, None] < high), np.nan, x / (1 + sigma[:, None] ** 2))

    task = FunctionDenoiser(broken, (2,), data_std=1.0)
    learner = Learner(task, "broken", 5, "euler", Budget(evaluations=1e6), tmp_path / "s.json", progress=False)
    with pytest.raises(ValueError, match=r"not finite at sigma = 0\.\d+: check its noise range") as found:
        learner.run()
    level = float(str(found.value).partition("sigma = ")[2].partition(":")[0])
    assert low < level < high


def test_carried_channels_do_not_dilute_errors(tmp_path: Path) -> None:
    """They dilute neither the comparison of grids nor an agent's environment, which sees the metered denoiser."""
    task = get_task("digits_class")
    learner = Learner(task, "digits_class", 5, "euler", Budget(evaluations=1e6), tmp_path / "s.json", progress=False)
    start = 40 * np.random.default_rng(0).standard_normal((8, *task.shape)).astype(np.float32)
    noises = Noises(start, np.zeros_like(start))
    levels = make_grid("edm", 5, task)
    samples = integrate(task, levels, start, "euler")
    assert learner.trial.error(levels, noises) == pytest.approx(
        endpoint_error(samples[:, :1], 0 * samples[:, :1]).mean()
    )
    assert visible(start, learner.meter).shape[1] == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_learns_for_a_saved_diffusers_model(tmp_path: Path, tiny_model: Any, capfd: pytest.CaptureFixture[str]) -> None:
    import diffusers

    diffusers.DDPMPipeline(tiny_model(), diffusers.DDPMScheduler()).save_pretrained(tmp_path / "pipeline")
    out = tmp_path / "schedule.json"
    arguments = ["learn", "--model", str(tmp_path / "pipeline"), "--steps", "4", "--budget", "30000nfe", "-o", str(out)]
    capfd.readouterr()
    assert main([*arguments, "--dtype", "bfloat16", "--no-progress"]) == 0
    assert Schedule.load(out).num_steps == 4
    assert capfd.readouterr().err == ""  # no messages of diffusers
    assert main(["evaluate", str(out)]) == 2
    assert "'pipeline', a model of your own, which is not a task" in capfd.readouterr().err
