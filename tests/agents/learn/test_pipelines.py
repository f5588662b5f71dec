"""`art-gym learn` on folders of whole pipelines, and its files plugged into the user's pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from art_gym.agents.cli.main import main
from art_gym.agents.learn import noises
from art_gym.agents.learn.budget import Budget, Metered
from art_gym.agents.learn.guidance import guidance_lines
from art_gym.agents.learn.trial import Noises, Trial
from art_gym.denoisers import from_pipeline
from art_gym.denoisers.base import visible
from art_gym.export import ARTScheduler
from art_gym.samplers.plans import load
from art_gym.solvers.base import get_solver
from art_gym.tasks.registry import get_task
from helpers.commands import STEPS, options, sampled
from helpers.pipelines import KINDS, diffusers, tiny

pytestmark = pytest.mark.filterwarnings("ignore")
FOLDERS = [kind for kind in KINDS if kind != "wan"]  # its folders load with accelerate only
CHUNK_EVALUATIONS = 32 * get_solver("rk4").evaluations(48)


@pytest.mark.parametrize("kind", FOLDERS)
def test_from_a_folder_to_the_samples_that_were_measured(
    kind: str, tmp_path: Path, quick: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    tiny(kind).save_pretrained(tmp_path / "model")
    out, said = tmp_path / "s.json", options(kind, tmp_path)
    assert main(["learn", *said, "--steps", str(STEPS), "--budget", "900nfe", "-o", str(out), "--no-progress"]) == 0
    text, proof = capsys.readouterr().out, quick[0]
    found = load(out)
    assert found.heldout_error == pytest.approx(proof.error)
    model, start = proof.trial.model, proof.noises.start[:2]
    driven = any(name in said for name in ("--prompts", "--class-labels"))
    assert ("Plugged into the pipeline by ARTScheduler it gives the samples" in text) == driven
    assert ("Nothing was fitted or selected on these 1, but on 1" in text) == driven
    assert "| own schedule (" in text
    guided = proof.trial.model.loop.guidance() if driven else None
    assert ("on which nothing was fitted, the mean errors of" in text) == ((guided or 0) > 1)
    assert ("| Align Your Steps |" in text) == (kind in ("sd1", "sdxl", "inpaint", "controlnet"))

    pipe = diffusers.DiffusionPipeline.from_pretrained(tmp_path / "model")
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = ARTScheduler.from_sampler(found, pipe.scheduler)
    index = model.condition(start).tolist() if driven else [0] * len(start)
    noise = torch.from_numpy(visible(start, model) / np.float32(model.sigma_max))
    samples = sampled(kind, pipe, index, noise, monkeypatch)
    expected = visible(proof.samples["learned"][:2], model) + np.asarray(getattr(model, "image", 0.0))
    assert np.abs(samples.numpy() - expected).max() <= 2e-5 * np.abs(expected).max()


@pytest.mark.slow
def test_two_processes_measure_what_one_does(
    tmp_path: Path, quick: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """With prompts, an image, and another guidance, which only this process knows."""
    tiny("img2img").save_pretrained(tmp_path / "model")
    command = ["learn", *options("img2img", tmp_path), "--steps", str(STEPS), "--budget", "600nfe", "--no-progress"]
    said = []
    for name, more in (("one", []), ("two", ["--jobs", "2", "--devices", "cpu", "cpu", "--max-memory", "1"])):
        monkeypatch.setenv("ART_GYM_CACHE", str(tmp_path / f"{name}_cache"))  # endpoints found there cost nothing
        assert main([*command, *more, "-o", str(tmp_path / f"{name}.json")]) == 0
        lines = capsys.readouterr().out.splitlines()
        said.append([line for line in lines if line.startswith("noises are: ")])  # the errors at another guidance
    one, two = quick
    assert one.errors.keys() == two.errors.keys()
    for name, errors in one.errors.items():
        np.testing.assert_allclose(errors, two.errors[name], rtol=1e-3, atol=1e-5)
    assert said[0] == said[1] != []


def test_some_prompts_are_held_out() -> None:
    model = from_pipeline(tiny("sd1"), prompt=[f"a {letter}" for letter in "bcdefghi"], guidance_scale=1.0)
    draws = noises.Draws.of(model, seed=3)
    assert sorted([*draws.fitted, *draws.heldout]) == list(range(8))
    assert len(draws.heldout) == 2
    index = model.condition(draws.draw(20, np.random.default_rng(0), heldout=6))
    assert set(index[:14]) == set(draws.fitted)
    assert sorted(index[14:]) == sorted(np.repeat(draws.heldout, 3))


def test_precise_endpoints_outlive_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are found again by their content, and the budget pays for more of them."""
    monkeypatch.setenv("ART_GYM_CACHE", str(tmp_path))
    monkeypatch.setattr(noises, "KEPT_FROM", -1.0)
    task = get_task("digits_net")

    def solved(seed: int) -> tuple[Any, int]:
        meter = Metered(task, Budget(evaluations=25_000))
        meter(np.ones((8, 1, 8, 8), np.float32), np.ones(8, np.float32))
        trial = Trial(task, meter, get_solver("euler"))
        draws, until = noises.Draws.of(task, seed), meter.share + noises.REFERENCE_SHARE
        return noises.solved(trial, draws, seed, until, lambda: None), meter.evaluations

    first, cost = solved(0)
    again, later = solved(0)
    assert cost == later == 8 + CHUNK_EVALUATIONS
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.endpoints, other.endpoints[: len(one.endpoints)])
        assert len(other.endpoints) == 2 * len(one.endpoints)
    for file in (tmp_path / "learn").iterdir():
        file.write_bytes(b"damaged")
    (damaged, *_), _ = solved(0)
    np.testing.assert_array_equal(damaged.endpoints, first[0].endpoints)


