"""The command ``art-gym``: each subcommand is a frozen dataclass whose fields are its flags."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import tyro

from .signals import handling


class Command(Protocol):
    """A parsed subcommand."""

    def run(self) -> None:
        """Do it."""


@dataclass(frozen=True)
class List:
    """List environments, tasks, solvers, grids, rewards, action maps and algorithms."""

    def run(self) -> None:
        """Print them."""
        import gymnasium as gym

        from art_gym.actions import ACTIONS
        from art_gym.observations import GROUPS
        from art_gym.rewards import REWARDS
        from art_gym.schedules.grids import GRIDS
        from art_gym.solvers import SOLVERS
        from art_gym.tasks import task_names

        from .runs import RIVALS

        entries = {
            "environments": [key for key in gym.registry if key.startswith("ARTDiffusion")],
            "tasks": task_names(),
            "solvers": SOLVERS,
            "grids": GRIDS,
            "rewards": REWARDS,
            "action maps": ACTIONS,
            "observations": GROUPS,
            "algorithms": [
                "ppo",
                "sac",
                "art_rl",
                *RIVALS,
                "any class of stable-baselines3 or sb3-contrib",
            ],
        }
        for title, names in entries.items():
            print(f"{title + ':':14} {', '.join(names)}")


@dataclass(frozen=True)
class Train:
    """Train an agent (or run a rival) and write its schedule, report and pictures.

    Attributes:
        env: registered id; my_module:ARTDiffusion-v0 imports my_module first, where a --task of your own is registered.
        algo: ppo, sac, art_rl, any SB3 or sb3-contrib class by name; without RL, cma, gradient or defect.
        seed: of everything random.
        task: another task than the id's; my_module:name imports my_module first, as in the id.
        solver: another solver than the id's.
        num_steps: K, or two numbers lo hi to train for a range of budgets.
        population: latents that one clock steers.
        reward: a name that `art-gym list` shows.
        action: a name that `art-gym list` shows.
        observation: groups that the agent sees.
        hyperparams: names and values that override the YAML, as in: learning_rate 1e-3 batch_size 8K use_sde true
            policy_kwargs.net_arch "[64, 64]".
        timesteps: environment steps, instead of the number in the YAML of hyperparameters; of defect, which plays no
            episodes, evaluations of the denoiser for each K.
        out: folder of the run; by default under runs/.
        resume: go on with an interrupted run in that folder.
        progress: show a progress bar.
    """

    env: str = "ARTDiffusion-v0"
    algo: str = "ppo"
    seed: int = 0
    task: str | None = None
    solver: str | None = None
    num_steps: int | tuple[int, int] | None = None
    population: int | None = None
    reward: str | None = None
    action: str | None = None
    observation: tuple[str, ...] | None = None
    hyperparams: dict[str, str] | None = None
    timesteps: int | None = None
    out: Path | None = None
    resume: bool = False
    progress: bool = True

    def run(self) -> None:
        """Train and report."""
        from .pipeline import train_and_report
        from .runs import Run, TrainConfig

        keys = ("task", "solver", "num_steps", "population", "reward", "action", "observation")
        overrides = {key: getattr(self, key) for key in keys if getattr(self, key) is not None}
        env = self.env
        if self.task is not None:
            module, overrides["task"] = _imported_task(self.task)
            if module and ":" not in env:
                env = f"{module}:{env}"  # in the run's configuration, so that its folder can be evaluated
            elif module and env.rpartition(":")[0] != module:
                raise ValueError(f"--env {env} and --task {self.task} name two modules: import one in the other")
        values = dict(self.hyperparams or {})
        config = TrainConfig(env, self.algo.lower(), self.seed, overrides, values, self.timesteps)
        folder = self.out or Path("runs") / f"{self.env}_{self.algo}_s{self.seed}"
        if self.resume and not Run(folder).has_results():
            print(f"art-gym: {folder} holds nothing to go on with: a new run begins there", file=sys.stderr)
        print(train_and_report(config, Run(folder), self.resume, self.progress))
        print(f"\nwritten to {folder}: report.md, the schedule files, TensorBoard logs")


def _imported_task(task: str) -> tuple[str, str]:
    """The module and the name of a task that was typed, "my_module:name", after the module is imported."""
    from .runs import imported

    return ("", task) if task.startswith("model:") else imported(task)  # "model:" stands before what is no task


@dataclass(frozen=True)
class Evaluate:
    """Evaluate schedule files, a run's folder, or named grids on held-out noise, beside EDM's grid.

    Attributes:
        what: schedule files, run folders, or grids by name as in edm:10 (name:K).
        task: for schedules that do not name one, or to evaluate them elsewhere; my_module:name imports my_module first,
            where the task of your own is registered. A run's folder does that by itself, a schedule file never.
        solver: likewise.
        noises: how many held-out noises.
    """

    what: Annotated[tuple[str, ...], tyro.conf.Positional]
    task: str | None = None
    solver: str | None = None
    noises: int = 2048

    def run(self) -> None:
        """Print the table."""
        from .pipeline import evaluate_things

        task = None if self.task is None else _imported_task(self.task)[1]
        print(evaluate_things(self.what, task, self.solver, self.noises))


@dataclass(frozen=True)
class Export:
    """Print a schedule as a sampler takes it.

    Attributes:
        schedule: a schedule file, or a run's folder: then all its schedules, as a JSON object of levels by K.
        format: sigmas (JSON list for k-diffusion; the default), diffusers (JSON list for EulerDiscreteScheduler; a flow
            model's schedule needs --scheduler), comfyui (one line; of a flow model s = σ/(1+σ), which it samples in),
            csv, json (the schedule file itself). All but comfyui have σ, for flow models too.
        scheduler: local folder of a diffusers scheduler or pipeline: print the arguments of its set_timesteps as a
            JSON object instead, such as {"timesteps": [...]}; a flow's as s, with its shift undone.
        num_steps: resample to this K first.
        out: write to this file instead.
    """

    schedule: Annotated[Path, tyro.conf.Positional]
    format: Literal["sigmas", "diffusers", "comfyui", "csv", "json"] | None = None
    scheduler: Path | None = None
    num_steps: int | None = None
    out: Path | None = None

    def run(self) -> None:
        """Print or write it."""
        from art_gym.files import write_text

        if self.out is not None and self.out.resolve() == self.schedule.resolve():
            raise ValueError(f"{self.out} is the schedule itself, and would be lost: name another file with --out")
        text = self._text()
        if self.out is None:
            print(text)
        else:
            write_text(self.out, text + "\n")

    def _text(self) -> str:
        from .exporting import exported, exported_for, exported_table

        if self.scheduler and self.format not in (None, "diffusers"):
            raise ValueError(f"--scheduler prints diffusers' arguments: leave out --format {self.format}")
        if self.schedule.is_dir():
            if self.scheduler is not None or self.num_steps is not None or self.format not in (None, "sigmas"):
                raise ValueError(
                    f"{self.schedule} is a folder, of which the levels of all its schedules are printed as they are: "
                    f"name one of its schedule files"
                )
            return exported_table(self.schedule)
        if self.scheduler is not None:
            return exported_for(self.schedule, self.scheduler, self.num_steps)
        return exported(self.schedule, self.format or "sigmas", self.num_steps)


@dataclass(frozen=True)
class Plot:
    """Draw schedules beside EDM's grid, and the training curve of a run's folder.

    Attributes:
        what: schedule files and run folders.
        out: folder for the pictures.
    """

    what: Annotated[tuple[Path, ...], tyro.conf.Positional]
    out: Path = Path("runs/plots")

    def run(self) -> None:
        """Draw them and print the file names."""
        from .pipeline import plot_things

        for file in plot_things(self.what, self.out):
            print(file)


@dataclass(frozen=True)
class Bench:
    """Measure the environments against the bare sampling loop, as ratios in one run.

    Attributes:
        seconds: per measurement.
    """

    seconds: float = 2.0

    def run(self) -> None:
        """Print the ratios."""
        from .bench import bench

        print(bench(self.seconds))


@dataclass(frozen=True)
class References:
    """Compute the best fixed grids that scores are read against (slow; what exists is kept).

    Attributes:
        tasks: which tasks; the built-in ones by default. my_module:name imports my_module first.
        solvers: which solvers.
        steps: which K.
        file: where to; the package's own data by default.
        seed: of the search.
        again: compute what exists too, and keep the better of the two on training noise.
        candidates: files of JSON lines with schedules that were learned: polish these instead of a search.
    """

    tasks: tuple[str, ...] = ()
    solvers: tuple[str, ...] = ("dpmpp_2m", "euler", "heun")
    steps: tuple[int, ...] = (5, 7, 10, 18)
    file: Path | None = None
    seed: int = 0
    again: bool = False
    candidates: tuple[Path, ...] = ()

    def run(self) -> None:
        """Compute and store them."""
        from art_gym.oracle import compute_all
        from art_gym.references import REFERENCES_FILE
        from art_gym.tasks import BUILT_IN

        file = self.file or REFERENCES_FILE
        wanted = [_imported_task(task)[1] for task in self.tasks] or BUILT_IN, self.solvers, self.steps
        compute_all(*wanted, file, self.seed, self.again, self.candidates)


@dataclass(frozen=True)
class Demo:
    """Train on the default environment, compare with everything else, and write runs/demo.

    It takes four minutes, and twice that on slow cores.

    Attributes:
        out: folder of the run; an earlier demo there is replaced.
        seed: of everything random.
        quick: a twentieth of the training, to see that all is in place.
    """

    out: Path = Path("runs/demo")
    seed: int = 0
    quick: bool = False

    def run(self) -> None:
        """Train, compare, draw."""
        from .demo import demo

        print(demo(self.out, self.seed, self.quick))


OF_A_MODEL = (
    *("scheduler", "prediction_type", "rounding", "shape", "data_std", "device", "dtype", "variant", "max_batch"),
    "max_memory",
)


@dataclass(frozen=True)
class Learn:
    """Find a better schedule for a model of your own: a schedule file, a report and pictures, within a budget.

    Attributes:
        model: local folder of a diffusers pipeline or model, with safetensors.
        task: a task's name, instead of a model; my_module:name imports my_module first, where your own is registered.
        steps: K.
        solver: euler (DDIM), heun, dpmpp_2m or rk4.
        budget: time or denoiser evaluations, as 90s, 10m, 1.5h or 200000nfe; of the search: loading the model and the
            report come on top.
        out: schedule file; the report and the pictures go beside it.
        scheduler: for a model alone, the folder of the scheduler that it was trained with.
        prediction_type: what the model predicts, instead of what its scheduler says: epsilon, v_prediction, sample or
            flow_prediction.
        rounding: call the model at the nearest of its timesteps, as samplers do that know whole ones only.
        shape: of one latent, as channels height width, where the model does not say it or takes others.
        data_std: standard deviation of the data; by default 1.0 for a pipeline with a VAE and 0.5, that of images in
            [-1, 1], for others.
        device: cpu, cuda, mps.
        dtype: of the network; everything around it is computed in float32.
        variant: of the weight files, such as fp16.
        max_batch: most latents in one call of the model.
        max_memory: GiB that the tensors of one call may take, weights aside: fewer latents where max_batch take more.
        seed: of the noises and the search.
        agent: an RL agent that goes on where Gauss-Newton stops (ppo, sac, any class of stable-baselines3 or
            sb3-contrib by name), instead of CMA-ES.
        progress: show a progress bar.
    """

    model: Path | None = None
    task: str | None = None
    steps: int = 8
    solver: str = "dpmpp_2m"
    budget: str = "10m"
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("schedule.json")
    scheduler: Path | None = None
    prediction_type: str | None = None
    rounding: bool = False
    shape: tuple[int, int, int] | None = None
    data_std: float | None = None
    device: str = "cpu"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    variant: str | None = None
    max_batch: int = 64
    max_memory: float | None = None
    seed: int = 0
    agent: str | None = None
    progress: bool = True

    def run(self) -> None:
        """Learn and report."""
        from art_gym.tasks import get_task

        from .budget import Budget
        from .learn import Learner, check_request
        from .loading import load_model

        budget = Budget.parse(self.budget)
        if (self.model is None) == (self.task is None):
            raise ValueError("name either --model, the folder of a diffusers model, or --task, a task's name")
        beside = [name for name in OF_A_MODEL if getattr(self, name) != getattr(Learn, name)]
        if self.task is not None and beside:
            names = ", ".join(f"--{name.replace('_', '-')}" for name in beside)
            raise ValueError(f"only with --model can there be {names}: the task {self.task!r} is made as it is")
        task = "" if self.task is None else _imported_task(self.task)[1]
        check_request(self.steps, self.solver, self.seed, self.out, self.agent)  # before a large model is loaded
        if self.model is not None:
            denoiser = load_model(self.model, **{name: getattr(self, name) for name in OF_A_MODEL})
        else:
            denoiser = get_task(task)
        name = task or self.model.resolve().name  # type: ignore[union-attr]
        options = budget, self.out, self.seed, self.progress, self.agent
        print(Learner(denoiser, name, self.steps, self.solver, *options).run())
        print(f"written: {self.out}, {self.out.stem}_report.md and pictures beside it")


@dataclass(frozen=True)
class TrainDenoiser:
    """Train one of the shipped networks again.

    Attributes:
        name: digits, photos, or digits_conv (a convolutional net that was tried for the digits).
        kind: the denoiser, or the small classifier whose features images are compared in.
        out: weight file (safetensors); checkpoints and TensorBoard logs go beside it.
        seed: of everything random.
        updates: instead of the recipe's number.
        resume: go on from the last checkpoint.
        progress: show a progress bar.
    """

    name: Annotated[str, tyro.conf.Positional]
    kind: Literal["denoiser", "classifier"] = "denoiser"
    out: Path | None = None
    seed: int = 0
    updates: int | None = None
    resume: bool = False
    progress: bool = True

    def run(self) -> None:
        """Train and print the facts."""
        from .denoiser_training import train_classifier, train_denoiser

        file = self.out or Path("runs") / f"{self.name}_{'net' if self.kind == 'denoiser' else 'lenet'}.safetensors"
        if self.kind == "classifier" and self.resume:
            raise ValueError("a classifier is trained in a minute and has no checkpoints: leave --resume out")
        if file.exists() and not self.resume:
            raise ValueError(f"{file} exists already: remove it, or name another with --out")
        if self.kind == "classifier":
            facts = train_classifier(self.name, file, self.seed, *(() if self.updates is None else (self.updates,)))
        else:
            facts = train_denoiser(self.name, file, self.seed, self.resume, self.progress, self.updates)
        print(f"written to {file}: " + ", ".join(f"{key} {value:.4g}" for key, value in facts.items()))


@dataclass(frozen=True)
class Reproduce:
    """Run a study of docs/results.md: its table, its plot and the JSON lines behind them; what is there is kept.

    Attributes:
        study: theory (what ART's theory says, measured), table1 (the paper's), dual (dual-weighted stiffness), defect
            (other solvers than Euler), per_sample (policies that see the latents), headroom (such policies by
            gradients through the solver), transfer (to other K and tasks), networks (the shipped ones), discount (by
            clock time, for PPO and SAC), choices (ART-RL's actors, advantages and critics beside each other), floors
            (what is scored without learning anything).
        seeds: of what is learned.
        out: folder.
        quick: a fraction of the training, to see that all is in place.
    """

    study: Annotated[
        Literal[
            "theory",
            "table1",
            "dual",
            "defect",
            "per_sample",
            "headroom",
            "transfer",
            "networks",
            "discount",
            "choices",
            "floors",
        ],
        tyro.conf.Positional,
    ]
    seeds: tuple[int, ...] = (0, 1, 2)
    out: Path = Path("runs/reproduce")
    quick: bool = False

    def run(self) -> None:
        """Run it and print the table."""
        from .reproduce import (
            choices,
            discount,
            floors,
            grids,
            headroom,
            networks,
            per_sample,
            table1,
            theory,
            transfer,
        )

        studies = {
            "theory": theory.theory,
            "table1": table1.table1,
            "dual": grids.dual,
            "defect": grids.defects,
            "per_sample": per_sample.per_sample,
            "headroom": headroom.headroom,
            "transfer": transfer.transfer,
            "networks": networks.networks,
            "discount": discount.discount,
            "choices": choices.choices,
            "floors": floors.floor_scores,
        }
        print(studies[self.study](self.out, self.seeds, self.quick))


COMMANDS: dict[str, Any] = {
    "list": List,
    "train": Train,
    "evaluate": Evaluate,
    "export": Export,
    "plot": Plot,
    "bench": Bench,
    "references": References,
    "reproduce": Reproduce,
    "learn": Learn,
    "train-denoiser": TrainDenoiser,
    "demo": Demo,
}


def main(arguments: list[str] | None = None) -> int:
    """Parse and run; a mistake of the user, or a file that cannot be written, is one line on stderr, exit code 2."""
    import art_gym  # registers the ids

    if (sys.argv[1:] if arguments is None else arguments) == ["--version"]:
        print(f"art_gym {art_gym.__version__}")
        return 0

    command: Command | None = None
    if os.getcwd() not in sys.path:  # where a user's my_tasks.py lies; at the end, so that it hides no library
        sys.path.append(os.getcwd())
    try:
        command = tyro.extras.subcommand_cli_from_dict(
            COMMANDS,
            prog="art-gym",
            description="Learn how a diffusion model should spend its sampling steps (--version: of art_gym).",
            args=arguments,
        )
        with handling(signal.SIGTERM, signal.default_int_handler):  # timeout, SLURM, docker: it ends as by Ctrl-C
            command.run()
        sys.stdout.flush()
    except BrokenPipeError:  # of a reader such as head, who has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left is not written at exit either
        return 141  # as a program that SIGPIPE ends: what was to be done may not be
    except (ValueError, OSError) as error:
        print(f"art-gym: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        said = str(error)
        if hasattr(command, "resume"):
            said = "the same command with --resume goes on from what was saved, if anything was"
        print(f"art-gym: interrupted{f'; {said}' if said else ''}", file=sys.stderr)
        return 130
    return 0
