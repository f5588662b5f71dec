"""What all studies share: records in a file of JSON lines, computed only once, and tables of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

import art_gym
from art_gym.common.files import write_text
from art_gym.common.messages import one_line
from art_gym.common.reading import parse_json, read_text
from art_gym.tasks.noise_bank import get_bank
from art_gym.tasks.registry import resolve

Record = dict[str, Any]


class Study:
    """A folder with ``results.jsonl``, ``table.md`` and a plot.

    A study finds a record by its key and by the version of art_gym. If code changes within a version and would compute
    another record for the same key, raise the study's revision. Records of other revisions are then computed anew.
    Records hold measurements, and nothing that depends on the references. These improve, and scores and ratios follow
    them whenever a table is made.

    Args:
        name: of the study, and of its folder.
        out: parent folder.
        revision: of the code behind the records. It is part of their keys unless it is 0.
    """

    def __init__(self, name: str, out: Path, revision: int = 0) -> None:
        self.folder = out / name
        self.revision = revision
        self.file = self.folder / "results.jsonl"
        self.folder.mkdir(parents=True, exist_ok=True)

    def records(self) -> list[Record]:
        """All records so far."""
        if not self.file.exists():
            return []
        try:
            return [dict(parse_json(line)) for line in read_text(self.file).splitlines()]
        except (OSError, TypeError, ValueError) as error:
            raise ValueError(f"{self.file} holds no records ({one_line(error, 200)}): name another folder") from None

    def once(self, key: Record, compute: Callable[[], Record]) -> Record:
        """The record with this key, stored by this version and revision, or computed and stored now."""
        key = {**json.loads(json.dumps(key)), "version": art_gym.__version__}
        if self.revision:
            key["revision"] = self.revision
        for record in self.records():
            if key.items() <= record.items() and record.get("revision", 0) == self.revision:
                return record
        record = {**key, **compute()}
        write_text(self.file, "".join(json.dumps(entry) + "\n" for entry in [*self.records(), record]))
        return record

    def finish(self, title: str, text: str) -> str:
        """Write the table. Returns it with its title."""
        content = f"## {title}\n\n{text}\n"
        write_text(self.folder / "table.md", content)
        return content


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, with the first column aligned left and the others right."""
    align = "|:---" + "|---:" * (len(heads) - 1) + "|"
    return "\n".join([f"| {' | '.join(heads)} |", align, *(f"| {' | '.join(row)} |" for row in rows)])


def interval(values: Sequence[float], digits: int = 3) -> str:
    """Interquartile mean with a bootstrap 95 % interval. A single value stands alone."""
    array = np.array(values, np.float64)
    centre = f"{stats.trim_mean(array, 0.25):.{digits}f}"
    if len(array) < 2 or np.ptp(array) == 0:
        return centre
    bounds = stats.bootstrap(
        (array,),
        lambda x, axis: stats.trim_mean(x, 0.25, axis=axis),
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return f"{centre} [{bounds.low:.{digits}f}, {bounds.high:.{digits}f}]"


def mean_and_range(values: Sequence[float], digits: int = 4) -> str:
    """The mean over the seeds, with the least and the greatest value if they differ."""
    low, mean, high = (f"{value:.{digits}f}" for value in (min(values), np.mean(values), max(values)))
    return mean if low == high else f"{mean} [{low}, {high}]"


def of_seeds(seeds: Sequence[int]) -> str:
    """The words of a table about its seeds."""
    return f"mean of {len(seeds)} seeds and their range"


def bank_noises(task: str, split: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first (count, *shape) noises of a split at σ_max, and their precise endpoints."""
    return get_bank(resolve(task), split, 4096).first(count)
