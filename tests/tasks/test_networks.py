"""The shipped networks: training facts in the header, conditions in extra channels, and refused files."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from importlib import resources
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import art_gym  # noqa: F401 registers the ids
from art_gym.agents.cli.main import main
from art_gym.agents.training.networks import held_out_loss, recipes, train_denoiser
from art_gym.denoisers.networks import NetworkConfig, load_network
from art_gym.envs.config import load_config
from art_gym.envs.env import ARTDiffusionEnv
from art_gym.evaluation.heldout import evaluate_plan, evaluate_policy
from art_gym.measures.features import features_of
from art_gym.measures.frechet import frechet_distance
from art_gym.schedules.grids.base import edm_grid
from art_gym.solvers.loop import integrate
from art_gym.tasks.images import photo_patches, split_digits
from art_gym.tasks.network_task import SIGMA_MAX
from art_gym.tasks.registry import get_task
from art_gym.tasks.target import Target

KNOWN_COLUMNS = 4  # the left half of 8


def weights(name: str) -> Path:
    return Path(str(resources.files("art_gym").joinpath(f"data/{name}_net.safetensors")))


@pytest.mark.parametrize(("name", "bar"), [("digits", 0.35), ("photos", 0.13)])
def test_shipped_weights_denoise_held_out_images(name: str, bar: float) -> None:
    """A network that knows nothing has 1. A smoothing filter would have more than 0.5 on digits."""
    network, facts, _ = load_network(weights(name))
    loss = held_out_loss(network, recipes()[name]())
    assert loss < bar
    assert loss == pytest.approx(facts["held_out_loss"], rel=1e-3)
    assert weights(name).stat().st_size < 4e6


def starts(task: str, count: int) -> np.ndarray:
    shape = get_task(task).shape
    return (SIGMA_MAX * np.random.default_rng(0).standard_normal((count, *shape))).astype(np.float32)


def test_samples_look_like_digits() -> None:
    """In the classifier's features samples of EDM's grid are near the data, far nearer than smoothed digits."""
    task = get_task("digits_net")
    samples = integrate(task, edm_grid(25, task), starts("digits_net", 1024), "heun")
    data = task.sample_data(1024, np.random.default_rng(1))
    blurred = (data + np.roll(data, 1, axis=2) + np.roll(data, 1, axis=3)) / 3
    near = frechet_distance(features_of(samples, "digits"), features_of(data, "digits"))
    far = frechet_distance(features_of(blurred, "digits"), features_of(data, "digits"))
    assert near < 0.6 < 1.2 < far


@pytest.mark.parametrize("solver", ["euler", "heun", "dpmpp_2m"])
def test_conditions_ride_along_unchanged(solver: str) -> None:
    task, x = get_task("digits_class?guidance=2"), starts("digits_class", 64)
    samples = integrate(task, edm_grid(8, task), x, solver)
    np.testing.assert_allclose(samples[:, 1:], x[:, 1:], rtol=1e-5)


def test_guidance_makes_samples_of_the_class() -> None:
    """The classifier, which saw no sample, finds the class that the noise carries, and with guidance more often."""
    import torch
    from scipy.stats import norm

    from art_gym.measures.features import load_features

    network, x = load_features("digits"), starts("digits_class", 512)
    carried = norm.cdf(x[:, 1:].reshape(len(x), -1).sum(axis=1) / (SIGMA_MAX * 8))
    label = np.floor(10 * carried).astype(int)
    found = []
    for guidance in (0, 1, 3):
        task = get_task(f"digits_class?guidance={guidance}")
        samples = integrate(task, edm_grid(12, task), x, "heun")[:, :1]
        with torch.no_grad():
            scores = network.classify(network(torch.from_numpy(np.ascontiguousarray(samples))))
        found.append((scores.argmax(dim=1).numpy() == label).mean())
    assert found[0] < 0.25
    assert found[1] > 0.85
    assert found[2] > 0.95
    assert set(label) == set(range(10))


def test_inpainting_keeps_what_is_known() -> None:
    task, x = get_task("digits_inpaint"), starts("digits_inpaint", 64)
    samples = integrate(task, edm_grid(10, task), x, "dpmpp_2m")[:, 0]
    known = split_digits(held_out=True)[0][:, 0, :, :KNOWN_COLUMNS].reshape(-1, 8 * KNOWN_COLUMNS)
    left = samples[:, :, :KNOWN_COLUMNS].reshape(64, -1)
    distance = np.abs(left[:, None] - known).max(axis=2).min(axis=1)
    assert distance.max() < 1e-4


def test_carried_channels_do_not_count() -> None:
    env = gym.make("ARTDiffusion-DigitsClass-v0", population=4).unwrapped
    observation, _ = env.reset(seed=0)
    names = dict(zip(env.observation_names, observation, strict=True))
    assert names["relative_rms"] == pytest.approx(1, abs=0.15)
    assert evaluate_plan(
        Target.of("digits_class?guidance=2", "euler"), edm_grid(5, get_task("digits_class")), 64
    ).sliced


def test_an_episode_has_one_class() -> None:
    """Another episode has another class. Over many episodes all classes are equally likely, for any population."""
    task = get_task("digits_class?guidance=2")
    env = gym.make_vec("ARTDiffusion-DigitsClass-v0", num_envs=400, population=8, num_steps=1).unwrapped
    env.reset(seed=0)
    classes = task.condition(env._state.x.reshape(-1, *task.shape)).reshape(400, 8)
    assert (classes == classes[:, :1]).all()
    assert np.bincount(classes[:, 0], minlength=10).min() > 20  # 40 are expected
    assert len(np.unique(env._state.noise[classes[:, 0] == 3])) > 20  # with various noises
    alone = gym.make("ARTDiffusion-DigitsClass-v0", population=8, num_steps=1).unwrapped
    alone.reset(seed=0)
    np.testing.assert_array_equal(alone.state.noise[0], env._state.noise[0])


def test_a_policy_is_evaluated_on_one_class_at_a_time() -> None:
    """On the same noises as a fixed grid, and all of them."""
    seen: list[np.ndarray] = []
    config = load_config("digits_class", population=16, num_steps=2, observation=("time",), raw_latents=True)

    def policy(observed: dict[str, np.ndarray]) -> np.ndarray:
        seen.append(observed["latents"])
        return np.zeros((len(observed["features"]), 1), np.float32)

    found = evaluate_policy(policy, config, 2, 160, distances=False)
    task = get_task(config.task)
    noises = seen[0] * SIGMA_MAX  # x/√(σ² + s²) at σ_max
    classes = task.condition(noises.reshape(-1, *task.shape).astype(np.float32)).reshape(10, 16)
    assert (np.ptp(classes, axis=1) > 0).sum() < 10  # where one class ends and the next begins
    assert np.ptp(classes, axis=1).max() <= 2
    same = evaluate_plan(Target.of(config.task, config.solver), found.levels, 160, distances=False)
    assert found.error == pytest.approx(same.error, rel=1e-4)


def test_noises_of_an_episode_are_different_ones() -> None:
    """This holds as long as a class has that many noises. Beyond that all of them take turns."""
    for noises, most in ((256, 16), (32, 8)):
        env = gym.make("ARTDiffusion-DigitsClass-v0", population=16, num_steps=1, noises=noises).unwrapped
        env.reset(seed=0)
        distinct, counts = np.unique(env.state.noise, return_counts=True)
        assert len(distinct) == 16 if most == 16 else 1 <= len(distinct) <= most
        assert np.ptp(counts[distinct != env.state.noise[0, 0]]) <= 1


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x: np.zeros((len(x), 1), int),
        lambda x: np.zeros(len(x)),
        lambda x: np.zeros(3, int),
        lambda x: 0,
        lambda x: np.full(len(x), np.nan),
    ],
)
def test_conditions_that_are_none_are_refused(wrong: Callable[[np.ndarray], object]) -> None:
    task = copy(get_task("mixture_1d"))
    task.condition = wrong
    env = ARTDiffusionEnv(task=task, population=4)
    with pytest.raises(ValueError, match=r"condition must give a whole number for each noise, an array of shape \(\d"):
        env.reset(seed=0)


def test_task_options() -> None:
    assert get_task("digits_class?guidance=4") is not get_task("digits_class?guidance=2")
    with pytest.raises(ValueError, match=r"cannot make the task 'digits_class\?strength=4'"):
        get_task("digits_class?strength=4")
    with pytest.raises(ValueError, match="expected name=value after the question mark, got 'guidance'"):
        get_task("digits_net?guidance")
    for value in ("nan", "inf"):
        with pytest.raises(ValueError, match=f"guidance must be a finite number, got {value}"):
            get_task(f"digits_class?guidance={value}")
    with pytest.raises(ValueError, match=r"this is for 'ddpm', a model of your own.*--task digits"):
        get_task("model:ddpm")


@pytest.mark.slow
def test_training_is_repeatable_and_resumes(tmp_path: Path) -> None:
    whole = train_denoiser("digits", tmp_path / "a.safetensors", 0, False, False, updates=40)
    train_denoiser("digits", tmp_path / "b.safetensors", 0, False, False, updates=40)
    assert load_network(tmp_path / "a.safetensors")[0].state_dict().keys()
    again = load_network(tmp_path / "b.safetensors")[1]
    assert whole["held_out_loss"] == again["held_out_loss"]
    assert list((tmp_path / "a_training").rglob("events*"))
    # a resumed run of 60 only needs the checkpoint of update 40
    resumed = train_denoiser("digits", tmp_path / "a.safetensors", 0, True, False, updates=60)
    assert resumed["held_out_loss"] < whole["held_out_loss"]
    assert resumed["updates"] == 60
    with pytest.raises(ValueError, match=r"cannot resume from .*, whose seed is 0, with seed 1: delete it"):
        train_denoiser("digits", tmp_path / "a.safetensors", 1, True, False, updates=60)
    (tmp_path / "a_training" / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match="cannot resume from"):
        train_denoiser("digits", tmp_path / "a.safetensors", 0, True, False, updates=60)
    with pytest.raises(ValueError, match="unknown network 'faces': choose one of digits, mnist, photos"):
        train_denoiser("faces", tmp_path / "c.safetensors", 0, False, False)


@pytest.mark.parametrize("kind", ["denoiser", "classifier"])
@pytest.mark.parametrize("updates", [0, -1])
def test_too_few_updates_are_refused(
    kind: str, updates: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train-denoiser", "digits", "--kind", kind, "--updates", str(updates), "--no-progress"]
    assert main([*arguments, "--out", str(tmp_path / "a.safetensors")]) == 2
    assert f"at least one update, got updates={updates}" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_weights_are_not_replaced_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.safetensors"
    file.write_bytes(b"trained for hours")
    arguments = ["train-denoiser", "digits", "--updates", "1", "--no-progress", "--out", str(file)]
    for kind in ("denoiser", "classifier"):
        assert main([*arguments, "--kind", kind]) == 2
        assert f"{file} exists already" in capsys.readouterr().err
    assert main([*arguments, "--kind", "classifier", "--resume"]) == 2
    assert "a classifier is trained in a minute and has no checkpoints" in capsys.readouterr().err
    assert file.read_bytes() == b"trained for hours"


def test_damaged_weights_are_one_line_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no weight file"):
        load_network(tmp_path / "none.safetensors")
    truncated = tmp_path / "truncated.safetensors"
    truncated.write_bytes(weights("digits").read_bytes()[:5000])
    with pytest.raises(ValueError, match="not a complete safetensors file"):
        load_network(truncated)
    pickled = tmp_path / "pickle.safetensors"
    pickled.write_bytes(b"\x80\x04}q\x00.")
    with pytest.raises(ValueError, match="not a complete safetensors file"):
        load_network(pickled)
    import torch
    from safetensors.torch import save_file

    save_file({"w": torch.ones(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="some other model"):
        load_network(tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="unknown network 'vit'"):
        NetworkConfig("vit", (1, 8, 8), 1, 1)
    with pytest.raises(ValueError, match=r"images of shape \(1, 8, 8\), got \(3, 16, 16\)"):
        features_of(photo_patches(2, np.random.default_rng(0)), "digits")
