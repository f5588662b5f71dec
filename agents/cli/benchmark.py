"""`art-gym benchmark`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

RESULTS = Path("benchmarks/results/leaderboard")


@dataclass(frozen=True)
class RunSuite:
    """Run what a file of results lacks. Stop it at any time, and run it again to go on.

    Attributes:
        suite: a suite in envs_configs/suites.
        methods: names, or classes such as closed_form; all by default.
        tasks: only these tasks of the suite; all by default.
        seeds: only these seeds; all of the suite by default.
        jobs: how many processes.
        backend: loky for processes of this machine, ray for a Ray cluster that runs.
        out: file of results. Lines are appended to it, and never overwritten.
        dry_run: only say what is missing, and about how long it takes.
        progress: show a progress bar.
    """

    suite: str = "v1"
    methods: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    jobs: int = 2
    backend: Literal["loky", "ray"] = "loky"
    out: Path = RESULTS / "v1.jsonl"
    dry_run: bool = False
    progress: bool = True

    def run(self) -> None:
        """Run it, and print what went wrong."""
        from ..benchmark import run
        from ..benchmark.method import METHODS
        from ..benchmark.results import read
        from ..benchmark.suite import load_suite

        lines = read([self.out])
        wanted = run.chosen(METHODS, self.methods)
        jobs = run.missing(load_suite(self.suite), wanted, self.tasks, self.seeds, lines)
        minutes = sum(run.expected(jobs, lines).values()) / 60
        print(f"{len(jobs)} runs are missing in {self.out}: about {minutes:.0f} minutes of one core")
        if self.dry_run:
            return
        for said in run.run(jobs, self.out, self.jobs, self.backend, self.progress):
            print(f"failed: {said}")


@dataclass(frozen=True)
class Report:
    """Write the leaderboard as Markdown and as a page for a browser, and draw the pictures.

    Attributes:
        suite: a suite in envs_configs/suites.
        results: files of results, yours beside ours.
        out: folder to write to.
    """

    suite: str = "v1"
    results: tuple[Path, ...] = (RESULTS / "v1.jsonl", RESULTS / "earlier.jsonl")
    out: Path = RESULTS

    def run(self) -> None:
        """Write it."""
        from ..benchmark.report import write_report

        print(write_report(self.suite, self.results, self.out))


@dataclass(frozen=True)
class SubmitCheck:
    """Check a file of results: its form, its cells, its scores, and the errors of the plans in it.

    Attributes:
        file: JSON lines, as docs/how-to/benchmark.md describes them.
        measure: how many plans are measured again, drawn at random; 0 for none.
    """

    file: Annotated[Path, tyro.conf.Positional]
    measure: int = 20

    def run(self) -> None:
        """Print what it holds. Raises a ValueError for the first mistake."""
        from ..benchmark.submitted import check

        print(check(self.file, self.measure))


@dataclass(frozen=True)
class MakeScale:
    """Compute the scale of a new suite, which is stored beside it. What is stored stays.

    Attributes:
        suite: a suite in envs_configs/suites.
        out: file to write, by default that of the suite.
    """

    suite: str = "v1"
    out: Path | None = None

    def run(self) -> None:
        """Compute it."""
        from tqdm import tqdm

        from ..benchmark.scale import make_scale
        from ..benchmark.suite import load_suite

        suite = load_suite(self.suite)
        out = self.out or Path(f"envs_configs/suites/{self.suite}.json")
        for _ in tqdm(make_scale(suite, out), total=len(suite.cells()), unit=" cells"):
            pass


@dataclass(frozen=True)
class Benchmark:
    """Compare methods on a suite: run it, report it, check a submission.

    Attributes:
        command: what to do.
    """

    command: tyro.conf.OmitSubcommandPrefixes[
        tyro.conf.OmitArgPrefixes[
            Annotated[RunSuite, tyro.conf.subcommand("run", prefix_name=False)]
            | Annotated[Report, tyro.conf.subcommand("report", prefix_name=False)]
            | Annotated[SubmitCheck, tyro.conf.subcommand("submit-check", prefix_name=False)]
            | Annotated[MakeScale, tyro.conf.subcommand("scale", prefix_name=False)]
        ]
    ]

    def run(self) -> None:
        """Do it."""
        self.command.run()
