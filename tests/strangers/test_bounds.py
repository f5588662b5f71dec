"""Nothing hangs and nothing fills the memory: each number has a bound, and each file is looked at before it is read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import art_gym
from art_gym.agents.learn.budget import Budget, Metered
from art_gym.agents.runs.config import TrainConfig
from art_gym.agents.training.setup import Setup
from art_gym.common.reading import DEEPEST, parse_json, parse_yaml
from art_gym.denoisers import FunctionDenoiser, from_diffusers
from art_gym.envs.sb3 import ARTDiffusionVecEnv
from art_gym.schedules import Schedule
from helpers.readers import NAMES, READERS
from helpers.strangers import answer, content, pipe, refusal

HUGE = (10**9, 10**12, 10**15, 2**63, 10**400)
ENV = "ARTDiffusion-Gaussian1D-v0"


def setup(**hyperparams: Any) -> object:
    algo = "sac" if {"buffer_size", "tau", "learning_starts"} & set(hyperparams) else "ppo"
    return Setup.resolve(TrainConfig(ENV, algo, hyperparams={"warm_start": 0, **hyperparams})).make_model()


TAKES: dict[str, Callable[[int], object]] = {
    "a grid": lambda n: art_gym.make_grid("edm", n, art_gym.get_task("gaussian_1d")),
    "resampling": lambda n: Schedule((80.0, 1.0, 0.0), "given").resample(n),
    "noises": lambda n: gym.make(ENV, noises=n),
    "num_steps": lambda n: gym.make(ENV, num_steps=n),
    "population": lambda n: gym.make(ENV, population=n),
    "lanes": lambda n: gym.make_vec(ENV, num_envs=n),
    "lanes of SB3": lambda n: ARTDiffusionVecEnv(n, "gaussian_1d"),
    "elements of a latent": lambda n: FunctionDenoiser(lambda x, sigma: x, (n,)),
    "num_envs": lambda n: setup(num_envs=n),
    "n_steps": lambda n: setup(n_steps=n),
    "batch_size": lambda n: setup(batch_size=n),
    "buffer_size": lambda n: setup(buffer_size=n),
    "a layer": lambda n: setup(policy_kwargs={"net_arch": [n, n]}),
    "layers": lambda n: setup(policy_kwargs={"net_arch": {"pi": [64] * 65, "vf": [n]}}),
    "timesteps": lambda n: TrainConfig(ENV, n_timesteps=10**4 * n),
    "any other": lambda n: setup(stats_window_size=10**4 * n),
}


@pytest.mark.parametrize("number", HUGE)
@pytest.mark.parametrize("name", TAKES)
def test_numbers_have_a_bound(name: str, number: int) -> None:
    said = refusal(lambda: TAKES[name](number))
    assert said is not None
    assert len(said) < 400


def test_many_of_each_are_too_many_together() -> None:
    for call in (
        lambda: gym.make_vec("ARTDiffusion-v0", num_envs=2**16, population=2**10),
        lambda: gym.make("ARTDiffusion-v0", task=FunctionDenoiser(lambda x, sigma: x, (3, 64, 64)), population=2**16),
        lambda: setup(num_envs=2**10, n_steps=10**6),
    ):
        assert "too large" in str(refusal(call))
    assert "16777216 make sense" in str(refusal(lambda: setup(policy_kwargs={"net_arch": [8192] * 3})))


@pytest.mark.parametrize("command", [["export", "s.json", "--num-steps"], ["instant", "--task", "digits", "--steps"]])
@pytest.mark.parametrize("number", [0, -1, *HUGE])
def test_commands_have_bounds(command: list[str], number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Schedule((80.0, 1.0, 0.0), "given").save(tmp_path / "s.json")
    assert answer([*command, str(number)])[0] == 2
    assert [*content(tmp_path)] == ["s.json"]


@pytest.mark.parametrize("kind", ["a pipe", "a device", "a folder", "a loop of links", "an empty file", "a large file"])
@pytest.mark.parametrize("reader", READERS)
def test_only_files_are_read(reader: str, kind: str, run_folder: Path) -> None:
    file = run_folder / NAMES.get(reader, "file")
    file.unlink(missing_ok=True)
    if kind == "a pipe":
        pipe(file)
    elif kind == "a device":
        file.symlink_to("/dev/zero")
    elif kind == "a folder":
        file.mkdir()
    elif kind == "a loop of links":
        file.symlink_to(file)
    else:
        file.touch()
        os.truncate(file, 0 if kind == "an empty file" else 10**12)  # a hole, which takes no room
    refusal(lambda: READERS[reader](file))  # whatever it says, it says it at once


BOMB = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize("bomb", [BOMB, "a: &a\n  b: *a\n", "x: &x 1\ny: {<<: *x}\n", "[*a]"])
def test_yaml_has_no_aliases(bomb: str, run_folder: Path) -> None:
    assert "alias" in str(refusal(lambda: parse_yaml(bomb)))
    (run_folder / "config.yaml").write_text(bomb)
    code, said = answer(["evaluate", str(run_folder)])
    assert code == 2
    assert "is not a run's configuration (it has an alias" in said


@pytest.mark.parametrize("depth", [DEEPEST + 1, 1000, 100_000])
@pytest.mark.parametrize("parse", [parse_json, parse_yaml])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_nesting_has_a_bound(parse: Callable[[str], object], opening: str, closing: str, depth: int) -> None:
    for text in (opening * depth + "1" + closing * depth, opening * depth):
        assert refusal(lambda text=text: parse(text)) is not None  # type: ignore[misc]
    assert parse(opening * 10 + "1" + closing * 10)


SIZES = [10**9, 2**40, 8.5, "8", None, True, 0, -8, [], [8], [8, 8, 8], [8.0, 8.0], float("nan"), 1e400, {"a": 8}]


@pytest.mark.parametrize("size", SIZES)
def test_a_network_of_any_size(size: object, model_folder: Path) -> None:
    file = model_folder / "unet" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "sample_size": size}))
    assert refusal(lambda: from_diffusers(model_folder)) is not None


@pytest.mark.parametrize(
    "values",
    [
        {"block_out_channels": [10**5, 10**5]},
        {"layers_per_block": 10**6},
        {"block_out_channels": [10**5] * 2, "norm_num_groups": 10**5},
        {"in_channels": 10**9},
        {"time_embedding_dim": 10**9},
    ],
)
def test_a_network_that_asks_for_more_than_it_brings(values: dict[str, object], model_folder: Path) -> None:
    file = model_folder / "unet" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))
    assert refusal(lambda: from_diffusers(model_folder)) is not None


@pytest.mark.parametrize("name", ["model_index.json", "unet/config.json", "scheduler/scheduler_config.json"])
@pytest.mark.parametrize("kind", ["a pipe", "nesting", "a folder", "not JSON", "a list"])
def test_configurations_that_are_none(name: str, kind: str, model_folder: Path) -> None:
    file = model_folder / name
    if kind == "a pipe":
        pipe(file)
    elif kind == "a folder":
        file.unlink()
        file.mkdir()
    else:
        file.write_text({"nesting": "[" * 10**5, "not JSON": "{", "a list": "[1]"}[kind])
    assert refusal(lambda: from_diffusers(model_folder)) is not None


@pytest.mark.parametrize("what", ["loop", "loop/x", "run"])
@pytest.mark.parametrize("command", ["plot", "evaluate", "export"])
def test_loops_of_links(command: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").symlink_to(tmp_path / "run" / "config.yaml")
    assert answer([command, what])[0] == 2
    assert answer(["export", "run", "--out", "loop/file"])[0] == 2


def test_an_interrupt_of_a_call_that_takes_for_ever_asks_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("art_gym.agents.learn.budget.time.perf_counter", lambda: now[0])
    waits = [0.5, 60.0]

    def denoise(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        now[0] += waits.pop(0)
        if not waits:
            raise KeyboardInterrupt
        return x

    meter = Metered(FunctionDenoiser(denoise, (1,)), Budget(evaluations=100))
    meter(np.zeros((1, 1)), np.ones(1))
    assert not meter.stuck
    with pytest.raises(KeyboardInterrupt):
        meter(np.zeros((1, 1)), np.ones(1))
    assert meter.stuck


@pytest.mark.parametrize("command", ["evaluate", "learn", "instant", "train"])
def test_an_interrupt_says_where_it_was(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    from art_gym.agents.cli.main import main

    name = f"endless_{command}"
    (tmp_path / f"{name}.py").write_text(
        "import art_gym\n\n\ndef denoise(x, sigma):\n    raise KeyboardInterrupt  # as Ctrl-C does\n\n\n"
        f"art_gym.register_task('{name}', art_gym.FunctionDenoiser(denoise, shape=(1,)))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    rest = {"evaluate": ["edm:3"], "train": ["--num-steps", "2", "--no-progress"]}.get(command, ["-o", "s.json"])
    code = main([command, *rest, "--task", f"{name}:{name}"])
    sys.modules.pop(name)
    said = capsys.readouterr().err
    assert code in (130, 2)  # 2 where nothing has been found yet
    assert f"{tmp_path / name}.py, line 5" in said
    assert said.count("\n") <= 2
