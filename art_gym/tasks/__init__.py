"""Tasks: named denoisers, the noises that they start from, and the reference errors for scores."""

from art_gym.common.lazy import exports

__all__, __getattr__, __dir__ = exports(
    __name__,
    registry="TASKS get_task register_task resolve task task_names",
    noise_bank="NoiseBank get_bank",
    references="Reference find_reference score",
)
