"""The tasks: named denoisers, built in or registered by a user."""

from __future__ import annotations

import difflib
from collections.abc import Callable

import numpy as np

from art_gym.denoisers.base import Denoiser, check_denoiser
from art_gym.denoisers.dataset import ExactDataset
from art_gym.denoisers.mixture import GaussianMixture
from art_gym.images import digit_images


def gaussian_1d() -> Denoiser:
    """N(0, 1): the flow, the optimal grid and every distance are known in closed form."""
    return GaussianMixture(np.zeros((1, 1)), 1.0)


def mixture_1d() -> Denoiser:
    """Four unequal modes on the line."""
    return GaussianMixture(
        means=np.array([[-2.0], [-0.5], [0.8], [2.2]]),
        stds=np.array([0.3, 0.1, 0.2, 0.4]),
        weights=np.array([0.2, 0.35, 0.3, 0.15]),
    )


def ring_2d() -> Denoiser:
    """Eight Gaussians of deviation 0.15 on a circle of radius 2."""
    angle = np.arange(8) * np.pi / 4
    return GaussianMixture(2 * np.stack([np.cos(angle), np.sin(angle)], axis=1), 0.15)


def checkerboard_2d() -> Denoiser:
    """The dark squares of a 4 × 4 board of side 4, each filled by 4 × 4 narrow Gaussians."""
    corner = np.stack(np.meshgrid(np.arange(4), np.arange(4), indexing="ij"), axis=-1).reshape(-1, 2)
    dark = corner[corner.sum(axis=1) % 2 == 0]  # (8, 2)
    inside = (np.stack(np.meshgrid(np.arange(4), np.arange(4)), axis=-1).reshape(-1, 2) + 0.5) / 4  # (16, 2)
    return GaussianMixture((dark[:, None] + inside).reshape(-1, 2) - 2, 0.1)


def digits() -> Denoiser:
    """A narrow Gaussian, s₀ = 0.1, around each of 1797 real 8×8 images: an exact denoiser in 64 dimensions."""
    return ExactDataset(digit_images()[0], width=0.1, features=_digit_features)


def _digit_features(images: np.ndarray) -> np.ndarray:
    from art_gym.features import features_of  # torch

    return features_of(images, "digits")


def _network(name: str) -> Callable[..., Denoiser]:
    def factory(**options: float) -> Denoiser:
        from art_gym import network_tasks  # torch

        return getattr(network_tasks, name)(**options)

    return factory


_FACTORIES: dict[str, Callable[..., Denoiser]] = {
    factory.__name__: factory for factory in (gaussian_1d, mixture_1d, ring_2d, checkerboard_2d, digits)
}
BUILT_IN = tuple(_FACTORIES)  # exact, without weights
NETWORKS = ("digits_net", "digits_class", "digits_inpaint", "photos_net")  # trained, see `art_gym.network_tasks`
_FACTORIES |= {name: _network(name) for name in NETWORKS}
_made: dict[str, Denoiser] = {}


def register_task(name: str, denoiser: Denoiser | Callable[..., Denoiser]) -> None:
    """Make a denoiser known as a task: ``gym.make("ARTDiffusion-v0", task=name)`` finds it.

    Args:
        name: a Python identifier. A built-in name cannot be taken; a name of one's own is replaced.
        denoiser: a denoiser object, or a function that makes one at first use, of the numbers that stand behind the
            name: "my_task?scale=2" calls it with scale=2.0.

    Raises:
        ValueError: for a built-in name, one that is no identifier, or an object that is no denoiser.
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"a task's name must be an identifier such as 'my_task', got {name!r}")
    if name in (*BUILT_IN, *NETWORKS):
        raise ValueError(f"{name!r} is a built-in task: choose another name")
    made = hasattr(denoiser, "shape") and not isinstance(denoiser, type)
    if made or not callable(denoiser):
        check_denoiser(denoiser)  # type: ignore[arg-type]
    for before in [before for before in _made if before.partition("?")[0] == name]:  # with whatever options
        del _made[before]
    if made:
        _made[name] = denoiser  # type: ignore[assignment]
    _FACTORIES[name] = (lambda: denoiser) if made else denoiser  # type: ignore[assignment,return-value]


def task_names() -> tuple[str, ...]:
    """All names that `get_task` knows, built-in ones first."""
    return tuple(_FACTORIES)


def get_task(name: str) -> Denoiser:
    """The denoiser of that name, made once. Options of a task stand behind it, as in "digits_class?guidance=4".

    Raises:
        ValueError: for an unknown name, which lists the known ones, or an unknown option.
    """
    base, _, query = name.partition("?")
    if base.startswith("model:"):
        raise ValueError(
            f"this is for {base[6:]!r}, a model of your own, which is no task: its proof is in the report beside the "
            f"schedule; to evaluate it on a task, name that, as with --task digits"
        )
    if base not in _FACTORIES:
        near = difflib.get_close_matches(base.lower(), _FACTORIES, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(
            f"unknown task {base!r}: {hint}choose one of {', '.join(_FACTORIES)}, or art_gym.register_task it first; "
            f"on the command line --task my_module:{base} imports the module that does"
        )
    if name not in _made:
        try:
            parts = [part.partition("=") for part in query.split("&") if part]
            options = {key: float(value) for key, _, value in parts}
            _made[name] = check_denoiser(_FACTORIES[base](**options))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"cannot make the task {name!r}: {error} (a plain function D(x, sigma) is registered as "
                f"FunctionDenoiser(function, shape); options are numbers, as in digits_class?guidance=4)"
            ) from None
    return _made[name]


def name_of_task(denoiser: Denoiser) -> str | None:
    """The name that `get_task` gives this very object for; None if there is none."""
    return next((name for name, made in _made.items() if made is denoiser), None)


def resolve(task: str | Denoiser) -> Denoiser:
    """A task's denoiser by name; a denoiser object is checked and handed back."""
    return get_task(task) if isinstance(task, str) else check_denoiser(task)
