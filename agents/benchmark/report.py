"""The leaderboard: tables, pictures and a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from art_gym.common.files import write_text
from art_gym.tasks.registry import BUILT_IN, NETWORKS

from . import pictures
from .method import METHODS
from .page import write_page
from .results import Line, read
from .scale import load_scale
from .suite import load_suite
from .tables import coverages, described, entries, runs_of, table

SECTIONS = {"exact": BUILT_IN, "networks": NETWORKS}  # all other tasks are families
FAMILIES = "families"
ACTIONS = ("grid", "sampler")


def write_report(suite: str, files: Iterable[Path], out: Path) -> str:
    """Write leaderboard.md, leaderboard.html and pictures. Returns the Markdown.

    Args:
        suite: its name.
        files: of results.
        out: folder to write to.

    Raises:
        ValueError: without any result of the suite, or for a file that holds none.
    """
    suite_cells, scale = set(load_suite(suite).cells()), load_scale(suite)
    found = [line for line in read(files) if line.suite == suite and line.cell in suite_cells]
    lines = [replace(line, score=scale[line.cell].score(line.error, line.seed)) for line in found]
    if not lines:
        raise ValueError(f"no results of suite {suite} in {', '.join(map(str, files))}: run it first")
    parts = [f"# Suite {suite}", _facts(lines)]
    for section in (*SECTIONS, FAMILIES):
        for actions in ACTIONS:
            some = [line for line in lines if section_of(line.task) == section and line.actions == actions]
            if some:
                parts += _section(f"{section}, {actions}s", some, suite, out / f"{section}_{actions}")
    parts += ["## Methods", _sources(lines)]
    text = "\n\n".join(parts) + "\n"
    write_text(out / "leaderboard.md", text)
    write_page(suite, lines, out / "leaderboard.html")
    return text


def section_of(task: str) -> str:
    """Under which heading a task stands."""
    return next((name for name, tasks in SECTIONS.items() if task in tasks), FAMILIES)


def _facts(lines: Sequence[Line]) -> str:
    commits = ", ".join(sorted({line.commit for line in lines}))
    hours = sum(line.seconds for line in lines) / 3600
    return (
        f"{len(lines):,} runs in {hours:.1f} CPU hours, of commits {commits}. A score of 0 is EDM's grid, 1 the best "
        f"grid or sampler known. Each table compares methods on the same cells. Bold is the best of a class."
    )


def _section(title: str, lines: Sequence[Line], suite: str, stem: Path) -> list[str]:
    runs, scale = runs_of(lines), load_scale(suite)
    parts = [f"## {title.capitalize()}"]
    tables = {cells: entries(runs, cells, scale) for cells in coverages(runs)}
    # Pictures show the cells of most tasks in which most methods have a result.
    shown = max(tables, key=lambda cells: (len({cell.task for cell in cells}), len(tables[cells])), default=None)
    for cells, found in tables.items():
        parts += [f"On {described(cells)}:", table(found)]
        if cells == shown:
            drawn = {name: getattr(pictures, name) for name in ("scores", "profiles", "costs")}
            for name, draw in drawn.items():
                file = draw(stem.with_name(f"{stem.name}_{name}.png"), found)
                parts.append(f"![{title}: {name}]({file.name})")
    return parts


def _sources(lines: Iterable[Line]) -> str:
    """Where each method comes from."""
    names = sorted({line.algorithm for line in lines})
    known = [(name, METHODS[name]) for name in names if name in METHODS]
    rows = [f"- `{name}` ({method.kind}): {method.source}. Free parameters: {method.free}." for name, method in known]
    return "\n".join(rows)
