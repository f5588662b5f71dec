"""Frames: their shape, their content, and the window."""

import itertools
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest

from art_gym.envs.env import ARTDiffusionEnv
from art_gym.envs.rendering import limits, mosaic
from art_gym.evaluation.heldout import evaluate_plan
from art_gym.tasks.target import Target


def frames(env_id: str, **overrides: object) -> list[np.ndarray]:
    env = gym.make(env_id, render_mode="rgb_array", num_steps=3, **overrides)
    env.reset(seed=1)
    drawn, ended = [env.render()], False
    while not ended:
        _, _, ended, _, _ = env.step(np.zeros(1, np.float32))
        drawn.append(env.render())
    env.close()
    return drawn


@pytest.mark.parametrize("population", [1, 3, 64])
@pytest.mark.parametrize("task", ["Digits", "Mixture1D", "Ring2D"])
def test_frames_are_pictures_that_change(task: str, population: int) -> None:
    drawn = frames(f"ARTDiffusion-{task}-v0", population=population)
    left = [frame[60:, :440] for frame in drawn[:-1]]  # the samples. The step to 0 lands on the estimates before it
    right = [frame[60:, 460:] for frame in drawn]
    assert all(frame.shape == (400, 900, 3) and frame.dtype == np.uint8 for frame in drawn)
    for part in (left, right):
        assert all((a != b).any() for a, b in itertools.pairwise(part))


def test_a_frame_depends_on_the_state_alone() -> None:
    env = gym.make("ARTDiffusion-Ring2D-v0", render_mode="rgb_array", num_steps=3)
    env.reset(seed=1)
    first = env.render()
    env.step(np.ones(1, np.float32))
    kept = first.copy()
    env.render()
    np.testing.assert_array_equal(first, kept)  # a later frame does not overwrite it
    env.reset(seed=1)
    np.testing.assert_array_equal(env.render(), kept)


def test_budgets_that_change_between_episodes() -> None:
    env = gym.make("ARTDiffusion-Ring2D-v0", render_mode="rgb_array", num_steps=(1, 6))
    drawn = []
    for budget in (1, 6):
        env.reset(options={"num_steps": budget})
        drawn.append(env.render())
    assert (drawn[0] != drawn[1]).any()


@pytest.mark.parametrize("shape", [(1,), (2,), (5,), (4, 8, 8), (6, 6)])
def test_denoisers_without_data(shape: tuple[int, ...]) -> None:
    from art_gym import FunctionDenoiser

    def gaussian(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        return x * (0.25 / (0.25 + sigma**2)).reshape(-1, *[1] * len(shape))

    denoiser = FunctionDenoiser(gaussian, shape)
    object.__setattr__(denoiser, "sample_data", None)  # counts as missing, in evaluations too
    assert evaluate_plan(Target.of(denoiser, "euler"), np.array([80.0, 1.0, 0.0]), 4).sliced is None
    env = ARTDiffusionEnv(task=denoiser, render_mode="rgb_array", num_steps=2, population=20, noises=256)
    env.reset(seed=0)
    assert np.ptp(env.render()[60:, :440]) > 0


def test_mosaic_places_images_in_order() -> None:
    images = np.arange(5, dtype=np.float32)[:, None, None, None] * np.ones((1, 4, 4))
    board = mosaic(images, low=0.0, high=8.0)
    assert board.shape == (9, 14, 3)  # 2 rows and 3 columns of 4 × 4, one line between
    np.testing.assert_allclose(board[[0, 0, 0, 5, 5], [0, 5, 10, 0, 5], 0], np.arange(5) / 8)
    assert (board[4] == 1).all()
    assert (board[5:, 10:] == 1).all()


def test_mosaic_of_large_images_shows_few_with_wider_gaps() -> None:
    board = mosaic(np.zeros((9, 1, 96, 80), np.float32), low=0.0, high=1.0)
    assert board.shape == (96 + 5 + 96, 80 + 5 + 80, 3)
    assert (board[:, 80:85] == 1).all()
    assert (board[96:101] == 1).all()
    assert (board[:96, :80] == 0).all()


def test_mosaic_shows_three_channels_as_colours() -> None:
    images = np.stack([np.full((4, 4), value) for value in (0.0, 0.5, 1.0)])[None]
    np.testing.assert_allclose(mosaic(images, 0.0, 1.0)[0, 0], [0, 0.5, 1])


def test_limits_hold_the_data() -> None:
    data = np.random.default_rng(0).normal(3, 1, (4000, 1))
    low, high = limits(data, 1.0)
    assert low < np.quantile(data, 0.01)
    assert high > np.quantile(data, 0.99)
    assert limits(None, 2.0) == (-6.0, 6.0)


HUMAN = """
import warnings; warnings.simplefilter("error")
import gymnasium as gym
env = gym.make("art_gym:ARTDiffusion-Gaussian1D-v0", render_mode="human", num_steps=2)
env.reset(seed=0); env.step(env.action_space.sample()); env.close()
print("drawn")
"""


@pytest.mark.parametrize(("backend", "expected"), [(None, "render_mode='rgb_array'"), ("Agg", "drawn")])
def test_a_window_without_a_display(backend: str | None, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND"):
        monkeypatch.delenv(name, raising=False)
    if backend is not None:
        monkeypatch.setenv("MPLBACKEND", backend)
    elif sys.platform != "linux":
        pytest.skip("only Linux runs without a display")
    ended = subprocess.run([sys.executable, "-c", HUMAN], capture_output=True, text=True, timeout=60, check=False)
    assert expected in ended.stdout + ended.stderr
    assert ended.returncode == 0  # Gymnasium's checker tries this mode too
    assert ("nothing is shown" in ended.stderr) == (backend is None)
