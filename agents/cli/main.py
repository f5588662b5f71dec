"""The command ``art-gym``: each subcommand is a frozen dataclass whose fields are its flags."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any, Protocol

import tyro

from art_gym.common.messages import one_line, place_of, told
from art_gym.common.signals import handling

from .bench import Bench
from .benchmark import Benchmark
from .demo import Demo
from .evaluate import Evaluate
from .export import Export
from .instant import Instant
from .learn import Learn
from .listing import List
from .plot import Plot
from .references import References
from .reproduce import Reproduce
from .tasks import names_a_module
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
    "benchmark": Benchmark,
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
    try:
        command = tyro.extras.subcommand_cli_from_dict(
            COMMANDS,
            prog="art-gym",
            description="Learn how a diffusion model should spend its sampling steps. --version prints the version.",
            args=arguments,
        )
        if names_a_module(command) and os.getcwd() not in sys.path:  # not for any command, since imports would find
            sys.path.append(os.getcwd())  # what lies in a stranger's folder; at the end, so that it hides no library
        with handling(signal.SIGTERM, signal.default_int_handler):  # timeout, SLURM and docker send it
            command.run()
        sys.stdout.flush()
    except BrokenPipeError:  # a reader such as head has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the exit must not write the rest either
        return 141  # like a program that SIGPIPE ended, because the work may be unfinished
    except (ValueError, OSError, MemoryError) as error:
        print(f"art-gym: {one_line(error) or 'too little memory'}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        said, place = str(error), place_of(error)
        if hasattr(command, "resume"):
            said = "the same command with --resume continues from what was saved, if anything was"
        where = f" in {place}" if place else ""
        print(f"art-gym: interrupted{where}{f'; {said}' if said else ''}", file=sys.stderr)
        return 130
    except Exception as error:
        if place_of(error) is None:  # a mistake of ours
            raise
        notes = getattr(error, "__notes__", [])
        print(f"art-gym: {'; '.join([told(error), *map(one_line, notes)])}", file=sys.stderr)
        return 2
    return 0
