"""Schedules and samplers in the forms of other programs."""

from art_gym.common.lazy import exports

__all__, __getattr__, __dir__ = exports(
    __name__,
    diffusers="diffusers_arguments",
    k_diffusion="k_diffusion_sampler",
    scheduler="ARTScheduler",
)
