"""The cost of an import, a make and a reset, by what they load and call."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import art_gym

DEFAULT = "ARTDiffusion-Gaussian1D-v0"
pytestmark = pytest.mark.filterwarnings("error")


def python(code: str, environment: dict[str, str] | None = None) -> str:
    """The output of a fresh interpreter."""
    command = [sys.executable, "-W", "error", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_import_loads_nothing_heavy() -> None:
    code = (
        "import sys, art_gym\n"
        "print(*{'torch', 'scipy', 'matplotlib', 'yaml', 'stable_baselines3', 'diffusers'} & set(sys.modules))"
    )
    assert python(code) == ""


@pytest.mark.parametrize(
    ("task", "computed"),
    [
        ("digits", False),
        ("checkerboard_2d", False),
        ("art_gym.denoisers:GaussianMixture([[1.0, 0.0], [0.0, 0.0]], 0.3)", True),
    ],
)
def test_first_reset_computes_only_what_is_not_shipped(task: str, computed: bool, tmp_path: Path) -> None:
    """Precise endpoints of our tasks are shipped. Those of other tasks are computed once and cached in a file."""
    module, _, maker = task.rpartition(":")
    code = (
        "import art_gym.tasks.registry as registry\n"
        f"from {module or 'art_gym.tasks.registry'} import *\n"
        f"denoiser = {maker if module else f'registry.get_task({task!r})'}\n"
        "calls, kind = [], type(denoiser)\n"
        "call = kind.__call__\n"
        "kind.__call__ = lambda self, x, sigma: calls.append(len(x)) or call(self, x, sigma)\n"
        "from art_gym.envs.env import ARTDiffusionEnv\n"
        "ARTDiffusionEnv(task=denoiser).reset(seed=0)\n"
        "print(sum(calls))"
    )
    environment = {**os.environ, "ART_GYM_CACHE": str(tmp_path)}
    first, again = (int(python(code, environment)) for _ in range(2))
    assert len(list(tmp_path.rglob("*.npz"))) == computed
    assert (first > 10_000) == computed
    assert again < 2 * 64  # one call for each of 64 latents, and a few to recognise the denoiser


def test_reset_and_step_do_without_torch() -> None:
    code = (
        "import sys, numpy, gymnasium\n"
        f"env = gymnasium.make('art_gym:{DEFAULT}'); env.reset(seed=0); env.step(numpy.zeros(1, numpy.float32))\n"
        "print(*{'torch', 'matplotlib', 'stable_baselines3', 'diffusers'} & set(sys.modules))"
    )
    assert python(code) == ""


def test_public_names_resolve() -> None:
    for name in art_gym.__all__:
        assert getattr(art_gym, name) is not None
    assert set(art_gym.__all__) <= set(dir(art_gym))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        art_gym.nothing  # noqa: B018
