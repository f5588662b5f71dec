"""The suite's own TensorBoard tags, the same for agents and searches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stable_baselines3.common.logger import HParam, Image, Logger

from art_gym.envs.config import EnvConfig
from art_gym.evaluation.edm_curve import EdmCurve
from art_gym.evaluation.heldout import VALIDATION, VALIDATION_NOISES, Evaluation
from art_gym.evaluation.references import reference_on
from art_gym.tasks.references import score
from art_gym.tasks.target import Target

from ..reports.pictures import schedule_image
from ..runs.config import TrainConfig
from ..runs.folder import plain

PICTURE_EVERY = 4  # evaluations: TensorBoard shows ten pictures per tag, and drawing one takes 0.1 s


class Tracker:
    """Records evaluations on validation noise under ``art/``: error, score, steps saved, spread, and the schedule.

    It measures both ends of the score on the same noises. Errors on a few hundred noises differ visibly from those on
    the references' noises.

    Args:
        target: what to sample.
        config: of the environment, for HParams.
        budgets: the K to record.
    """

    def __init__(self, target: Target, config: EnvConfig, budgets: Iterable[int]) -> None:
        self.environment = config.to_dict()
        self.references = {k: reference_on(target, k, VALIDATION_NOISES, VALIDATION) for k in budgets}
        self.edm = EdmCurve(target, VALIDATION_NOISES, VALIDATION)
        self.recorded = dict.fromkeys(self.references, 0)

    def record_hyperparams(self, logger: Logger, config: TrainConfig, values: dict[str, Any]) -> None:
        """Log what distinguishes runs, for TensorBoard's HParams: algorithm, seed, environment, values."""
        metrics = {f"art/{name}/K{k}": 0.0 for k in self.references for name in ("heldout_error", "score")}
        told = {"algo": config.algo, "seed": config.seed, "env": self.environment, **values}
        logger.record("hparams", HParam(_flat(plain(told)), metrics), exclude="stdout")

    def record(self, logger: Logger, num_steps: int, evaluation: Evaluation) -> None:
        """Pass one budget's evaluation to an SB3 logger. Its ``dump`` writes it."""
        logger.record(f"art/heldout_error/K{num_steps}", evaluation.error)
        if (reference := self.references[num_steps]) is not None:
            logger.record(f"art/score/K{num_steps}", score(evaluation.error, reference))
        if evaluation.quality is None:
            logger.record(f"art/steps_saved/K{num_steps}", 1 - num_steps / self.edm.steps_for(evaluation.error))
        else:
            logger.record(f"art/accuracy/K{num_steps}", evaluation.quality.accuracy)
            logger.record(f"art/class_frechet/K{num_steps}", evaluation.quality.frechet)
        logger.record(f"art/spread/K{num_steps}", evaluation.spread)
        if self.recorded[num_steps] % PICTURE_EVERY == 0:
            image = Image(schedule_image(evaluation.levels), dataformats="HWC")
            logger.record(f"art/schedule/K{num_steps}", image, exclude=("stdout", "log", "json", "csv"))
        self.recorded[num_steps] += 1


def _flat(values: dict[str, Any], before: str = "") -> dict[str, str | float]:
    """Only numbers and texts, which HParams can show. A key in a dictionary becomes a name such as "env.task"."""
    flat: dict[str, str | float] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{before}{key}.")
        else:
            flat[before + key] = value if isinstance(value, str | int | float) else repr(value)
    return flat
