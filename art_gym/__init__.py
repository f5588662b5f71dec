"""art_gym: learn how a diffusion model should spend its sampling steps.

``import art_gym`` registers the environments and loads nothing heavy. Public names are imported at first use.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from art_gym.common.lazy import exports

__version__ = version("art-gym")

if TYPE_CHECKING:
    from art_gym.denoisers.base import Denoiser as Denoiser
    from art_gym.denoisers.function import FunctionDenoiser as FunctionDenoiser
    from art_gym.envs.config import load_config as load_config
    from art_gym.evaluation.policies import AdaptivePolicy as AdaptivePolicy
    from art_gym.evaluation.sampling import sample as sample
    from art_gym.schedules.grids.base import make_grid as make_grid
    from art_gym.schedules.schedule import Schedule as Schedule
    from art_gym.search.instant import instant as instant
    from art_gym.search.instant import instant_sampler as instant_sampler
    from art_gym.tasks.registry import get_task as get_task
    from art_gym.tasks.registry import register_task as register_task
    from art_gym.tasks.registry import task_names as task_names

__all__, __getattr__, __dir__ = exports(
    __name__,
    **{
        "denoisers.base": "Denoiser",
        "denoisers.function": "FunctionDenoiser",
        "envs.config": "load_config",
        "evaluation.policies": "AdaptivePolicy",
        "evaluation.sampling": "sample",
        "schedules.grids.base": "make_grid",
        "schedules.schedule": "Schedule",
        "search.instant": "instant instant_sampler",
        "tasks.registry": "get_task register_task task_names",
    },
)


from art_gym.envs.ids import register_environments  # noqa: E402 schedules read __version__

register_environments()
