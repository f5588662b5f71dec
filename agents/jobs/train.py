"""Train and report."""

from __future__ import annotations

from tqdm import tqdm

from art_gym.envs.config import EnvConfig
from art_gym.evaluation.edm_curve import EdmCurve
from art_gym.tasks.target import Target

from ..reports.comparison import Row, baselines
from ..reports.guided import write_guided_report
from ..reports.report import write_report
from ..runs.config import TrainConfig
from ..runs.folder import Run
from ..training.run import train


def train_and_report(config: TrainConfig, run: Run, resume: bool, progress: bool) -> str:
    """The command ``train``. Returns the report."""
    outcome = train(config, run, resume, progress)
    if outcome.as_policy and any(found.guidance is not None for found in outcome.as_policy.values()):
        return write_guided_report(run.folder, outcome, run.history())
    env_config = config.env_config()
    target = env_config.target()
    rows = _baselines_with_progress(target, list(outcome.plans), env_config, progress)
    return write_report(run.folder, target, outcome, [], rows, run.history(), EdmCurve(target))


def _baselines_with_progress(target: Target, budgets: list[int], config: EnvConfig, progress: bool) -> list[Row]:
    """`baselines`, with a progress bar."""
    with tqdm(desc="comparing", unit=" grids", disable=not progress) as bar:

        def tick(label: str) -> None:
            bar.set_postfix_str(label)
            bar.update()

        return baselines(target, budgets, tick, config)
