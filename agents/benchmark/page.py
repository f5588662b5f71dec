"""The leaderboard as one page for a browser, which needs no server and nothing from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

from art_gym.common.files import write_text

from .results import Line
from .tables import runs_of

PLACE = "/*DATA*/"
DIGITS = 4


def write_page(suite: str, lines: Iterable[Line], file: Path) -> None:
    """Write the page with all runs that have a score in it."""
    template = resources.files("art_gym.agents.benchmark").joinpath("page.html").read_text("utf-8")
    text = json.dumps(data_of(suite, lines), separators=(",", ":")).replace("</", "<\\/")  # ends no script
    write_text(file, template.replace(PLACE, text))


def data_of(suite: str, lines: Iterable[Line]) -> dict[str, Any]:
    """What the page shows: methods with their class and actions, cells, and runs that point to both."""
    runs = runs_of(lines)
    methods, rows = [], []
    cells = sorted({cell for by_cell in runs.values() for cell in by_cell})
    places = {cell: place for place, cell in enumerate(cells)}
    for number, (algorithm, by_cell) in enumerate(sorted(runs.items())):
        first = next(iter(by_cell.values()))[0]
        methods.append([algorithm, first.kind, first.actions])
        for cell, found in by_cell.items():
            for line in found:
                numbers = (line.score, line.error, line.seconds)
                score, error, seconds = (float(f"{value:.{DIGITS}g}") for value in numbers if value is not None)
                rows.append([number, places[cell], line.seed, score, error, line.calls, seconds, line.steps])
    return {"suite": suite, "methods": methods, "cells": cells, "runs": rows}
