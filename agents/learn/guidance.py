"""What the report says of a guidance on which nothing was fitted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from art_gym.samplers.plans import Plan

from .sharing import alone
from .trial import Noises, Trial

OTHER = 1.5  # factor on the guidance
FEW = 8  # noises, whose precise endpoints are computed for it


def guidance_lines(trial: Trial, noises: Noises, plans: Mapping[str, Plan], shown: tuple[str, ...]) -> Iterator[str]:
    """A sentence with the mean errors at another guidance. Nothing for a model without guidance.

    Args:
        trial: of the model.
        noises: to report on, the first of which are sampled again.
        plans, shown: what was compared, and the names of those to try again.
    """
    loop = getattr(trial.model, "loop", None)
    scale = None if loop is None else loop.guidance()
    if loop is None or scale is None or scale <= 1:
        return
    start, other = noises.start[:FEW], OTHER * scale
    with alone(trial.model), loop.guided(other):  # only this process's loop has the other guidance
        again = Noises(start, trial.solve(start))
        errors = {name: trial.error(plans[name], again) for name in shown}
    said = ", ".join(f"{name} {error:.4f}" for name, error in errors.items())
    yield f"With guidance {other:g} instead of {scale:g}, on which nothing was fitted, the mean errors of {len(start)}"
    yield from (f"noises are: {said}.", "")
