"""A run's folder: its configuration, its history of evaluations, its checkpoint and its results."""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from art_gym.common.files import remove_left_overs, write_text
from art_gym.common.limits import MAX_STEPS, check_whole
from art_gym.common.messages import one_line, short
from art_gym.common.reading import read_json, read_yaml
from art_gym.envs.config import make_config

from .config import TrainConfig, check_names

RESULTS = (
    "history.json",
    "checkpoint.pt",
    "best.pt",
    "start.pt",
    "result.json",
    "schedule_K*.json",
    "sampler_K*.json",
    "report.md",
)


@dataclass(frozen=True)
class Point:
    """One evaluation on validation noise during training.

    Attributes:
        steps: environment steps (denoising steps of a population) so far.
        evaluations: denoiser evaluations of training so far, counted per sample.
        seconds: training time so far, without evaluations on validation noise.
        errors: mean endpoint error for each budget K, or the cost of the quality where no endpoint is right.
    """

    steps: int
    evaluations: int
    seconds: float
    errors: dict[int, float]


class Run:
    """A run's folder on disk. Each file is written under a temporary name and then renamed."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @property
    def tensorboard(self) -> Path:
        """The folder of TensorBoard's files."""
        return self.folder / "tensorboard"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lock the folder against other processes of this machine. The lock also ends if this process is killed.

        Raises:
            ValueError: if another process holds the lock.
        """
        name = hashlib.sha256(os.path.realpath(self.folder).encode()).hexdigest()[:32]
        # The lock lies outside the folder, which does not exist until the configuration is known to fit.
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
            ValueError: if the folder holds a run and ``resume`` is False; if that run has another configuration; if
                its config.yaml is not of a run; or if it has no config.yaml, but files that a run would replace. A
                folder with only a configuration, left by a run that failed at once, counts as new.
        """
        file = self.folder / "config.yaml"
        if not file.exists() and (theirs := self._results()):
            raise ValueError(f"{theirs[0]} belongs to no run, and a run would replace it: name another folder")
        if file.exists():
            before = self._stored()  # raises for another program's file, which must not be replaced
            # Compare values as YAML stores them: there, a range of budgets is a list.
            changed = [
                f.name for f in fields(config) if plain(getattr(before, f.name)) != plain(getattr(config, f.name))
            ]
            if self.has_results() and changed:
                said = "; ".join(f"{name} was {getattr(before, name)}, not {getattr(config, name)}" for name in changed)
                raise ValueError(
                    f"{self.folder} holds a run with another configuration: {said}; name another folder with --out"
                )
            if self.has_results() and not resume:
                raise ValueError(f"{self.folder} holds a run already: add --resume to continue it, or name another")
            remove_left_overs(self.folder, (*RESULTS, "config.yaml", "*.png"))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:  # such as a file of that name
            raise ValueError(f"cannot make the folder {self.folder} ({error.strerror}): name another") from None
        content = {"train": plain(asdict(config)), "resolved": plain(resolved)}
        write_text(file, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))

    def has_results(self) -> bool:
        """Whether the folder holds results of a run."""
        return bool(self._results())

    def _results(self) -> list[Path]:
        return [file for pattern in RESULTS for file in sorted(self.folder.glob(pattern))]

    def config(self, modules: Collection[str] = ()) -> TrainConfig:
        """The configuration of the run in this folder.

        Args:
            modules: your own modules that it may name. Code of others never runs.

        Raises:
            ValueError: if there is no run, or its configuration names any other module.
        """
        config = self._stored()
        try:
            check_names(config, modules)
        except ValueError as error:
            raise ValueError(f"{self.folder / 'config.yaml'}: {error}") from None
        return config

    def _stored(self) -> TrainConfig:
        """The configuration as it stands in the file."""
        file = self.folder / "config.yaml"
        if not file.exists():
            raise ValueError(f"{self.folder} holds no run, since it has no config.yaml")
        try:
            return make_config(TrainConfig, read_yaml(file)["train"])
        except OSError as error:
            raise ValueError(f"cannot read {file}: {error.strerror}") from None
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            reason = one_line(error, 300)
            raise ValueError(f"{file} is not a run's configuration ({reason}): name another folder") from None

    def history(self) -> list[Point]:
        """The evaluations so far, oldest first. Raises a ValueError for a damaged file."""
        file = self.folder / "history.json"
        if not file.exists():
            return []
        try:
            return [_point(stored) for stored in read_json(file)]
        except OSError as error:
            raise ValueError(f"cannot read {file}: {error.strerror}") from None
        except (
            ArithmeticError,
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
        ) as error:  # not JSON, or of another form
            reason = one_line(error, 300)
            raise ValueError(f"{file} is not a run's history ({reason}): remove the folder and train again") from None

    def write_history(self, points: list[Point]) -> None:
        """Replace the history."""
        write_text(self.folder / "history.json", json.dumps([asdict(point) for point in points]))


def _point(stored: dict[str, Any]) -> Point:
    """A point of the history. Raises a ValueError or other errors for one that is none."""
    return Point(
        check_whole("steps", stored["steps"], 0, 2**62),
        check_whole("evaluations", stored["evaluations"], 0, 2**62),
        _measured("seconds", stored["seconds"]),
        {
            check_whole("K", int(k), 1, MAX_STEPS): _measured(f"the error for K = {k}", error)
            for k, error in stored["errors"].items()
        },
    )


def _measured(name: str, value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a finite number of at least 0, got {short(value)}")
    return float(value)


def plain(value: Any) -> Any:
    """Convert to types that YAML knows: tuples become lists, other objects become their repr."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return value if isinstance(value, str | int | float | bool | None) else repr(value)
