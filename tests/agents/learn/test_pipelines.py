"""`art-gym learn` on folders of whole pipelines, and its files plugged into the user's pipeline."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from art_gym.agents.cli.main import main
from art_gym.agents.learn import cost, learner, noises, report
from art_gym.agents.learn.budget import Budget, Metered
from art_gym.agents.learn.guidance import guidance_lines
from art_gym.agents.learn.trial import Noises, Trial, own_path
from art_gym.denoisers import from_pipeline
from art_gym.denoisers.base import visible
from art_gym.export import ARTScheduler
from art_gym.measures.errors import endpoint_error
from art_gym.samplers.methods import dpmpp_3m
from art_gym.samplers.plans import load
from art_gym.samplers.sampler import Sampler
from art_gym.samplers.traced import traced
from art_gym.schedules import closed_forms
from art_gym.schedules.fine import reference_grid
from art_gym.solvers.base import get_solver
from art_gym.tasks.registry import get_task
from helpers.pipelines import ARGUMENTS, KINDS, diffusers, tiny

pytestmark = pytest.mark.filterwarnings("ignore")
FOLDERS = [kind for kind in KINDS if kind != "wan"]  # its folders load with accelerate only
STEPS, CHUNK = 3, 8
CHUNK_EVALUATIONS = 32 * get_solver("rk4").evaluations(48)
FLAGS = ("negative_prompt", "guidance_scale", "height", "width", "num_frames", "class_labels")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Few noises, rough endpoints and closed forms. Returns a list that gets the proof of each report."""
    proofs: list[Any] = []
    write = report.write_report
    for module in (noises, cost):
        monkeypatch.setattr(module, "CHUNK", CHUNK)
    monkeypatch.setattr(noises, "KEPT_FROM", np.inf)  # endpoints from disk would leave budget for more, by the clock
    monkeypatch.setattr(closed_forms, "ART_NODES", 12)
    monkeypatch.setattr(Trial.solve, "__defaults__", (6,))
    monkeypatch.setattr(report, "MORE_STEPS", (1.0, 2.0))
    monkeypatch.setattr(report, "REFERENCE_STEPS", 4)

    def writes(*arguments: Any) -> str:
        proofs.append(arguments[4])
        return write(*arguments)

    monkeypatch.setattr(learner, "write_report", writes)
    return proofs


def options(kind: str, folder: Path) -> list[str]:
    """The arguments of a kind on the command line, in flags where there are some and else in a YAML file."""
    said, others = ["--model", str(folder / "model")], {}
    for name, value in ARGUMENTS[kind].items():
        if name == "prompt":
            (folder / "prompts.txt").write_text("\n".join(value) + "\n\n")
            said += ["--prompts", str(folder / "prompts.txt")]
        elif name in FLAGS:
            values = value if isinstance(value, list) else [value]
            said += [f"--{name.replace('_', '-')}", *map(str, values)]
        elif isinstance(value, torch.Tensor):
            picture = (255 * value[0].numpy()).round().astype(np.uint8)
            picture = picture[0] if len(picture) == 1 else picture.transpose(1, 2, 0)
            Image.fromarray(picture).save(folder / f"{name}.png")
            others[name] = f"{name}.png"
        else:
            others[name] = value
    if others:
        (folder / "args.yaml").write_text(yaml.safe_dump(others))
        said += ["--pipeline-args", str(folder / "args.yaml")]
    return said


def sampled(
    kind: str, pipe: Any, index: list[int], noise: torch.Tensor, monkeypatch: pytest.MonkeyPatch, steps: int = STEPS
) -> Any:
    """What a user's pipeline gives for latents of variance 1, and for those that its scheduler does not scale."""
    arguments = dict(ARGUMENTS[kind])
    for name in ("prompt", "class_labels"):
        if name in arguments:
            arguments[name] = [arguments[name][i] for i in index]
    if "negative_prompt" in arguments:
        arguments["negative_prompt"] = [arguments["negative_prompt"]] * len(index)
    for name, picture in arguments.items():
        if isinstance(picture, torch.Tensor):  # as in its file
            arguments[name] = (255 * picture).round() / 255
    if "strength" in arguments:
        arguments["strength"] = 1.0
    if kind in ("ddpm", "ddim", "dit", "img2img", "flow_img2img"):  # these draw their own
        drawn = noise if kind.endswith("img2img") else noise * float(pipe.scheduler.init_noise_sigma)
        monkeypatch.setattr(sys.modules[type(pipe).__module__], "randn_tensor", lambda *_, **__: drawn)
    else:
        arguments["latents"] = noise
    if kind.startswith("dd"):
        arguments["batch_size"] = len(index)
    last: list[torch.Tensor] = []
    step: Callable[..., Any] = pipe.scheduler.step

    def noted(*given: Any, **others: Any) -> Any:
        found = step(*given, **others)
        last.append(found[0])
        return found

    monkeypatch.setattr(pipe.scheduler, "step", noted)
    pipe(**arguments, num_inference_steps=steps, generator=torch.Generator().manual_seed(0))
    return last[-1][: len(index)]


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
