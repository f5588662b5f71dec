"""How many training noises a sampler's numbers take, where a call is slow: PhotosNet at five steps."""

from __future__ import annotations

import numpy as np

from art_gym.denoisers.base import Counted
from art_gym.samplers.freedom import Freedom
from art_gym.samplers.plans import Plan
from art_gym.search.base import exhaust
from art_gym.search.defect import defect
from art_gym.search.sampler_defect import SamplerProblem, screening
from art_gym.tasks.target import Target

from .sampler_measures import error_on
from .study import Record, Study, markdown

TASK, NUM_STEPS = "photos_net", 5
COUNTS, HELDOUT = (24, 48, 96, 192), 96
QUICK_TASK, QUICK_COUNTS, QUICK_HELDOUT = "ring_2d", (8, 16), 32
JACOBIANS = 40  # that the search for a grid may compute
FREEDOMS = {
    "two shared factors": Freedom(1, False, shared=True),
    "w": Freedom(2, False),
    "w, c, v": Freedom(3, True),
}
GRID = "grid, 2M"
CHOSEN: dict[str, Freedom | None] = {GRID: None, **FREEDOMS}


def noises_needed(study: Study, seed: int, quick: bool) -> str:
    """Errors on held-out noises, and in brackets on the training noises, by their number and by what is chosen."""
    target = Target.of(QUICK_TASK if quick else TASK)
    counts, heldout = (QUICK_COUNTS, QUICK_HELDOUT) if quick else (COUNTS, HELDOUT)
    heads = ["training noises", *(f"{name} ({_size(freedom)})" for name, freedom in CHOSEN.items()), "calls"]
    rows = []
    for count in counts:
        found = [_record(study, target, name, count, heldout, seed) for name in CHOSEN]
        cells = [f"{record['error']:.4f} ({record['training_error']:.4f})" for record in found]
        rows.append([str(count), *cells, f"{sum(record['evaluations'] for record in found):,}"])
    return "\n\n".join(
        [
            f"### How many noises a sampler takes: {target.task}, K = {NUM_STEPS}",
            f"Mean error on {heldout} held-out noises, and in brackets on the training noises. Each is fitted by "
            f"Gauss-Newton from the grid of the same noises, with seed {seed}; beside its name is how many numbers are "
            "chosen. Calls are those of all fits of a row, without precise endpoints.",
            markdown(heads, rows),
        ]
    )


def _size(freedom: Freedom | None) -> int:
    return NUM_STEPS - 1 if freedom is None else freedom.size(NUM_STEPS)


def _record(study: Study, target: Target, name: str, count: int, heldout: int, seed: int) -> Record:
    key = {"task": target.task, "num_steps": NUM_STEPS, "noises": count, "chosen": name, "seed": seed}
    return study.once(key, lambda: _fitted(study, target, name, count, heldout, seed))


def _fitted(study: Study, target: Target, name: str, count: int, heldout: int, seed: int) -> Record:
    counted, training = Counted(target.denoiser), target.noises("train", count)
    freedom, extra = CHOSEN[name], {}
    plan: Plan
    if freedom is None:
        cost = JACOBIANS * NUM_STEPS**2 / 2 * count
        plan = defect(counted, NUM_STEPS, target.solver, *training, seed, cost)
        extra = {"sigmas": plan.tolist()}
    else:
        levels = np.array(_record(study, target, GRID, count, heldout, seed)["sigmas"])
        problem = SamplerProblem(counted, NUM_STEPS, freedom, *training)
        plan = problem.made(exhaust(screening(problem, levels, seed, until=0))[0].numbers)
    return {
        "error": error_on(target, plan, target.noises("heldout", heldout)),
        "training_error": error_on(target, plan, training),
        "evaluations": counted.evaluations,
        **extra,
    }
