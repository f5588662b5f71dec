"""Compare hand-made grids, closed forms, learned schedules and samplers on held-out noise, with every measure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from art_gym.envs.config import EnvConfig
from art_gym.envs.observations import lanes
from art_gym.evaluation.edm_curve import EdmCurve
from art_gym.evaluation.heldout import HELDOUT, Evaluation, evaluate_plan, evaluate_policy
from art_gym.evaluation.references import reference_on
from art_gym.samplers.freedom import Freedom
from art_gym.samplers.plans import Plan
from art_gym.schedules.closed_forms import art
from art_gym.schedules.grids.base import make_grid
from art_gym.search.tuned import tuned
from art_gym.tasks.references import find_reference, score
from art_gym.tasks.target import Target

TUNING_NOISES = 256  # training noises that the tuned grids and the closed form are fitted on
HAND_MADE = ("uniform", "edm", "log_snr", "cosine", "arctan")
FLOORS = ("action 0", "random actions")  # actions of an agent that has learned nothing
ORACLE, SAMPLER_ORACLE = "oracle (best fixed grid)", "oracle (best sampler)"
TUNED = {"edm": "last positive level and ρ", "log_normal": "exp(mean) and deviation of log σ"}  # fitted parameters


@dataclass(frozen=True)
class Row:
    """One method at one K.

    Attributes:
        method: label.
        num_steps: K.
        evaluation: on held-out noise.
        score: 0 for EDM's grid. 1 for the best fixed grid known, or for the best sampler if this is a sampler; None
            without a reference.
        fitted: the two parameters of a tuned grid.
    """

    method: str
    num_steps: int
    evaluation: Evaluation
    score: float | None
    fitted: tuple[float, float | None] | None = None

    @property
    def of_sampler(self) -> bool:
        """Whether the method chooses weights and told levels, and not only a grid."""
        return self.evaluation.sampler is not None


def scored(method: str, target: Target, found: Evaluation) -> Row:
    """A row with the score on its own noises: a grid's by the best grid, a sampler's by the best sampler.

    A sampler for a target without a freedom is scored by the best one of the default freedom.
    """
    freedom = (target.freedom or Freedom()) if found.sampler is not None else None
    num_steps = len(found.levels) - 1
    reference = reference_on(replace(target, freedom=freedom), num_steps, found.noises)
    return Row(method, num_steps, found, score(found.error, reference))


def row(method: str, target: Target, plan: Plan, count: int = HELDOUT) -> Row:
    """Evaluate a grid or a sampler."""
    return scored(method, target, evaluate_plan(target, plan, count))


def baselines(
    target: Target,
    budgets: Iterable[int],
    tick: Callable[[str], None] = lambda _: None,
    config: EnvConfig | None = None,
) -> list[Row]:
    """Rows that need no agent: `HAND_MADE`, `FLOORS`, `TUNED`, ART's closed form and the stored oracles.

    Args:
        target, budgets: what to compare on. If the target leaves a freedom, the best sampler has a row too.
        tick: called with a label before each row, to show progress.
        config: of the environment for `FLOORS`; by default one with the action map "fraction".
    """
    denoiser = target.denoiser
    rows = []
    for num_steps in budgets:
        grids: dict[str, Callable[[], np.ndarray]] = {
            label(name): partial(make_grid, name, num_steps, denoiser) for name in HAND_MADE
        }
        grids["ART closed form"] = partial(art, denoiser, num_steps, target.noises("train", TUNING_NOISES)[0])
        for method, make in grids.items():
            tick(f"{method}, K = {num_steps}")
            rows.append(row(method, target, make()))
        tick(f"{FLOORS[0]}, K = {num_steps}")
        rows += floors(target, num_steps, config=config)
        for name in TUNED:
            tick(f"{tuned_label(name)}, K = {num_steps}")
            levels, fitted = tuned_grid(name, num_steps, target)
            rows.append(replace(row(tuned_label(name), target, levels), fitted=fitted))
        rows += _oracles(target, num_steps)
    return rows


def _oracles(target: Target, num_steps: int) -> list[Row]:
    """Rows of the best fixed grid, and of the best sampler if the target leaves a freedom, as far as they are known."""
    rivals = {ORACLE: replace(target, freedom=None)}
    if target.freedom is not None:
        rivals[SAMPLER_ORACLE] = target
    found = {name: find_reference(rival, num_steps) for name, rival in rivals.items()}
    return [row(name, target, known.oracle) for name, known in found.items() if known is not None]


def floors(target: Target, num_steps: int, count: int = HELDOUT, config: EnvConfig | None = None) -> list[Row]:
    """Rows of two policies without an agent, on held-out noise: action 0 in every step, and random actions."""
    config = replace(config or EnvConfig(), task=target.denoiser, solver=target.solver, num_steps=num_steps)
    size = config.make_core().action_size
    rng = np.random.default_rng(0)
    policies = (
        lambda seen: np.zeros((lanes(seen), size)),
        lambda seen: rng.uniform(-1, 1, (lanes(seen), size)),
    )
    return [
        scored(name, target, evaluate_policy(policy, config, num_steps, count))
        for name, policy in zip(FLOORS, policies, strict=True)
    ]


def label(name: str) -> str:
    """A grid's name in tables and pictures."""
    return {"edm": "EDM ρ=7", "log_snr": "log-SNR", "log_normal": "log-normal"}.get(name, name)


