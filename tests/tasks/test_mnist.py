"""MNIST: the data, the classifier, and the tasks on the shipped network."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
from scipy.stats import norm

import art_gym  # noqa: F401 registers the ids
from art_gym.agents.training.classifiers import classifiers, train_classifier
from art_gym.agents.training.networks import held_out_loss, recipes
from art_gym.denoisers.networks import load_network
from art_gym.measures.features import load_features
from art_gym.measures.frechet import frechet_distance
from art_gym.schedules.grids.base import edm_grid
from art_gym.solvers.loop import integrate
from art_gym.tasks.images import mnist_images, split_mnist
from art_gym.tasks.registry import get_task

WEIGHTS = Path(str(resources.files("art_gym").joinpath("data/mnist_net.safetensors")))


def starts(task: str, count: int) -> np.ndarray:
    denoiser = get_task(task)
    noise = np.random.default_rng(0).standard_normal((count, *denoiser.shape))
    return (denoiser.sigma_max * noise).astype(np.float32)


def classified(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The classes of (N, 1, 28, 28) images, and how sure the classifier is of each."""
    network = load_features("mnist")
    with torch.no_grad():
        found = network.classify(network(torch.from_numpy(np.ascontiguousarray(images)))).softmax(dim=1).max(dim=1)
    return found.indices.numpy(), found.values.numpy()


def test_the_data() -> None:
    images, labels = mnist_images()
    assert images.shape == (10_000, 1, 28, 28)
    assert abs(images.mean()) < 1e-4
    assert abs(images.std() - 0.5) < 1e-4
    assert np.bincount(labels).min() > 800
    ours, theirs = (split_mnist(held_out)[0].reshape(-1, 784) for held_out in (False, True))
    assert (len(ours), len(theirs)) == (9000, 1000)


def test_the_classifier_knows_held_out_digits() -> None:
    images, labels = split_mnist(held_out=True)
    assert (classified(images)[0] == labels).mean() >= 0.985


def test_the_classifier_learns_from_shifted_digits(tmp_path: Path) -> None:
    facts = train_classifier("mnist", tmp_path / "a.safetensors", 0, updates=30)
    assert facts["held_out_accuracy"] > 0.5  # 0.1 by chance
    images, _ = classifiers()["mnist"]().draw(64, np.random.default_rng(0))
    assert images.shape == (64, 1, 28, 28)
    assert not set(map(bytes, images)) <= set(map(bytes, split_mnist(held_out=False)[0]))


def test_the_network_denoises_held_out_digits() -> None:
    """A network that knows nothing has 1."""
    network, facts, _ = load_network(WEIGHTS)
    loss = held_out_loss(network, recipes()["mnist"]())
    assert loss < 0.2
    assert abs(loss - facts["held_out_loss"]) < 1e-3 * loss
    assert WEIGHTS.stat().st_size < 5e6


def test_samples_are_digits() -> None:
    """The classifier is sure of most samples, and their features are nearer to those of data than smoothed digits'."""
    task = get_task("mnist")
    samples = integrate(task, edm_grid(12, task), starts("mnist", 128), "dpmpp_2m")
    _, sure = classified(samples)
    assert (sure > 0.9).mean() > 0.5  # 0.97 of held-out digits, and 0.65 of these
    data = task.sample_data(2000, np.random.default_rng(1))
    blurred = (data[:128] + np.roll(data[:128], 2, axis=2) + np.roll(data[:128], 2, axis=3)) / 3
    near, far = (frechet_distance(task.features(each), task.features(data)) for each in (samples, blurred))
    assert near < far


def test_guidance_makes_samples_of_the_class() -> None:
    task, x = get_task("mnist_class"), starts("mnist_class", 64)
    samples = integrate(task, edm_grid(10, task), x, "dpmpp_2m")
    np.testing.assert_allclose(samples[:, 1:], x[:, 1:], rtol=1e-4)
    label = np.floor(10 * norm.cdf(x[:, 1:].reshape(64, -1).sum(axis=1) / (task.sigma_max * 28))).astype(int)
    np.testing.assert_array_equal(task.condition(x), label)
    assert (classified(samples[:, :1])[0] == label).mean() > 0.9


def test_inpainting_keeps_the_left_half() -> None:
    task, x = get_task("mnist_inpaint"), starts("mnist_inpaint", 16)
    samples = integrate(task, edm_grid(10, task), x, "dpmpp_2m")[:, 0]
    known = split_mnist(held_out=True)[0][:, 0, :, :14].reshape(-1, 392)
    left = samples[:, :, :14].reshape(16, -1)
    assert np.abs(left[:, None] - known).max(axis=2).min(axis=1).max() < 1e-3
    assert samples[:, :, 14:].max(axis=(1, 2)).min() > 0.3  # ink on the right


def test_an_episode_has_one_class() -> None:
    task = get_task("mnist_class?guidance=2")
    env = gym.make("ARTDiffusion-MNISTClass-v0").unwrapped
    env.reset(seed=0)
    assert len(set(task.condition(env.state.x.reshape(-1, *task.shape)))) == 1
