"""Compares ART-RL's choices: the actor, what its advantage sums, and the condition that fits the critic."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from art_gym.tasks.registry import resolve

from ..continuous_time import CRITICS
from ..reports import pictures
from .art_rl import QUICK_SHARE, train_art_rl
from .study import Record, Study, interval, markdown
from .theory import cost_ratio

TASK = "mixture_1d"
SHARE = 1 / 3  # of the shipped updates, few enough to show differences in speed
HELDOUT = 2048
ALLOWED = 2.0  # per cent of excess that the shipped choice may have after all its updates
CUT_OFF = 10.0  # of the plot's bars, in per cent
# actor, η (1 sums all later differences, 0 is the paper's single δ_k), critic
CHOICES = (
    *(("normalised", 1.0, critic) for critic in CRITICS),
    *(("normalised", 0.0, critic) for critic in CRITICS),
    ("multiplier", 1.0, "least_squares"),
    ("multiplier", 0.0, "least_squares"),
    ("multiplier", 0.0, "ctd_zero"),
)


def choices(out: Path, seeds: tuple[int, ...], quick: bool) -> str:
    """The cost of each choice over the least cost, and how well its clock keeps the budget."""
    study = Study("choices", out)
    lines, excess = [], {}
    for actor, trace, critic in CHOICES:
        runs = [
            study.once(
                {"actor": actor, "trace": trace, "critic": critic, "seed": seed, "quick": quick},
                lambda actor=actor, trace=trace, critic=critic, seed=seed: _run(actor, trace, critic, seed, quick),  # type: ignore[misc]
            )
            for seed in seeds
        ]
        costs = [run["cost_ratio"] for run in runs]
        end, multiplier = (float(np.mean([run[key] for run in runs])) for key in ("clock_end", "multiplier"))
        lines.append(
            [
                actor,
                f"{trace:g}",
                critic,
                interval(costs),
                f"{max(costs):.3f}",
                f"{end:.3f}",
                f"{multiplier:.2f}",
            ]
        )
        # Some diverge, and would hide the differences between the others.
        excess[f"{actor}, η = {trace:g}, {critic}"] = min(100 * (float(np.mean(costs)) - 1), CUT_OFF)
    label = f"excess over the least cost, % (line: {ALLOWED:g}, what is allowed; cut off at {CUT_OFF:g})"
    pictures.bars(study.folder / "choices.png", excess, label, mark=ALLOWED)
    heads = ["actor", "η", "critic", f"cost / closed form's ({len(seeds)} seeds, IQM, 95 %)", "worst", "ψ(T)", "γ"]
    title = f"ART-RL's choices, {TASK}, {SHARE:.0%} of the shipped updates"
    return study.finish(title, markdown(heads, lines))


def _run(actor: str, trace: float, critic: str, seed: int, quick: bool) -> Record:
    share = SHARE * (QUICK_SHARE if quick else 1.0)
    trained = train_art_rl(TASK, seed, share, trace=trace, critic=critic, policy_kwargs={"budget": actor})
    logged = trained.model.logger.name_to_value  # of the last update
    return {
        "cost_ratio": cost_ratio(trained.model, resolve(TASK), 256 if quick else HELDOUT),
        "clock_end": float(logged["art_rl/clock_end"]),
        "multiplier": float(logged["art_rl/multiplier"]),
        "seconds": trained.seconds,
    }
