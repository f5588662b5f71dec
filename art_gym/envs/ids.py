"""The registered ids, which follow from the tasks and the shipped configurations."""

from __future__ import annotations

import re
from importlib import resources

from gymnasium.envs.registration import register, registry

from art_gym.tasks.registry import TASKS

DEFAULT = "digits"  # the configuration of ARTDiffusion-v0
ACRONYMS = {"Mnist": "MNIST"}


def register_environments() -> None:
    """Register an id for each task and each variant of a task, and ARTDiffusion-v0 for the default."""
    for name, config in configurations().items():
        if name not in registry:
            register(
                id=name,
                entry_point="art_gym.envs.env:ARTDiffusionEnv",
                vector_entry_point="art_gym.envs.vector_env:ARTDiffusionVectorEnv",
                kwargs={"config": config},
            )


def configurations() -> dict[str, str]:
    """The name of the configuration for each registered id.

    The configuration of a task has the task's name. The file "ring_2d_per_sample.yaml" in envs_configs is a variant of
    the task "ring_2d", with the id ARTDiffusion-Ring2D-PerSample-v0. The file "sampler.yaml", which begins with no
    task's name, is a variant of every task, such as ARTDiffusion-Ring2D-Sampler-v0, and of ARTDiffusion-v0.
    """
    files = [entry.name for entry in resources.files("art_gym.envs_configs").iterdir()]
    names = sorted(file.removesuffix(".yaml") for file in files if file.endswith(".yaml"))
    of_all = [name for name in names if task_of(name) is None]
    found = {"ARTDiffusion-v0": DEFAULT} | {env_id("", variant): f"{DEFAULT}_{variant}" for variant in of_all}
    for task in TASKS:
        found[env_id(task)] = task
        own = [name.removeprefix(f"{task}_") for name in names if name not in TASKS and task_of(name) == task]
        found |= {env_id(task, variant): f"{task}_{variant}" for variant in (*own, *of_all)}
    return found


def task_of(name: str) -> str | None:
    """The task that the name of a configuration begins with; None if it begins with none."""
    return max((task for task in TASKS if f"{name}_".startswith(f"{task}_")), key=len, default=None)


def env_id(task: str, variant: str = "") -> str:
    """The registered id of a task's environment. For "ring_2d" it is ARTDiffusion-Ring2D-v0."""
    return "-".join(["ARTDiffusion", *(_camel(name) for name in (task, variant) if name), "v0"])


def variant_id(env_id: str) -> str:
    """The id of a variant of every task, for the id of one task's: ARTDiffusion-Sampler-v0."""
    parts = env_id.split("-")
    return "-".join([parts[0], *parts[2:]]) if len(parts) == 4 else env_id


def _camel(name: str) -> str:
    camel = (word[:1].upper() + word[1:] for word in name.split("_"))
    words = "".join(ACRONYMS.get(word, word) for word in camel)
    return re.sub(r"(\d)([a-z])", lambda match: match[1] + match[2].upper(), words)  # 2d becomes 2D
