"""A campaign: each way in gets valid input that was broken, and always gives a result or one line of refusal.

`make fuzz` runs thousands of examples, the ordinary tests a few.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import art_gym
from art_gym.agents.runs.config import TrainConfig
from art_gym.agents.training.setup import Setup
from art_gym.agents.training.state_file import read_state
from art_gym.denoisers import from_diffusers
from art_gym.envs.env import ARTDiffusionEnv
from art_gym.envs.vector_env import ARTDiffusionVectorEnv
from art_gym.samplers.plans import load
from art_gym.tasks.references import load_references
from helpers.broken import SCALARS, VALUES, as_json, as_yaml, broken, damaged, files
from helpers.strangers import Canary, answer, content, refusal

EXAMPLES = int(os.environ.get("FUZZ", "8"))
FIGURES: Counter[tuple[str, str]] = Counter()
few = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[*HealthCheck],
    derandomize=EXAMPLES < 100,
)

COMMANDS = (["export"], ["evaluate", "--noises", "8"], ["plot", "--out", "../p"])
SCHEDULE = {"format": "art_gym.schedule/1", "sigmas": [80.0, 5.0, 0.5, 0.0], "method": "edm", "task": "gaussian_1d"}
SAMPLER = {**SCHEDULE, "format": "art_gym.sampler/1", "told": [1.0, 1.0, 1.0], "weights": [[], [0.1], [0.1, 0.2]]}
POINT = {"steps": 4, "evaluations": 8, "seconds": 0.5, "errors": {"2": 0.1}}
CONFIG = {"env_id": "ARTDiffusion-Gaussian1D-v0", "algo": "ppo", "seed": 0, "env": {"num_steps": 2, "population": 4}}
TRAIN = {**CONFIG, "hyperparams": {"warm_start": 0, "n_steps": 4, "num_envs": 4, "batch_size": 16}, "n_timesteps": 64}
HYPERPARAMS = {
    "warm_start": 0,
    "n_steps": 8,
    "num_envs": 4,
    "batch_size": 16,
    "gamma": 1.0,
    "learning_rate": "lin_1e-3",
    "policy_kwargs": {"net_arch": [8, 8], "activation_fn": "ReLU", "log_std_init": -1.0},
}
ARGUMENTS = {
    "task": "digits_class?guidance=2",
    "solver": "euler",
    "num_steps": [2, 5],
    "population": 4,
    "action": "fraction?sharpness=2.5",
    "reward": "log_ratio?power=2",
    "observation": ["time", "grid"],
    "raw_latents": False,
    "split": "train",
    "noises": 256,
}
OPTIONS = {"noise": [0, 1], "num_steps": 3}


def tried(name: str, call: Callable[[], object]) -> None:
    """Count whether the input was taken or refused. Any other end fails the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        FIGURES[name, "taken" if refusal(call) is None else "refused"] += 1


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to work in, with a canary that would be found. Nothing in it has changed at the end."""
    canary = Canary(tmp_path)
    (tmp_path / "work").mkdir()
    canary.module(tmp_path / "work" / "canary_module.py")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.syspath_prepend(tmp_path / "work")
    yield tmp_path / "work"
    assert not canary.sang
    assert "canary_module" not in sys.modules
    assert {file.name for file in (tmp_path / "work").iterdir()} <= {"canary_module.py", "file", "folder"}


@pytest.mark.parametrize(
    ("name", "valid", "read"),
    [
        ("schedule file", SCHEDULE, load),
        ("sampler file", SAMPLER, load),
        ("references", [{"task": "x"}], lambda file: load_references.__wrapped__(file)),
    ],
)
def test_files(name: str, valid: Any, read: Callable[[Path], object], place: Path) -> None:
    @few
    @given(files(valid, as_json))
    def campaign(written: bytes) -> None:
        (place / "file").write_bytes(written)
        tried(name, lambda: read(place / "file"))
        assert (place / "file").read_bytes() == written

    campaign()


@pytest.mark.parametrize("name", ["schedule", "sampler"])
def test_files_at_each_byte(name: str, place: Path) -> None:
    whole = as_json(SCHEDULE if name == "schedule" else SAMPLER)
    for cut in range(len(whole)):
        (place / "file").write_bytes(whole[:cut])
        assert refusal(lambda: load(place / "file")) is not None
        FIGURES[f"{name} file, cut", "refused"] += 1


def test_commands_on_files(place: Path) -> None:
    @few
    @given(
        files(SCHEDULE, as_json),
        st.sampled_from(COMMANDS),
    )
    def campaign(written: bytes, command: list[str]) -> None:
        (place / "file").write_bytes(written)
        code, _ = answer([command[0], "file", *command[1:]])
        FIGURES["commands on files", "refused" if code else "taken"] += 1

    campaign()


@pytest.mark.parametrize("name", ["config.yaml", "history.json", "best.pt", "schedule_K2.json"])
def test_run_folders(name: str, place: Path, trained: Path) -> None:
    whole = (trained / name).read_bytes()
    folder = place / "folder"
    strategy = {
        "config.yaml": files({"train": TRAIN}, as_yaml),
        "history.json": files([POINT], as_json),
        "best.pt": damaged(whole) | st.sampled_from([(trained / "config.yaml").read_bytes(), whole[::-1]]),
        "schedule_K2.json": files(SCHEDULE, as_json),
    }[name]

    @few
    @given(strategy, st.sampled_from(COMMANDS))
    def campaign(written: bytes, command: list[str]) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(trained, folder, ignore=shutil.ignore_patterns("tensorboard"))
        (folder / name).write_bytes(written)
        before = content(folder)
        code, _ = answer([command[0], "folder", *command[1:]])
        FIGURES[f"run folder, {name}", "refused" if code else "taken"] += 1
        assert content(folder) == before

    campaign()


@pytest.mark.parametrize("name", ["model_index.json", "unet/config.json", "scheduler/scheduler_config.json"])
def test_model_folders(name: str, place: Path, model_folder: Path) -> None:
    valid = json.loads((model_folder / name).read_text())

    @few
    @given(files(valid, as_json))
    def campaign(written: bytes) -> None:
        (model_folder / name).write_bytes(written)
        before = content(model_folder)
        tried(f"model folder, {name}", lambda: from_diffusers(model_folder))
        assert content(model_folder) == before

    campaign()


def test_states(place: Path, trained: Path) -> None:
    @few
    @given(damaged((trained / "checkpoint.pt").read_bytes()))
    def campaign(written: bytes) -> None:
        (place / "file").write_bytes(written)
        tried("checkpoint", lambda: read_state(place / "file"))

    campaign()


def made(**values: Any) -> object:
    """Gymnasium adds all arguments to an error of ours, in full."""
    try:
        return gym.make("ARTDiffusion-Gaussian1D-v0", **values)
    except (TypeError, ValueError) as error:
        raise ValueError(str(error).partition(" was raised from the environment creator")[0]) from None


@pytest.mark.parametrize("make", ["class", "lanes", "make"])
def test_arguments_of_environments(make: str, place: Path) -> None:
    makes: dict[str, Callable[..., object]] = {
        "class": lambda **values: ARTDiffusionEnv("gaussian_1d", **values),
        "lanes": lambda **values: ARTDiffusionVectorEnv(2, "gaussian_1d", **values),
        "make": made,
    }

    @few
    @given(broken(ARGUMENTS))
    def campaign(values: Any) -> None:
        if isinstance(values, dict):
            tried(f"environment, {make}", lambda: makes[make](**values))

    campaign()


def test_resets_and_steps(place: Path) -> None:
    env = ARTDiffusionEnv("gaussian_1d", num_steps=(2, 4), population=2)
    lanes = ARTDiffusionVectorEnv(2, "gaussian_1d", num_steps=(2, 4), population=2)

    @few
    @given(VALUES, broken(OPTIONS), broken([0.5]))
    def campaign(seed: Any, options: Any, action: Any) -> None:
        for one in (env, lanes):
            tried("reset", lambda one=one: one.reset(seed=seed))  # type: ignore[misc]
            tried("reset", lambda one=one: one.reset(options=options))  # type: ignore[misc]
            one.reset(seed=1)
            tried("step", lambda one=one: one.step(action))  # type: ignore[misc]

    campaign()


def test_hyperparameters(place: Path) -> None:
    @few
    @given(broken(HYPERPARAMS), st.sampled_from(["ppo", "sac"]))
    def campaign(values: Any, algo: str) -> None:
        config = {**CONFIG, "algo": algo, "hyperparams": values}
        tried("hyperparameters", lambda: Setup.resolve(TrainConfig(**config)).make_model())

    campaign()


def test_names_of_tasks(place: Path) -> None:
    pieces = st.lists(st.sampled_from(["digits_class", "?", "guidance", "=", "2", "&", ":", "nan", " "]), max_size=7)

    @few
    @given(pieces.map("".join) | SCALARS)
    def campaign(name: Any) -> None:
        if not (isinstance(name, str) and name.startswith("canary_module:")):  # given in code, it may be imported
            tried("task by name", lambda: art_gym.get_task(name))

    campaign()


def test_swapped_files(place: Path, trained: Path) -> None:
    """Every file of a run in place of every other."""
    names = ("config.yaml", "history.json", "best.pt", "result.json", "schedule_K2.json")
    folder = place / "folder"
    for name in names:
        for other in names:
            if name == other:
                continue
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(trained, folder, ignore=shutil.ignore_patterns("tensorboard"))
            shutil.copy(trained / other, folder / name)
            for command in (["evaluate", "folder", "--noises", "4"], ["export", "folder"]):
                code, _ = answer(command)
                FIGURES["run folder, swapped files", "refused" if code else "taken"] += 1


def test_figures(capsys: pytest.CaptureFixture[str]) -> None:
    """The last one: what the campaign found, for the page on reliability."""
    if not FIGURES:
        pytest.skip("the campaign runs in other processes")
    ways = sorted({name for name, _ in FIGURES})
    lines = [f"| {name} | {FIGURES[name, 'taken']} | {FIGURES[name, 'refused']} |" for name in ways]
    total = [sum(FIGURES[name, end] for name in ways) for end in ("taken", "refused")]
    assert sum(total) >= len(ways)
    if EXAMPLES >= 100:
        with capsys.disabled():
            print("\n| way in | taken | refused |\n|:---|---:|---:|")
            print("\n".join([*lines, f"| all | {total[0]} | {total[1]} |"]))
