"""The command ``art-gym``: each subcommand is a frozen dataclass whose fields are its flags."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any, Protocol

import tyro

from art_gym.common.signals import handling

from .bench import Bench
from .demo import Demo
from .evaluate import Evaluate
from .export import Export
from .instant import Instant
from .learn import Learn
from .listing import List
from .plot import Plot
from .references import References
from .reproduce import Reproduce
from .train import Train
from .train_denoiser import TrainDenoiser
from .train_instant import TrainInstant


class Command(Protocol):
    """A parsed subcommand."""

    def run(self) -> None:
        """Run the command."""


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
    "instant": Instant,
    "train-denoiser": TrainDenoiser,
    "train-instant": TrainInstant,
    "demo": Demo,
}


def main(arguments: list[str] | None = None) -> int:
    """Parse and run. A user's mistake or a file that cannot be written gives one line on stderr and exit code 2."""
    import art_gym  # registers the ids

    if (sys.argv[1:] if arguments is None else arguments) == ["--version"]:
        print(f"art_gym {art_gym.__version__}")
        return 0

    command: Command | None = None
    if os.getcwd() not in sys.path:  # finds the user's my_tasks.py, and hides no library
        sys.path.append(os.getcwd())
    try:
        command = tyro.extras.subcommand_cli_from_dict(
            COMMANDS,
            prog="art-gym",
            description="Learn how a diffusion model should spend its sampling steps. --version prints the version.",
            args=arguments,
        )
        with handling(signal.SIGTERM, signal.default_int_handler):  # timeout, SLURM and docker send it
            command.run()
        sys.stdout.flush()
    except BrokenPipeError:  # a reader such as head has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the exit must not write the rest either
        return 141  # like a program that SIGPIPE ended, because the work may be unfinished
    except (ValueError, OSError) as error:
        print(f"art-gym: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        said = str(error)
        if hasattr(command, "resume"):
            said = "the same command with --resume continues from what was saved, if anything was"
        print(f"art-gym: interrupted{f'; {said}' if said else ''}", file=sys.stderr)
        return 130
    return 0
