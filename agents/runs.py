"""A run's folder: its configuration, its history of evaluations, its checkpoint, and what came out."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from filelock import FileLock, Timeout

from art_gym.config import EnvConfig, load_config, make_config
from art_gym.files import remove_left_overs, write_text
from art_gym.parts import import_module

RIVALS = ("cma", "gradient", "defect")  # algorithms without RL, see `rivals`
RESULTS = ("history.json", "checkpoint.pt", "best.pt", "start.pt", "result.json", "schedule_K*.json", "report.md")
PER_SAMPLE = "_per_sample"  # ends the names of configurations of population 1, which have recipes of their own
TABLE_BUDGETS = (5, 7, 10, 18)  # at which a method for a range of budgets is evaluated, where the range has them


def reported_budgets(config: EnvConfig) -> list[int]:
    """The K at which progress is evaluated and schedules are written: both ends of a range, and what tables have."""
    low, high = config.budgets
    return sorted({low, *(k for k in TABLE_BUDGETS if low < k < high), high})


def name_of(part: Any) -> str:
    """A task's or solver's name; the type of an object that has none."""
    return part if isinstance(part, str) else getattr(part, "name", type(part).__name__)


@dataclass(frozen=True)
class TrainConfig:
    """What a training run is: enough to repeat it.

    Attributes:
        env_id: a registered id, or the name of a configuration in envs_configs; "module:id" imports that module first,
            as `gym.make` does, which may register a task.
        algo: ppo, sac, art_rl, or any class of stable-baselines3 or sb3-contrib by name; cma, gradient or defect for a
            fixed grid.
        seed: of the algorithm, the environments and the networks.
        env: keys of `EnvConfig` that override the configuration and the hyperparameters' own "env".
        hyperparams: values that override the YAML; "policy_kwargs.log_std_init" reaches into a dictionary.
        n_timesteps: environment steps; from the YAML by default.
    """

    env_id: str = "ARTDiffusion-v0"
    algo: str = "ppo"
    seed: int = 0
    env: dict[str, Any] = field(default_factory=dict)
    hyperparams: dict[str, Any] = field(default_factory=dict)
    n_timesteps: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.seed, np.integer):
            object.__setattr__(self, "seed", int(self.seed))
        for name, kind in (("env_id", str), ("algo", str), ("seed", int), ("env", dict), ("hyperparams", dict)):
            if not isinstance(value := getattr(self, name), kind):
                raise ValueError(f"{name} must be of type {kind.__name__}, got {value!r}")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"a seed is a whole number from 0 to {2**32 - 1}, got {self.seed}")
        if self.n_timesteps is not None and self.n_timesteps < 1:
            raise ValueError(f"the number of environment steps must be at least 1, got {self.n_timesteps}")

    def env_config(self, overrides: dict[str, Any] | None = None) -> EnvConfig:
        """The environment's configuration: the id's YAML, then the algorithm's overrides, then the user's."""
        return load_config(config_name(self.env_id), **{**(overrides or {}), **self.env})

    @property
    def hyperparams_id(self) -> str | None:
        """The id whose hyperparameters are used: that of the task, where it has one, else of the environment."""
        own, task = config_name(self.env_id), self.env.get("task")
        if isinstance(task, str) and own.endswith(PER_SAMPLE):
            task = f"{task.partition('?')[0]}{PER_SAMPLE}"
        return id_of(task) or id_of(own)


def config_name(env_id: str) -> str:
    """The configuration behind a registered id. Raises a ValueError for one that is none, or such a module."""
    _, env_id = imported(env_id)
    known = _configs()
    if env_id in known:
        return known[env_id]
    if env_id in known.values():
        return env_id
    raise ValueError(f"unknown environment {env_id!r}: choose one of {', '.join(known)}")


def imported(name: str) -> tuple[str, str]:
    """The two parts of "module:name", of which the first may be missing, after that module is imported.

    For what a user types, and for the id in a run's folder. A schedule file's task is data: it imports nothing.

    Raises:
        ValueError: for a module that cannot be imported, or a file in its place.
    """
    module, _, name = name.rpartition(":")
    if module:
        import_module(module, name)
    return module, name


def id_of(task: Any) -> str | None:
    """The registered id of a built-in task by name, whatever its options; None for a task of one's own."""
    ids = {config: key for key, config in _configs().items()}
    return ids.get(task.partition("?")[0]) if isinstance(task, str) else None


def _configs() -> dict[str, str]:
    """The name of the configuration, which is that of the task, by registered id."""
    import gymnasium as gym

    import art_gym  # noqa: F401 registers the ids

    return {key: spec.kwargs["config"] for key, spec in gym.registry.items() if key.startswith("ARTDiffusion")}