def test_bad_arguments_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    tiny("sd1").save_pretrained(tmp_path / "model")
    tiny("sd1").unet.save_pretrained(tmp_path / "unet")
    for name, text in (
        ("prompts.txt", "a fox"),
        ("empty.txt", "\n"),
        ("list.yaml", "[1]"),
        ("broken.yaml", "a: ["),
        ("image.yaml", "image: none.png"),
        ("twice.yaml", "height: 8"),
        ("unknown.yaml", "colour: red"),
    ):
        (tmp_path / name).write_text(text)
    prompts = ["--prompts", str(tmp_path / "prompts.txt")]
    for model, arguments, message in (
        ("model", ["--prompts", str(tmp_path / "none.txt")], "cannot read the prompts of"),
        ("model", ["--prompts", str(tmp_path / "empty.txt")], "holds no prompt: write one a line"),
        ("model", ["--pipeline-args", str(tmp_path / "list.yaml")], "must hold arguments of the pipeline"),
        ("model", ["--pipeline-args", str(tmp_path / "broken.yaml")], "cannot read"),
        ("model", ["--pipeline-args", str(tmp_path / "image.yaml")], "cannot read the image none.png"),
        (
            "model",
            ["--pipeline-args", str(tmp_path / "twice.yaml"), "--height", "8"],
            "gives height, and so does",
        ),
        (
            "model",
            [*prompts, "--pipeline-args", str(tmp_path / "unknown.yaml")],
            "takes no 'colour': choose among",
        ),
        ("model", [*prompts, "--num-frames", "9"], "StableDiffusionPipeline takes no 'num_frames'"),
        ("model", [*prompts, "--rounding"], "leave out --rounding"),
        ("model", [], "a pipeline with conditions needs --prompts, --class-labels or --pipeline-args"),
        ("unet", prompts, "holds a UNet2DConditionModel, but arguments such as --prompts are a pipeline's"),
    ):
        said = ["learn", "--model", str(tmp_path / model), *arguments, "-o", str(tmp_path / "s.json"), "--no-progress"]
        assert main(said) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("art-gym: ")
        assert message in error
    assert main(["learn", "--task", "digits", *prompts, "-o", str(tmp_path / "s.json")]) == 2
    assert "leave out --prompts: such options need --model" in capsys.readouterr().err


def test_another_guidance_has_endpoints_of_its_own(tmp_path: Path) -> None:
    """As those of a pipeline that was made with it. Afterwards the guidance is what it was."""
    arguments = {"prompt": ["red", "sea"], "height": 8, "width": 8}
    model, other = (from_pipeline(tiny("sd1"), **arguments, guidance_scale=scale) for scale in (2.0, 3.0))
    start = noises.Draws.of(model, 0).draw(3, np.random.default_rng(0))
    levels = model.own_levels(3)["PNDM"]
    trial, expected = (Trial(each, Metered(each, Budget()), get_solver("euler")) for each in (model, other))
    again = Noises(start, expected.solve(start, 6))
    (said, _, _) = guidance_lines(trial, Noises(start, start), {"mine": levels}, ("mine",))
    assert "With guidance 3 instead of 2" in said
    with model.loop.guided(3.0):
        np.testing.assert_allclose(trial.solve(start, 6), again.endpoints, rtol=1e-5, atol=1e-5)
    assert model.loop.guidance() == 2.0
    assert np.abs(trial.solve(start, 6) - again.endpoints).max() > 1e-3


def test_metrics_of_ones_own(
    tmp_path: Path, quick: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "scoring.py").write_text(
        "def redness(images, prompts):\n"
        "    assert images.shape[1:] == (3, 8, 8) and set(prompts) <= {'red', 'sea'}\n"
        "    return images[:, 0].mean(axis=(1, 2)) + (100 if 'red' in prompts else 200)\n"
        "def few(images, prompts):\n"
        "    return [1.0]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    tiny("sd1").save_pretrained(tmp_path / "model")
    said = ["learn", *options("sd1", tmp_path), "--steps", str(STEPS), "--budget", "500nfe", "--no-progress"]
    assert main([*said, "--metric", "scoring:redness", "-o", str(tmp_path / "s.json")]) == 0
    text = capsys.readouterr().out
    assert "| schedule | error ± 95 % | image error ± 95 % | redness ± 95 % | learned is better on |" in text
    proof = quick[0]
    hundreds = 100 if proof.trial.model.condition(proof.noises.start)[0] == 0 else 200
    images = proof.trial.model.decode(visible(proof.noises.endpoints, proof.trial.model))
    expected = images[:, 0].mean(axis=(1, 2)).mean() + hundreds
    said_precise = float(text.partition("The precise endpoints have redness ")[2].split()[0])
    assert said_precise == pytest.approx(expected, abs=1e-3)
    for metric, message in (
        ("scoring:few", "the metric few must give 2 finite scores, one for each image, got shape (1,)"),
        ("scoring:none", "cannot find the metric scoring:none"),
        ("scoring", "a metric is module:function, a function of images and prompts, or lpips, got 'scoring'"),
    ):
        assert main([*said, "--metric", metric, "-o", str(tmp_path / f"{metric.replace(':', '_')}.json")]) == 2
        assert message in capsys.readouterr().err.splitlines()[-1]
