"""No file runs its own code: every function that reads one, with a canary in what it reads."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import art_gym
from art_gym.denoisers import from_diffusers
from art_gym.schedules import Schedule
from helpers.readers import DATA, NAMES, READERS
from helpers.strangers import Canary, answer, content, refusal


def written(file: Path, kind: str, canary: Canary) -> None:
    """Write the canary in one of the forms in which files can hold code."""
    if kind == "pickle":
        file.write_bytes(pickle.dumps(canary))
    elif kind == "torch":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(canary, protocol=2))
            archive.writestr("archive/version", "3\n")
    elif kind == "stable-baselines3":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("data", json.dumps({"policy_class": {":serialized:": pickle.dumps(canary).hex()}}))
            archive.writestr("policy.pth", pickle.dumps(canary))
    elif kind == "numpy":
        import numpy as np

        with file.open("wb") as handle:
            np.savez(handle, endpoints=np.array([canary], object), checksum=0)
    elif kind == "yaml":
        file.write_text(f"train: !!python/object/apply:exec [{canary.code!r}]\n")
    else:
        names = {"_class_name": "canary_module:Mine", "auto_map": {"AutoModel": "canary_module.Mine"}, "format": "x"}
        file.write_text(json.dumps({**names, "unet": ["canary_module", "Mine"], "task": "canary_module:mine"}))


@pytest.mark.parametrize("kind", ["pickle", "torch", "stable-baselines3", "numpy", "yaml", "json"])
@pytest.mark.parametrize("reader", READERS)
def test_reading_runs_no_code(
    reader: str, kind: str, canary: Canary, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run_folder)
    monkeypatch.syspath_prepend(run_folder)  # so that a module that is imported would be found
    canary.module(run_folder / "canary_module.py")
    file = run_folder / NAMES.get(reader, "file")
    written(file, kind, canary)
    before = content(run_folder)
    if refusal(lambda: READERS[reader](file)) is None:
        assert reader in DATA
    assert not canary.sang
    assert content(run_folder) == before


def test_every_reader_is_walked_over() -> None:
    """Whatever calls a function that opens a file is above, or reads what the package ships."""
    calls = (
        "read_json(",
        "read_yaml(",
        "read_text(",
        "read_bytes(",
        "torch.load(",
        "safe_open(",
        "np.load(",
        "pickle.load(",
    )
    calls += ("from_pretrained(", "from_config(", "read_document(", "read_state(", "read_config(", ".open(")
    root = Path(art_gym.__file__).parents[1]
    found = {
        str(file.relative_to(root))
        for folder in ("art_gym", "agents")
        for file in (root / folder).rglob("*.py")
        if any(call in file.read_text(encoding="utf-8") for call in calls)
    }
    walked = {
        *(f"art_gym/common/{name}.py" for name in ("reading", "documents")),
        *(f"art_gym/denoisers/{name}.py" for name in ("diffusers_folders", "folder_checks", "edm", "networks")),
        *(f"art_gym/tasks/{name}.py" for name in ("noise_bank", "references")),
        *(f"art_gym/evaluation/{name}.py" for name in ("families", "references")),
        "art_gym/samplers/plans.py",
        "art_gym/schedules/instant.py",
        *(f"agents/training/{name}.py" for name in ("checkpoint", "networks", "state_file")),
        *(f"agents/learn/{name}.py" for name in ("pipelines", "unfinished")),
        "agents/learn/lpips.py",  # in its own test
        *(f"agents/benchmark/{name}.py" for name in ("results", "submitted")),
        "agents/runs/folder.py",
        "agents/studies/study.py",
    }
    shipped = {"art_gym/envs/config.py", "art_gym/tasks/images.py", "agents/training/hyperparams.py"}
    shipped |= {f"agents/benchmark/{name}.py" for name in ("page", "scale", "suite")}
    # Docstrings and texts, and the null device.
    others = {"art_gym/export/scheduler.py", "art_gym/export/replacement.py", "agents/cli/main.py"}
    assert found - others == walked | shipped


CONFIGS = {
    "id": {"env_id": "canary_module:ARTDiffusion-v0"},
    "task": {"env": {"task": "canary_module:mine"}},
    "task with options": {"env": {"task": "canary_module:mine?scale=2"}},
    "reward": {"env": {"reward": "canary_module:Mine"}},
    "action": {"env": {"action": "canary_module:mine"}},
    "solver": {"env": {"solver": "canary_module:mine"}},
    "program": {"env": {"reward": "subprocess:Popen?args=touch mark&shell=true"}},
    "imported by ours": {"env": {"reward": "art_gym.envs.rewards.base:Registry.add?kind=x"}},
    "algorithm": {"algo": "canary_module:Mine"},
    "policy": {"hyperparams": {"policy": "canary_module:Mine"}},
    "activation": {"hyperparams": {"policy_kwargs.activation_fn": "canary_module.Mine"}},
}


@pytest.mark.parametrize("command", ["evaluate", "plot", "export", "resume"])
@pytest.mark.parametrize("name", CONFIGS)
def test_a_run_from_elsewhere_runs_no_code(
    name: str, command: str, canary: Canary, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run_folder)
    monkeypatch.syspath_prepend(run_folder)
    canary.module(run_folder / "canary_module.py")
    stored = yaml.safe_load((run_folder / "config.yaml").read_text())
    for key, value in CONFIGS[name].items():
        stored["train"][key] = {**stored["train"][key], **value} if isinstance(value, dict) else value
    (run_folder / "config.yaml").write_text(yaml.safe_dump(stored))
    before = content(run_folder)
    arguments = {
        "evaluate": ["evaluate", ".", "--noises", "4"],
        "plot": ["plot", ".", "--out", str(run_folder.parent / "plots")],
        "export": ["export", "."],
        "resume": ["train", "--resume", "--no-progress", "--out", "."],
    }
    code, _ = answer(arguments[command])
    assert code == (2 if command in ("evaluate", "resume") else 0)
    assert not canary.sang
    assert not (run_folder / "mark").exists()
    assert content(run_folder) == before


@pytest.mark.parametrize("name", ["task", "solver"])
def test_a_schedule_file_runs_no_code(
    name: str, canary: Canary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    canary.module(tmp_path / "canary_module.py")
    Schedule((80.0, 1.0, 0.0), "given", **{name: "canary_module:mine"}).save(tmp_path / "s.json")  # type: ignore[arg-type]
    assert answer(["evaluate", "s.json"])[0] == 2
    assert not canary.sang


def test_a_module_is_found_only_where_the_user_names_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries look for optional ones, and must not find them in a stranger's folder."""
    import sys

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", os.getcwd())])
    answer(["plot", "nothing"])
    answer(["evaluate", "edm:x", "a:b"])
    assert os.getcwd() not in sys.path
    (tmp_path / "found_here.py").write_text("")
    assert "no configuration" not in answer(["evaluate", "edm:2", "--task", "found_here:nothing"])[1]
    assert os.getcwd() in sys.path
    sys.modules.pop("found_here")


