"""The sampler and schedule files of art_gym, read and checked as art_gym does it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

FORMATS = {"sampler": "art_gym.sampler/1", "schedule": "art_gym.schedule/1"}
NODES = {"sampler": "ART Sampler", "schedule": "ART Schedule"}
MOST_BYTES, MOST_STEPS = 2**20, 1000
REMEDY = "write it again with art_gym"


class Numbers(NamedTuple):
    """The numbers of a file. K steps have K+1 levels. A schedule has no factors and no weights.

    Attributes:
        name: the file's name, for messages.
        sigmas: decreasing levels σ with a trailing 0.
        told: factors c. Step k calls the model at c_k σ_k.
        weights: row k weights the differences of the estimates before step k, the latest first.
        flow: whether the file is for a flow model. Its levels are σ too.
    """

    name: str
    sigmas: list[float]
    told: list[float]
    weights: list[list[float]]
    flow: bool


def read(path: str, kind: str) -> Numbers:
    """Read a file of this kind, "sampler" or "schedule".

    Raises:
        ValueError: if the file cannot be read or is not of this kind; one line says what is wrong.
    """
    name = Path(path).name
    try:
        content = json.loads(_text(Path(path)))
    except OSError as error:
        raise ValueError(f"cannot read {name}: {error.strerror}: copy it to models/art_gym again") from None
    except (ValueError, RecursionError) as error:  # not JSON, not text, or too deeply nested
        raise ValueError(f"{name} is not a {kind} file: not JSON ({error}): {REMEDY}") from None
    _check_format(name, content, kind)
    try:
        sigmas = _levels(content)
        told, weights = _steps(content, len(sigmas) - 1) if kind == "sampler" else ([], [])
        flow = content.get("flow", False)
        if not isinstance(flow, bool):
            raise ValueError(f"flow must be true or false, got {_short(flow)}")
    except ValueError as error:
        raise ValueError(f"{name} is not a {kind} file: {error}: {REMEDY}") from None
    return Numbers(name, sigmas, told, weights, flow)


def _text(file: Path) -> str:
    """The text of a regular file. A pipe or a device could be read for ever."""
    if file.exists() and not file.is_file():
        raise ValueError("it is no regular file")
    with file.open("rb") as opened:
        content = opened.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES} bytes")
    return content.decode("utf-8-sig")


def _check_format(name: str, content: object, kind: str) -> None:
    written = content.get("format") if isinstance(content, Mapping) else None
    if written == FORMATS[kind]:
        return
    other = str(written).removeprefix("art_gym.").partition("/")[0]
    if other not in FORMATS or not isinstance(written, str):
        raise ValueError(f"{name} is not a {kind} file: its format must be {FORMATS[kind]!r}, got {_short(written)}")
    if other != kind:
        raise ValueError(f"{name} is a {other} file: choose it in the node {NODES[other]}")
    raise ValueError(f"{name} has the format {written!r}, and these nodes read {FORMATS[kind]!r}: update art_gym_nodes")


def _levels(content: Mapping[str, Any]) -> list[float]:
    sigmas = _numbers("sigmas", content.get("sigmas"))
    if len(sigmas) < 2 or sigmas[-1] != 0:
        raise ValueError(f"sigmas must be at least two levels that end in 0, got {_short(sigmas)}")
    if len(sigmas) > MOST_STEPS + 1:
        raise ValueError(f"there may be at most {MOST_STEPS} steps, got {len(sigmas) - 1}")
    for level, following in pairwise(sigmas):
        if level <= following:
            raise ValueError(f"sigmas must decrease, got {level:g} and then {following:g}")
    return sigmas


def _steps(content: Mapping[str, Any], steps: int) -> tuple[list[float], list[list[float]]]:
    """The factors and weights of a sampler with this number of steps."""
    told, rows = _numbers("told", content.get("told")), content.get("weights")
    if not isinstance(rows, list):
        raise ValueError(f"weights must be rows of numbers, got {_short(rows)}")
    for name, found in (("told", told), ("weights", rows)):
        if len(found) != steps:
            raise ValueError(f"{steps} steps need as many entries in {name}, got {len(found)}")
    if min(told) <= 0:
        raise ValueError(f"the factors in told must be above 0, got {min(told):g}")
    weights = [_numbers(f"weights of step {k}", row) for k, row in enumerate(rows)]
    for k, row in enumerate(weights):
        if len(row) > k:
            raise ValueError(f"step {k} has {k} earlier estimates, and so at most {k} weights, got {len(row)}")
    return told, weights


def _numbers(name: str, values: object) -> list[float]:
    if not isinstance(values, list):
        raise ValueError(f"{name} must be a list of numbers, got {_short(values)}")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{name} must be numbers, got {_short(value)}")
        if not _is_finite(value):
            raise ValueError(f"{name} must be finite, got {_short(value)}")
    return [float(value) for value in values]


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of some hundred digits
        return False


def _short(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:60]}…"
