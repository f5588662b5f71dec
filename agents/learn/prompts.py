"""What the report says of each held-out prompt or class, and whether one schedule serves them all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from art_gym.denoisers.base import Denoiser

LONGEST = 60  # characters of a prompt in the table


def prompt_lines(
    model: Denoiser, start: np.ndarray, errors: Mapping[str, np.ndarray], learned: str, shown: tuple[str, ...]
) -> Iterator[str]:
    """A table of the mean error for each condition, and a sentence. Nothing for a model without several.

    Args:
        model: whose ``labels`` and ``condition`` name the conditions.
        start: (B, *shape) noises to report on.
        errors: (B,) errors by the name of a plan.
        learned: name of the learned schedule.
        shown: names of the plans that have a column. The others are rivals of the learned schedule too.
    """
    labels = getattr(model, "labels", ())
    if len(labels) < 2:
        return
    index = model.condition(start)  # type: ignore[attr-defined]
    means = {name: {i: float(found[index == i].mean()) for i in np.unique(index)} for name, found in errors.items()}
    rivals = [name for name in errors if name not in shown or name == shown[0]]
    count = len(np.unique(index))
    yield "Mean error by prompt or class."
    yield f"Nothing was fitted or selected on these {count}, but on {len(labels) - count} others:"
    yield from ("", f"| prompt | noises | {' | '.join(shown)} | best other |", f"|:---{'|---:' * (len(shown) + 2)}|")
    worse = []
    for i in np.unique(index):
        best = min(rivals, key=lambda name: means[name][i])
        others = [f"{means[name][i]:.4f}" for name in shown]
        name = labels[i][:LONGEST].replace("|", "/")
        yield f"| {name} | {(index == i).sum()} | {' | '.join(others)} | {best}, {means[best][i]:.4f} |"
        if means[best][i] < means[learned][i]:
            worse.append(name)
    yield ""
    if worse:
        yield f"One schedule does not serve all: another one is better on {len(worse)} of {count}: {', '.join(worse)}."
    else:
        yield f"One schedule serves all of them: it is the best on each of the {count}."
    yield ""
