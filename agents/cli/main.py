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
from .learn import Learn
from .listing import List
from .plot import Plot
from .references import References
from .reproduce import Reproduce
from .train import Train
from .train_denoiser import TrainDenoiser


class Command(Protocol):
    """A parsed subcommand."""

    def run(self) -> None:
        """Do it."""


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
