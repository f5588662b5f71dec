"""An SB3 model's learned state in one file that loads with ``weights_only=True``: no code runs on load.

SB3's own zip files hold pickled Python objects. Here the run's configuration rebuilds everything but the state.
"""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from art_gym.common.limits import check_whole

from ..continuous_time import ARTRL
from .state_file import read_state, write_state

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
    write_state(content, file)


def load_model(model: BaseAlgorithm, file: Path) -> None:
    """Put a file's state into a model of the same configuration.

    Raises:
        ValueError: if the file is missing, damaged, or holds something else.
    """
    try:
        _put(model, read_state(file))
    except FileNotFoundError:
        raise ValueError(
            f"there is no checkpoint {file}: if its folder holds a run, continue it with train --resume"
        ) from None
    except ValueError as error:
        raise ValueError(f"cannot load {file}: {error}: train again in another folder") from None
    except Exception as error:  # of content with other keys, types or shapes
        raise ValueError(
            f"cannot load {file}: its content does not fit the run's configuration ({type(error).__name__}): train "
            f"again in another folder"
        ) from None


def _put(model: BaseAlgorithm, content: dict[str, Any]) -> None:
    """Raises a ValueError or other errors for content that does not fit."""
    steps, updates = (check_whole(name, content[name], 0, 2**62) for name in ("num_timesteps", "updates"))
    variables, names = content["variables"], _variables(model)
    if sorted(variables) != sorted(names) or any(
        data.shape != attrgetter(n)(model).shape for n, data in variables.items()
    ):
        raise ValueError(f"it has other variables than {', '.join(names) or 'none'}")
    model.set_parameters(content["parameters"], exact_match=True, device="cpu")
    for name, data in variables.items():
        attrgetter(name)(model).data = data
    model.num_timesteps, model._n_updates = steps, updates
    if isinstance(model, ARTRL):
        model.critic.weights = _vector(content["critic"])
    buffer = content.get("buffer")
    if buffer is not None and isinstance(model, OffPolicyAlgorithm) and model.replay_buffer is not None:
        _put_buffer(model.replay_buffer, buffer)


def _put_buffer(buffer: ReplayBuffer, content: dict[str, Any]) -> None:
    full, arrays = bool(content["full"]), content["arrays"]
    pos = check_whole("the place in the replay buffer", content["pos"], 0, buffer.buffer_size - 1)
    used = buffer.buffer_size if full else pos
    for name in _BUFFER:
        _fill(getattr(buffer, name)[:used], arrays[name])
    buffer.pos, buffer.full = pos, full
    if used:  # other episodes follow: n-step returns must not cross over
        buffer.timeouts[pos - 1] = 1 - buffer.dones[pos - 1]


def _vector(data: torch.Tensor) -> np.ndarray:
    """The weights of a critic, whose number follows from what it has seen."""
    if data.ndim != 1 or not data.isfinite().all():
        raise ValueError(f"its critic has weights of shape {tuple(data.shape)}, or not finite")
    found: np.ndarray = data.double().numpy()
    return found


def _fill(array: np.ndarray, data: torch.Tensor) -> None:
    if tuple(data.shape) != array.shape:
        raise ValueError(f"it has an array of shape {tuple(data.shape)} where {array.shape} is expected")
    array[:] = data.numpy()


def _variables(model: BaseAlgorithm) -> list[str]:
    return model._get_torch_save_params()[1]