@dataclass(frozen=True)
class Point:
    """One evaluation on validation noise during training.

    Attributes:
        steps: environment steps (denoising steps of a population) so far.
        evaluations: denoiser evaluations of training so far, a sample each.
        seconds: of training so far, evaluations on validation noise left out.
        errors: mean endpoint error for each budget K.
    """

    steps: int
    evaluations: int
    seconds: float
    errors: dict[int, float]


class Run:
    """A run's folder on disk. Every file is written to a temporary name and renamed."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @property
    def tensorboard(self) -> Path:
        """Where TensorBoard's files go."""
        return self.folder / "tensorboard"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While this lasts no other process of this machine works in the folder; a kill ends it too.

        Raises:
            ValueError: if one does.
        """
        name = hashlib.sha256(str(self.folder.resolve()).encode()).hexdigest()[:32]
        # Not in the folder, which is not there before the configuration is known to fit.
        lock = FileLock(Path(tempfile.gettempdir()) / f"art_gym_{name}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise ValueError(f"another process trains in {self.folder}: wait for it, or name another folder") from None
        try:
            yield
        finally:
            lock.release()

    def prepare(self, config: TrainConfig, resolved: dict[str, Any], resume: bool) -> None:
        """Make the folder and write the resolved configuration.

        Raises:
            ValueError: if there is a run already and it is not to be resumed, or it has another configuration, or
                the folder's config.yaml is no run's, or it holds files without one that a run would replace. A folder
                with nothing but a configuration, of a run that failed at once, is as good as new.
        """
        file = self.folder / "config.yaml"
        if not file.exists() and (theirs := self._results()):
            raise ValueError(f"{theirs[0]} is of no run, which would replace it: name another folder")
        if file.exists():
            before = self.config()  # another program's is not to be replaced
            # As YAML has them: a range of budgets is a list there.
            changed = [
                f.name for f in fields(config) if plain(getattr(before, f.name)) != plain(getattr(config, f.name))
            ]
            if self.has_results() and changed:
                said = "; ".join(f"{name} was {getattr(before, name)}, not {getattr(config, name)}" for name in changed)
                raise ValueError(
                    f"{self.folder} holds a run with another configuration: {said}; name another folder with --out"
                )
            if self.has_results() and not resume:
                raise ValueError(f"{self.folder} holds a run already: add --resume to go on with it, or name another")
            remove_left_overs(self.folder, (*RESULTS, "config.yaml", "*.png"))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:  # such as a file of that name
            raise ValueError(f"cannot make the folder {self.folder} ({error.strerror}): name another") from None
        content = {"train": plain(asdict(config)), "resolved": plain(resolved)}
        write_text(file, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))

    def has_results(self) -> bool:
        """Whether there is anything in the folder that a run has found."""
        return bool(self._results())

    def _results(self) -> list[Path]:
        return [file for pattern in RESULTS for file in sorted(self.folder.glob(pattern))]

    def config(self) -> TrainConfig:
        """The configuration of the run in this folder. Raises a ValueError where there is none."""
        file = self.folder / "config.yaml"
        if not file.is_file():
            raise ValueError(f"{self.folder} holds no run: there is no config.yaml in it")
        try:
            return make_config(TrainConfig, yaml.safe_load(file.read_text(encoding="utf-8"))["train"])
        except (yaml.YAMLError, ValueError, KeyError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"{file} is no configuration of a run ({reason}): name another folder") from None

    def history(self) -> list[Point]:
        """The evaluations so far, oldest first. Raises a ValueError for a damaged file."""
        file = self.folder / "history.json"
        if not file.exists():
            return []
        try:
            stored = json.loads(file.read_text(encoding="utf-8"))
            return [
                Point(
                    int(point["steps"]),
                    int(point["evaluations"]),
                    float(point["seconds"]),
                    {int(k): float(error) for k, error in point["errors"].items()},
                )
                for point in stored
            ]
        except (ValueError, KeyError, TypeError, AttributeError) as error:  # not JSON, not text, or of another form
            raise ValueError(f"{file} is no history of a run ({error}): remove the folder and train again") from None

    def write_history(self, points: list[Point]) -> None:
        """Replace the history."""
        write_text(self.folder / "history.json", json.dumps([asdict(point) for point in points]))


def plain(value: Any) -> Any:
    """Only what YAML knows: tuples become lists, objects their repr."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return value if isinstance(value, str | int | float | bool | None) else repr(value)
