"""What a person can only have meant by mistake is refused, in one line that names the value and what is allowed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from art_gym.agents.runs.config import TrainConfig
from art_gym.agents.runs.folder import Run
from art_gym.agents.training.checkpoint import load_model
from art_gym.agents.training.setup import Setup
from art_gym.denoisers import from_diffusers
from helpers.strangers import answer, label, refusal

ENV = "ARTDiffusion-Gaussian1D-v0"


VALUES: list[tuple[str, str, Any]] = [
    *[("ppo", "gamma", value) for value in (5, -0.1, 1.0001, float("nan"), float("inf"))],
    *[("ppo", "gae_lambda", value) for value in (2, -1)],
    *[("ppo", "clip_range", value) for value in (-1, float("nan"), "lin_1e400")],
    *[("ppo", "learning_rate", value) for value in (-1e-3, float("inf"), 10**400, "lin_9e999")],
    *[("ppo", name, -1) for name in ("ent_coef", "vf_coef", "max_grad_norm", "target_kl", "stats_window_size")],
    *[("sac", "tau", value) for value in (float("nan"), 2, -1, float("-inf"))],
    *[("sac", name, -5) for name in ("learning_starts", "ent_coef")],
    *[
        ("ppo", "policy_kwargs", {"activation_fn": name})
        for name in ("Module", "Linear", "MultiheadAttention", "GLU", "x")
    ],
    *[("ppo", "policy_kwargs", {"log_std_init": value}) for value in (float("nan"), 10**13)],
    *[("ppo", "policy_kwargs", {"net_arch": value}) for value in ([0], [-1], [2.5], ["x"], 64, "64", [None], [[1]])],
    ("ppo", "policy", "Nothing"),
    ("ppo", "rollout_buffer_class", "x"),
    ("ppo", "warm_start", {"share": float("nan")}),
    ("td3", "noise_type", ["normal"]),
    ("td3", "noise_std", float("nan")),
]


@pytest.mark.parametrize(("algo", "name", "value"), VALUES, ids=map(label, VALUES))
def test_hyperparameters(algo: str, name: str, value: Any) -> None:
    values = {"warm_start": 0, name: value} if algo != "td3" else {name: value}
    assert refusal(lambda: Setup.resolve(TrainConfig(ENV, algo, hyperparams=values)).make_model()) is not None


POINT = {"steps": 4, "evaluations": 8, "seconds": 0.5, "errors": {"5": 0.1}}
POINTS: list[Any] = [
    *[{**POINT, name: value} for name in ("steps", "evaluations") for value in (-1, 1.5, True, "4", None, 2**70, [])],
    *[{**POINT, "seconds": value} for value in (-0.1, True, "1", None, 10**400, [])],
    *[{**POINT, "errors": {"5": value}} for value in (-0.1, True, "1", None, [])],
    *[{**POINT, "errors": {key: 0.1}} for key in ("0", "-5", "5.5", "", "1001", "K")],
    *[{**POINT, "errors": value} for value in (None, [], 5, "x")],
    {},
    [],
    None,
    5,
]


@pytest.mark.parametrize("point", POINTS, ids=map(label, POINTS))
def test_points_of_a_history(point: Any, run_folder: Path) -> None:
    (run_folder / "history.json").write_text(json.dumps([POINT, point]))
    assert "is not a run's history" in str(refusal(Run(run_folder).history))
    assert answer(["plot", str(run_folder), "--out", str(run_folder.parent / "plots")])[0] == 2


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e-9"])
def test_numbers_of_a_history(number: str, run_folder: Path) -> None:
    for name, of in (("seconds", "0.5"), ("errors", "0.1")):
        text = json.dumps([POINT]).replace(of, number)
        assert name in text
        (run_folder / "history.json").write_text(text)
        assert "is not a run's history" in str(refusal(Run(run_folder).history))


@pytest.mark.parametrize("name", ["best.pt", "checkpoint.pt"])
@pytest.mark.parametrize("content", [b"", b"\0", b"PK", b"x" * 1000, b"PK\x05\x06" + b"\0" * 18])
def test_damaged_checkpoints(name: str, content: bytes, run_folder: Path) -> None:
    (run_folder / name).write_bytes(content)
    model = Setup.resolve(Run(run_folder).config()).make_model()
    said = refusal(lambda: load_model(model, run_folder / name))
    assert str(run_folder / name) in str(said)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.clear(),
        lambda content: content.update(num_timesteps=-1),
        lambda content: content.update(num_timesteps="5"),
        lambda content: content.update(updates=None),
        lambda content: content.update(variables={"policy": torch.zeros(3)}),
        lambda content: content.update(parameters={}),
        lambda content: content.update(parameters={"policy": {"x": torch.zeros(3)}}),
        lambda content: content["parameters"]["policy"].popitem(),
        lambda content: content["parameters"]["policy"].update(
            {name: value[:1] for name, value in content["parameters"]["policy"].items()}
        ),
    ],
)
def test_checkpoints_of_other_content(change: Callable[[dict[str, Any]], object], run_folder: Path) -> None:
    file = run_folder / "best.pt"
    content = torch.load(file, weights_only=True)
    change(content)
    torch.save(content, file)
    model = Setup.resolve(Run(run_folder).config()).make_model()
    assert str(file) in str(refusal(lambda: load_model(model, file)))


SCHEDULERS: list[dict[str, Any]] = [
    *[{"num_train_timesteps": value} for value in (0, 1, -5, 10**12, "many", None, 2.5, [], True)],
    *[{"beta_start": value} for value in (float("nan"), float("inf"), -3, "x", None, 5)],
    *[{"beta_end": value} for value in (float("nan"), float("-inf"), 2.0)],
    {"trained_betas": []},
    {"trained_betas": [float("nan")] * 10},
    {"beta_schedule": "nothing"},
    {"prediction_type": 5},
]


@pytest.mark.parametrize("values", SCHEDULERS, ids=map(label, SCHEDULERS))
def test_schedulers(values: dict[str, Any], model_folder: Path) -> None:
    file = model_folder / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))
    assert refusal(lambda: from_diffusers(model_folder)) is not None


MODULES = {
    "raises": "import json\n\nx = 1 / 0\n",
    "does_not_parse": "import json\n\nx = (\n",
    "exits": "import sys\n\nsys.exit('bye')\n",
    "misses": "import json\n\nimport no_such_module_here\n",
    "calls": "def f():\n    raise KeyError('a\\nb')\n\n\nf()\n",
}
LINES = {"raises": 3, "does_not_parse": 3, "exits": 3, "calls": 2}


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("command", [["evaluate", "edm:3"], ["learn", "-o", "s.json"], ["instant", "-o", "s.json"]])
def test_a_users_module_that_fails(
    name: str, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / f"module_that_{name}.py"
    file.write_text(MODULES[name])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    code, said = answer([*command, "--task", f"{file.stem}:mine"])
    assert code == 2
    assert file.stem in said
    if name in LINES:
        assert f"{file}, line {LINES[name]}" in said


@pytest.mark.parametrize("error", ["KeyError('x')", "ZeroDivisionError", "RuntimeError('a\\nb')", "AssertionError"])
@pytest.mark.parametrize("calls", [0, 40])
def test_a_users_task_that_fails(calls: int, error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"failing_{calls}_{abs(hash(error))}"
    (tmp_path / f"{name}.py").write_text(
        "import art_gym\ncalls = []\n\n\ndef denoise(x, sigma):\n    calls.append(1)\n"
        f"    if len(calls) > {calls}:\n        raise {error}\n    return x / 2\n\n\n"
        f"art_gym.register_task('{name}', art_gym.FunctionDenoiser(denoise, shape=(1,)))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    code, said = answer(["evaluate", "edm:3", "--task", f"{name}:{name}", "--noises", "16"])
    sys.modules.pop(name)
    assert code == 2
    assert f"{name}.py, line 8" in said
