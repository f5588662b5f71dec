"""An SB3 model's learned state in one file that loads with ``weights_only=True``: no code runs on load.

SB3's own zip files hold pickled Python objects. Here the run's configuration rebuilds everything but the state.
"""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from ..continuous_time import ARTRL

_BUFFER = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


def save_model(model: BaseAlgorithm, file: Path, with_buffer: bool) -> None:
    """Write parameters, optimizers, the number of steps, and on demand an off-policy algorithm's replay buffer.

    For ART-RL, also write the critic's weights, which are not parameters of its policy.
    """
    content: dict[str, Any] = {
        "parameters": model.get_parameters(),
        "variables": {name: attrgetter(name)(model).data for name in _variables(model)},
        "num_timesteps": model.num_timesteps,
        "updates": model._n_updates,
    }
    if isinstance(model, ARTRL):
        content["critic"] = torch.from_numpy(model.critic.weights)
    if with_buffer and isinstance(model, OffPolicyAlgorithm) and model.replay_buffer is not None:
        buffer = model.replay_buffer
        used = buffer.buffer_size if buffer.full else buffer.pos
        arrays = {name: torch.from_numpy(getattr(buffer, name)[:used].copy()) for name in _BUFFER}
        content["buffer"] = {"arrays": arrays, "pos": buffer.pos, "full": buffer.full}
    torch.save(content, file)


def load_model(model: BaseAlgorithm, file: Path) -> None:
    """Put a file's state into a model of the same configuration.

    Raises:
        ValueError: if the file is missing, damaged, or holds something else.
    """
    try:
        content = torch.load(file, weights_only=True, map_location="cpu")
        model.set_parameters(content["parameters"], exact_match=True, device="cpu")
        for name, data in content["variables"].items():
            attrgetter(name)(model).data = data
        model.num_timesteps = content["num_timesteps"]
        model._n_updates = content["updates"]
        if isinstance(model, ARTRL):
            model.critic.weights = content["critic"].numpy()
        buffer = content.get("buffer")
    except FileNotFoundError:
        raise ValueError(
            f"there is no checkpoint {file}: if its folder holds a run, continue it with train --resume"
        ) from None
    except Exception as error:  # torch raises many kinds for a damaged file
        raise ValueError(f"cannot load {file}: {type(error).__name__}: {str(error).splitlines()[0]}") from None
    if buffer is not None and isinstance(model, OffPolicyAlgorithm) and model.replay_buffer is not None:
        for name, data in buffer["arrays"].items():
            getattr(model.replay_buffer, name)[: len(data)] = data.numpy()
        model.replay_buffer.pos, model.replay_buffer.full = buffer["pos"], buffer["full"]
        if buffer["pos"] or buffer["full"]:  # other episodes follow: n-step returns must not cross over
            last = buffer["pos"] - 1
            model.replay_buffer.timeouts[last] = 1 - model.replay_buffer.dones[last]


def _variables(model: BaseAlgorithm) -> list[str]:
    return model._get_torch_save_params()[1]