def tuned_label(name: str) -> str:
    """The label of a grid with fitted parameters. EDM's drops ρ=7, because ρ is fitted."""
    return f"{label(name).removesuffix(' ρ=7')}, tuned"


def tuned_grid(name: str, num_steps: int, target: Target) -> tuple[np.ndarray, tuple[float, float | None]]:
    """Fit a hand-made grid's two parameters on training noise; returns the (K+1,) levels and the parameters."""
    noises = target.noises("train", TUNING_NOISES)
    return tuned(name, num_steps, target.denoiser, target.solver, *noises)


def noises_of(rows: Iterable[Row]) -> str:
    """The number of held-out noises of a table, such as "2048", with a note if its rows differ."""
    counts = {entry.evaluation.noises for entry in rows}
    most = max(counts)
    return f"{most}" if len(counts) == 1 else f"{most} (fewer where a row says so, to fill whole populations)"


def table(rows: list[Row], first: str | None = None) -> str:
    """Rows as a Markdown table, ordered by K, then from worst to best.

    Args:
        rows: what to show.
        first: a method to set in bold.
    """
    images = ["image error"] if any(entry.evaluation.image_error is not None for entry in rows) else []
    features = ["Fréchet", "precision / recall"] if any(entry.evaluation.frechet is not None for entry in rows) else []
    column = "method" if any(entry.of_sampler for entry in rows) else "schedule"
    heads = [
        "K",
        column,
        "error ± 95 %",
        *images,
        "RMS",
        "median",
        "SW to endpoints",
        "SW to data",
        "energy",
        *features,
    ]
    heads += ["score", "NFE", "seconds"]
    lines = [f"| {' | '.join(heads)} |", f"|{'|'.join(':---' if head == column else '---:' for head in heads)}|"]
    most = max(entry.evaluation.noises for entry in rows)
    for entry in sorted(rows, key=lambda entry: (entry.num_steps, -entry.evaluation.error)):
        found = entry.evaluation
        name = entry.method if found.noises == most else f"{entry.method}, {found.noises} noises"
        in_features = [_number(found.frechet, 2), f"{_number(found.precision, 2)} / {_number(found.recall, 2)}"]
        cells = [
            str(entry.num_steps),
            f"**{name}**" if entry.method == first else name,
            f"{found.error:.4f} ± {found.error_interval:.4f}",
            *[_number(found.image_error, 4) for _ in images],
            f"{found.rms:.4f}",
            f"{found.median:.4f}",
            _number(found.sliced_endpoints, 4),
            _number(found.sliced, 4),
            _number(found.energy, 5),
            *(in_features if features else []),
            _number(entry.score, 3),
            f"{found.nfe:g}",
            f"{found.seconds:.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def fitted_lines(rows: list[Row]) -> list[str]:
    """One line per tuned grid with its two fitted parameters. EDM's ρ may be far from 7."""
    lines = []
    for name, parameters in TUNED.items():
        fitted = {row.num_steps: row.fitted for row in rows if row.method == tuned_label(name) and row.fitted}
        values = [
            f"{' and '.join(f'{value:.3g}' for value in fitted[k] if value is not None)} at K = {k}"
            for k in sorted(fitted)
        ]
        if values:
            lines.append(f"{tuned_label(name)}: {parameters} {', '.join(values)}.")
    return lines


def remarks_on_scores(rows: list[Row]) -> list[str]:
    """What a reader must know about the scores: that they refer to two oracles, and why some are missing."""
    remarks = []
    if {entry.of_sampler for entry in rows} == {True, False}:
        remarks.append("A sampler's score is 1 for the best sampler known, a schedule's for the best fixed grid.")
    missing = [
        what
        for what, of_sampler in (("fixed grid", False), ("sampler", True))
        if any(entry.score is None and entry.of_sampler == of_sampler for entry in rows)
    ]
    if missing:
        remarks.append(f"A score of – means that no best {' or '.join(missing)} is stored for this task, solver and K.")
    return remarks


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:z.{digits}f}"  # z: no −0.000


def steps_saved_line(curve: EdmCurve, num_steps: int, error: float, learned: str = "schedule") -> str:
    """One sentence that says how many steps EDM needs for the same error."""
    needed = curve.steps_for(error)
    if not np.isfinite(needed):
        return f"EDM does not reach in 100 steps what the learned {learned} does in {num_steps}."
    saved = 100 * (1 - num_steps / needed)
    comparison = f"{saved:.0f} % fewer" if saved >= 0 else f"the learned one takes {-saved:.0f} % more"
    return f"EDM needs {needed:.1f} steps for what the learned {learned} does in {num_steps}: {comparison}."
