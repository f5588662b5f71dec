"""Training with stable-baselines3: from a configuration to a run's folder with a schedule in it."""

from __future__ import annotations

import traceback
from dataclasses import replace

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from tqdm import tqdm

from art_gym.common.isolation import isolated
from art_gym.common.messages import one_line, place_of, short
from art_gym.envs import core
from art_gym.evaluation.heldout import HELDOUT

from ..algorithms.base import algorithm_class
from ..continuous_time import ARTRL
from ..runs.config import TrainConfig
from ..runs.folder import Run
from ..runs.outcome import Outcome
from .checkpoint import load_model
from .divergence import Diverged, divergence_named
from .instant_start import instant_start
from .policies import evaluator, make_outcome
from .progress import Bar, Progress
from .sampler_start import Fittable, sampler_start
from .setup import Setup
from .warm_start import Startable, warm_start


@isolated()
def train_agent(config: TrainConfig, run: Run, resume: bool = False, progress: bool = True) -> Outcome:
    """Train an SB3 agent. The run's folder then holds the best model and the history; `train` adds the schedule files.

    Args:
        config: what to train.
        run: the folder to write to.
        resume: continue from the last checkpoint, if there is one.
        progress: show a progress bar.

    Raises:
        ValueError: for a configuration that does not fit, a folder in use, or training that diverges.
        KeyboardInterrupt: after it saves the state, if training has begun.
    """
    torch.set_num_threads(1)  # the networks are tiny: on a busy machine, more threads only wait for each other
    setup = _checked(Setup.resolve(config))
    model = setup.make_model(run.tensorboard)  # raises for a wrong value before the folder is written
    run.prepare(config, {"env": setup.env_config.to_dict(), **setup.resolved}, resume)
    checkpoint = run.folder / "checkpoint.pt"
    if resume and checkpoint.exists():
        load_model(model, checkpoint)
        # The checkpoint holds no random streams. The new seed makes a resumed run repeatable too.
        model.set_random_seed((config.seed + model.num_timesteps) % 2**32)
    bank = setup.env_config.make_core().problem.bank
    bank.ensure(bank.size)  # computes endpoints before the clock starts, as searches do
    callback = Progress(setup, run)
    if setup.searches and not model.num_timesteps:
        assert isinstance(model, Startable)
        warm_start(model, setup.budgets[0], setup.searches, config.seed, progress)
    if setup.start_evaluations and not model.num_timesteps:
        assert isinstance(model, Fittable)
        low, high = setup.env_config.budgets
        budgets = range(max(low, 2), high + 1)
        sampler_start(model, budgets, setup.start_evaluations, setup.n_timesteps, config.seed, progress)
    if setup.instant and not model.num_timesteps:
        assert isinstance(model, Fittable)
        instant_start(model, setup.n_timesteps, config.seed, progress)
    if model.num_timesteps < setup.n_timesteps:
        _learn(model, setup, callback, progress)
    as_start = None
    if (started := run.folder / "start.pt").exists():
        load_model(model, started)
        as_start = {k: evaluator(setup, model)(k) for k in setup.budgets}
    load_model(model, run.folder / "best.pt")
    return replace(make_outcome(setup, evaluator(setup, model), run.history()[-1]), as_start=as_start)


def _checked(setup: Setup) -> Setup:
    """Return the setup. Raises a ValueError for values that suit an environment, but not a run."""
    if issubclass(algorithm_class(setup.config.algo), ARTRL) and "action" in setup.config.env:
        raise ValueError(f"{setup.config.algo} steers its own clock and does not use action: leave it out")
    if setup.env_config.population > HELDOUT:  # its noises would overlap those that choose the best model
        raise ValueError(
            f"population must be at most {HELDOUT}, the number of noises that results are reported on, got "
            f"{setup.env_config.population}"
        )
    return setup


def _learn(model: BaseAlgorithm, setup: Setup, callback: Progress, progress: bool) -> None:
    """Train to the end. Explain errors, and save the state on an interrupt."""
    algo, hyperparams = setup.config.algo, setup.config.hyperparams
    done, total = model.num_timesteps, setup.n_timesteps
    bar = tqdm(total=total, initial=done, desc=algo, unit=" steps", disable=not progress)
    try:
        with bar, divergence_named(model):
            model.learn(total - done, [callback, Bar(bar)], reset_num_timesteps=False, tb_log_name="run")
    except KeyboardInterrupt as stop:
        if callback.points:  # before the first evaluation only the warm start is lost, and a resumed run repeats it
            callback.save()  # at once: a second interrupt may stop the evaluation that follows
            if place_of(stop) is None or core.__file__ not in _through(
                stop
            ):  # else a task of one's own may take for ever
                callback.finish()
        raise
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError) as error:
        # from a value that the algorithm first uses here
        if not hyperparams or core.__file__ in _through(error):  # the error comes from the user's own part
            raise
        raise ValueError(f"{algo} cannot be trained with {short(hyperparams)}: {one_line(error, 200)}") from error
    except Diverged as error:
        folder = callback.run.folder
        kept = f"the best policy so far is kept in {folder}" if callback.points else "nothing was saved yet"
        raise ValueError(
            f"{error}: lower learning_rate or scale the reward down, and look for NaN in the hyperparameters; {kept}"
        ) from None


def _through(error: BaseException) -> set[str]:
    """The files that an error came through."""
    return {frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)}
