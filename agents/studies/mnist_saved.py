"""Calls that a learned grid and a learned sampler save on MNIST, against EDM's grid, published and tuned."""

from __future__ import annotations

import numpy as np

from art_gym.evaluation.edm_curve import steps_reaching

from .mnist_grids import EDM, EDM_TUNED, LEARNED, SAMPLER, SAMPLER_EVALUATIONS, Methods
from .network_measures import GROUPS, jackknife
from .study import Record, markdown

CURVE = (5, 6, 7, 8, 9, 11, 14, 17, 25)  # calls of 2M at which both of EDM's grids are measured
MEASURES = {"frechet": "Fréchet distance", "error": "endpoint error"}


def saved(methods: Methods) -> str:
    """A table of the calls of EDM's grids for the same measure."""
    nfe = methods.sizes.nfe
    curve = [k for k in CURVE if k <= max(nfe)]
    rows = []
    for method in (LEARNED, SAMPLER):
        for k in (n for n in nfe if n in SAMPLER_EVALUATIONS):
            ours = methods.measures(method, "dpmpp_2m", k)
            cells = [f"{method}, {k} calls"]
            for measure in MEASURES:
                for rival in (EDM, EDM_TUNED):
                    theirs = [methods.measures(rival, "dpmpp_2m", each) for each in curve]
                    cells.append(_needed(ours, theirs, curve, measure, k))
            rows.append(cells)
    heads = ["2M", *(f"{rival}, equal {name}" for name in MEASURES.values() for rival in (EDM, EDM_TUNED))]
    return (
        "### Calls saved\n\nCalls of EDM's grid for the same measure on the same noises, ± half the 95 % interval "
        "(jackknife), and the share that is saved\n\n" + markdown(heads, rows)
    )


def _needed(ours: Record, theirs: list[Record], curve: list[int], measure: str, calls: int) -> str:
    """The calls at which a curve first reaches a value, with the interval over noises."""
    needed = steps_reaching(ours[measure], curve, [one[measure] for one in theirs])
    if not np.isfinite(needed):
        return f"more than {curve[-1]} (> {100 * (1 - calls / curve[-1]):.0f} %)"
    if needed == curve[0]:
        return f"{curve[0]} or fewer (none)"
    left_out = [
        steps_reaching(ours[f"{measure}_left_out"][i], curve, [one[f"{measure}_left_out"][i] for one in theirs])
        for i in range(GROUPS)
    ]
    share = f"({100 * (1 - calls / needed):.0f} %)"
    if not np.isfinite(left_out).all():
        return f"{needed:.1f}, at times more than {curve[-1]} {share}"
    return f"{needed:.1f} ± {jackknife(np.array(left_out)):.1f} {share}"
