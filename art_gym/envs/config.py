"""The configuration of an environment: immutable, validated, read from YAML, and strict about unknown keys."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from typing import Any, TypeVar

import numpy as np

from art_gym.common.limits import MAX_NOISES, MAX_POPULATION, MAX_STEPS, check_elements, check_whole
from art_gym.common.messages import short
from art_gym.common.parts import import_module, text_of
from art_gym.common.reading import parse_yaml
from art_gym.denoisers.base import Counted, Denoiser, is_several
from art_gym.envs.actions.base import ACTIONS, STEP_MARGIN, ActionMap, get_action
from art_gym.envs.actions.guidance import GuidanceMap
from art_gym.envs.actions.sampler import SamplerMap, freedom_of
from art_gym.envs.core import Core
from art_gym.envs.ids import DEFAULT, configurations, task_of
from art_gym.envs.observations import ALL_GROUPS, GROUPS, Observation
from art_gym.envs.problem import Problem
from art_gym.envs.rewards.base import REWARDS, Reward, get_reward
from art_gym.solvers.base import SOLVERS, Solver, get_solver
from art_gym.tasks.families.base import ROWS
from art_gym.tasks.noise_bank import SPLITS, get_bank
from art_gym.tasks.registry import TASKS, name_of_task
from art_gym.tasks.target import Target

T = TypeVar("T")


class UnknownKeyError(ValueError, TypeError):
    """An unknown key of a configuration, in a YAML file or as a keyword argument of an environment.

    TorchRL passes ``frameskip``. It needs a TypeError with this wording to learn that there is no such argument.
    """


def make_config(kind: type[T], values: dict[str, Any]) -> T:
    """Make a dataclass from a dictionary. Raises an UnknownKeyError that names the nearest known key."""
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
            raise UnknownKeyError(
                f"unknown key {short(key)} for {kind.__name__}: {hint} (unexpected keyword argument {short(key)})"
            )
    return kind(**values)


@dataclass(frozen=True)
class EnvConfig:
    """The parts of an environment. Give them by name or as objects. An object that has a name is stored as its name.

    Attributes:
        task: a task's name (`art_gym.task_names()`), "my_module:name" to import the module that registers it, or a
            denoiser object.
        solver: euler, heun, dpmpp_2m or rk4, or a Solver.
        num_steps: K, or (lo, hi) to draw K for each episode, both ends included.
        population: N, the number of latents that share one clock. 1 is per-sample scheduling.
        action: name in `art_gym.envs.actions.base.ACTIONS`, or an ActionMap.
        reward: name in `art_gym.envs.rewards.base.REWARDS`, or a Reward.
        observation: groups of `art_gym.envs.observations.ALL_GROUPS`, or an Observation.
        raw_latents: observe a dictionary of the groups ("features") and the latents themselves ("latents").
        split: "train" or "heldout": which noises episodes start from.
        noises: how many noises a split has.

    Raises:
        ValueError: for values out of range. The message names the value, the expectation and the remedy.
    """

    task: str | Denoiser = "digits"
    solver: str | Solver = "dpmpp_2m"
    num_steps: int | tuple[int, int] = 7
    population: int = 64
    action: str | ActionMap = "fraction"
    reward: str | Reward = "log_ratio"
    observation: tuple[str, ...] | Observation = GROUPS
    raw_latents: bool = False
    split: str = "train"
    noises: int = 4096

    def __post_init__(self) -> None:
        if isinstance(self.task, str) and ":" in self.task.partition("?")[0] and not self.task.startswith("model:"):
            module, _, name = self.task.partition(":")
            import_module(module, name)
            object.__setattr__(self, "task", name)
        if isinstance(self.num_steps, list | tuple):  # a list from YAML or a JSON spec
            object.__setattr__(self, "num_steps", tuple(_plain(budget) for budget in self.num_steps))
        for name in ("num_steps", "population", "noises"):
            object.__setattr__(self, name, _plain(getattr(self, name)))
        if isinstance(self.observation, list | str):
            groups = (self.observation,) if isinstance(self.observation, str) else tuple(self.observation)
            object.__setattr__(self, "observation", groups)
        self._check()
        self._write_parts()

    def _check(self) -> None:
        self._check_numbers()
        if not isinstance(self.raw_latents, bool):
            raise ValueError(f"raw_latents must be True or False, got {short(self.raw_latents)}")
        if not isinstance(self.observation, tuple | Observation):
            raise ValueError(f"observation must name groups of {', '.join(ALL_GROUPS)}, got {short(self.observation)}")
        if not isinstance(self.split, str) or self.split not in SPLITS:
            raise ValueError(f"unknown split {short(self.split)}: choose one of {', '.join(SPLITS)}")
        get_solver(self.solver)
        action = get_action(self.action)
        if isinstance(action, SamplerMap):
            action.check(get_solver(self.solver))
        get_reward(self.reward)
        self.make_observation()

    def _check_numbers(self) -> None:
        budgets: tuple[Any, ...] = self.budgets
        whole = len(budgets) == 2 and all(type(budget) is int for budget in budgets)  # True is an int in Python
        if not (whole and 1 <= budgets[0] <= budgets[1] <= MAX_STEPS):
            raise ValueError(
                f"num_steps must be a whole number from 1 to {MAX_STEPS}, or a range (lo, hi) of them, "
                f"got {short(self.num_steps)}"
            )
        for name, most in (("population", MAX_POPULATION), ("noises", MAX_NOISES)):
            check_whole(name, getattr(self, name), 1, most)

    def _write_parts(self) -> None:
        """Replace objects that have a name by it. Then equal configurations compare equal, and can be saved."""
        texts = {
            "task": None if isinstance(self.task, str) else name_of_task(self.task),
            "solver": text_of(self.solver, SOLVERS),
            "action": text_of(self.action, ACTIONS),
            "reward": text_of(self.reward, REWARDS),
        }
        for name, text in texts.items():
            if text is not None:
                object.__setattr__(self, name, text)
        if isinstance(self.observation, Observation):
            groups, raw = self.observation.groups, self.observation.raw
            object.__setattr__(self, "observation", tuple(groups))
            object.__setattr__(self, "raw_latents", raw)

    @property
    def budgets(self) -> tuple[int, int]:
        """Lowest and highest K."""
        return self.num_steps if isinstance(self.num_steps, tuple) else (self.num_steps, self.num_steps)

    def make_observation(self) -> Observation:
        """The Observation object. Raises a ValueError if it contradicts raw_latents."""
        groups = self.observation
        if isinstance(groups, tuple):
            return Observation(groups, self.raw_latents)
        if self.raw_latents and not groups.raw:
            raise ValueError("raw_latents=True is not for an Observation object: give the object raw=True instead")
        return groups

    def target(self) -> Target:
        """The denoiser and the solver that the names stand for, and what actions choose of a sampler."""
        return Target.of(self.task, self.solver, freedom_of(get_action(self.action)))

    def make_core(self) -> Core:
        """Resolve the names and put the parts together."""
        target, action, reward = self.target(), get_action(self.action), get_reward(self.reward)
        denoiser = target.denoiser
        if isinstance(action, GuidanceMap):
            action.check(denoiser)
        check_elements(f"population={self.population}", self.population, *denoiser.shape)
        if callable(check := getattr(reward, "check", None)):
            try:
                check(denoiser, self.population)
            except ValueError as error:
                raise ValueError(
                    f"the reward {short(self.reward)} does not fit the task {short(self.task)}: {error}"
                ) from None
        if is_several(denoiser) and self.population > ROWS:
            raise ValueError(
                f"population must be at most {ROWS}, the noises that {self.task!r} has of a model in a row, got "
                f"{self.population}"
            )
        if self.budgets[1] * math.log1p(STEP_MARGIN) >= math.log(denoiser.sigma_max / denoiser.sigma_min):
            raise ValueError(
                f"{self.budgets[1]} steps do not fit between {denoiser.sigma_max:g} and {denoiser.sigma_min:g}: each "
                f"divides the level by at least 1 + {STEP_MARGIN:g}, so give fewer with num_steps"
            )
        if target.solver.name == "drawn" and not is_several(denoiser):
            raise ValueError(
                f"solver='drawn' is for tasks that are many models, and {self.task!r} is one: choose dpmpp_2m or euler"
            )
        problem = Problem(denoiser, target.solver, get_bank(denoiser, self.split, self.noises), Counted(denoiser))
        return Core(
            problem=problem,
            action_map=action,
            reward=reward,
            observation=self.make_observation(),
            population=self.population,
            max_steps=self.budgets[1],
        )

    def to_dict(self) -> dict[str, Any]:
        """Names and numbers, for YAML and provenance. Objects are given by their repr."""
        plain = (str, int, float, tuple)
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # asdict would take objects apart
        return {key: value if isinstance(value, plain) else short(value, 200) for key, value in values.items()}


def _plain(value: Any) -> Any:
    """Convert a numpy integer to a Python int."""
    return int(value) if isinstance(value, np.integer) else value


def _read(name: str) -> dict[str, Any] | None:
    """The content of a shipped file; None if there is none of this name."""
    file = resources.files("art_gym.envs_configs").joinpath(f"{name}.yaml")
    if not file.is_file():
        return None
    values: dict[str, Any] = parse_yaml(file.read_text(encoding="utf-8"))
    return values


@cache
def _shipped(name: str) -> dict[str, Any]:
    """The values of a shipped configuration. A task without a file of its name has the defaults."""
    if (found := _read(name)) is not None:
        return found
    task = task_of(name)
    if task is not None and (variant := _read(name.removeprefix(f"{task}_"))) is not None:
        return {**_shipped(task), **variant}
    if name not in TASKS:
        known = ", ".join(dict.fromkeys(configurations().values()))
        raise ValueError(
            f"no configuration {short(name)}: choose one of {known} (ids such as ARTDiffusion-v0 are for gym.make; "
            f"pass your own task as task=...)"
        )
    return {"task": name}


def load_config(name: str = DEFAULT, **overrides: Any) -> EnvConfig:
    """Load a shipped configuration by its name, and override single keys.

    Raises:
        ValueError: for an unknown name or key, or a value out of range.
    """
    if not isinstance(name, str):
        raise ValueError(f"config must be the name of a configuration, got {short(name)}")
    return make_config(EnvConfig, {**_shipped(name), **overrides})