def changed(file: Path, **values: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


BREAKS: dict[str, Callable[[Path, Canary], None]] = {
    "a component": lambda folder, _: changed(folder / "model_index.json", unet=["canary_module", "Mine"]),
    "a component of Python": lambda folder, _: changed(folder / "model_index.json", unet=["os", "system"]),
    "a function": lambda folder, _: changed(folder / "model_index.json", unet=["transformers", "pipeline"]),
    "a dotted name": lambda folder, _: changed(folder / "model_index.json", unet=["diffusers", "utils.logging.os"]),
    "a library of a path": lambda folder, _: changed(folder / "model_index.json", unet=["../canary_module", "Mine"]),
    "a pipeline": lambda folder, _: changed(folder / "model_index.json", _class_name=["canary_module", "Mine"]),
    "a pipeline by name": lambda folder, _: changed(folder / "model_index.json", _class_name="canary_module"),
    "a class in a component": lambda folder, _: changed(folder / "unet" / "config.json", _class_name="Mine"),
    "an auto_map": lambda folder, _: changed(
        folder / "unet" / "config.json", auto_map={"AutoModel": "canary_module.Mine"}
    ),
    "a class of a scheduler": lambda folder, _: changed(
        folder / "scheduler" / "scheduler_config.json", _class_name="canary_module"
    ),
    "code beside it": lambda folder, canary: canary.module(folder / "pipeline.py"),
    "code beside a scheduler": lambda folder, canary: canary.module(folder / "scheduler" / "scheduler.py"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_model_from_elsewhere_runs_no_code(
    name: str, canary: Canary, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the version of diffusers, because nothing of it that loads is called."""
    import diffusers

    def called(*_: object, **__: object) -> None:
        raise AssertionError("diffusers was asked")

    for kind in (diffusers.DiffusionPipeline, diffusers.ModelMixin, diffusers.SchedulerMixin):
        monkeypatch.setattr(kind, "from_pretrained", called)
    monkeypatch.syspath_prepend(model_folder / "unet")
    if "code beside" not in name:
        canary.module(model_folder.parent / "canary_module.py")
        monkeypatch.syspath_prepend(model_folder.parent)
    BREAKS[name](model_folder, canary)
    said = refusal(lambda: from_diffusers(model_folder))
    assert said is not None
    assert "--trust-remote-code" in said
    assert str(model_folder) in said
    out = str(model_folder.parent / "s.json")
    assert answer(["learn", "--model", str(model_folder), "--budget", "9nfe", "--no-progress", "-o", out])[0] == 2
    assert not canary.sang


@pytest.mark.filterwarnings("ignore")  # of diffusers
def test_code_that_is_trusted_runs(canary: Canary, model_folder: Path) -> None:
    canary.module(model_folder / "unet" / "canary_module.py")
    changed(model_folder / "model_index.json", unet=["canary_module", "Mine"])
    assert from_diffusers(model_folder, trust_remote_code=True).shape == (2, 8, 8)
    assert canary.sang
