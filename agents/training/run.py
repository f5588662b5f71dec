"""One call for all algorithms, agents and searches."""

from __future__ import annotations

from art_gym.search.base import SEARCHES

from ..runs.config import TrainConfig
from ..runs.folder import Run
from ..runs.outcome import Outcome
from .agents import train_agent
from .searches import train_search


def train(config: TrainConfig, run: Run, resume: bool = False, progress: bool = True) -> Outcome:
    """Train the agent or run the search that the configuration names, and write the schedule files.

    Raises:
        ValueError: as `train_agent` and `train_search` do, and if another process works in the folder.
    """
    with run.alone():
        outcome = (train_search if config.algo in SEARCHES else train_agent)(config, run, resume, progress)
        outcome.save(run.folder)
    return outcome
