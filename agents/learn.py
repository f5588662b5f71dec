"""`art-gym learn`: from a model to a better schedule for it, with proof, within a budget.

The closed form comes first and is written at once; then noises get precise endpoints, hand-made grids are compared, and
Gauss-Newton and CMA-ES improve on the best until the budget is spent. Three sets of noises keep apart what is fitted,
what is chosen and what is reported. Whatever stops it, the best schedule so far is in the file.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from art_gym.config import MAX_STEPS
from art_gym.denoisers.base import Denoiser, check_call_once
from art_gym.files import check_writable
from art_gym.isolation import isolated
from art_gym.schedules.closed_forms import ART_NODES, DUAL_NODES, art, cancellation_aware, dual_weighted
from art_gym.schedules.defect import FINALISTS, SCREENING, STEPS, GaussNewton, candidates, jacobian_cost
from art_gym.schedules.evolution import evolve
from art_gym.schedules.fractions import levels_from_logits, logits_from_levels
from art_gym.schedules.grids import make_grid
from art_gym.schedules.schedule import Schedule
from art_gym.schedules.tuned import EVALUATIONS as TUNING
from art_gym.schedules.tuned import tuned
from art_gym.solvers import get_solver
from art_gym.tasks import task_names

from .budget import Budget, BudgetSpent, Metered
from .comparison import label, tuned_label
from .divergence import Diverged
from .hyperparams import algorithm_class
from .learn_report import LEARNED, Found, Proof, write_report
from .runs import RIVALS
from .trial import REFERENCE_STEPS, Noises, Trial

HAND_MADE = ("edm", "log_snr", "cosine", "arctan", "sigmoid")
TUNING_SHARE = 0.03  # of the budget, for EDM's grid with its two parameters fitted
FEWEST_TUNED = 8  # noises that it is fitted on
REFERENCE_SHARE = 0.3  # of the budget, for the precise endpoints of all three sets
CLOSED_FORM_SHARE = 0.05  # of the budget, for each closed form
DUAL_FORMS = {"dual-weighted closed form": dual_weighted, "cancellation-aware closed form": cancellation_aware}
DUAL_EVALUATIONS = DUAL_NODES * (DUAL_NODES + 2)  # of a noise: two solutions from each node to the end
DUAL_NOISES = (8, 64)  # with fewer it is not tried; more are not needed
SCREEN_SHARE = 0.2  # of the budget, for candidates on few latents
FIT_SHARE = 0.25  # of the budget, for Gauss-Newton from one start
FEWEST_FITTED = 16  # latents of it
AGENT_FROM = 0.5  # of the budget: where an agent is asked for, it has what is left then
MOST_JUDGED = 64  # noises that a generation of CMA-ES is judged on
SPLIT = (0.6, 0.15, 0.25)  # of the noises: fitted on, chosen on, reported on
CHUNK = 32  # noises that get precise endpoints at a time, and the fewest
MOST_NOISES = 1024
SPENT = "the budget was spent"


class Learner:
    """The best schedule so far, its history, and the file that it is kept in.

    Args:
        denoiser: the model.
        name: of the model, for the report and the schedule's provenance.
        num_steps, solver, seed: what the schedule is for.
        budget: of time or evaluations.
        out: schedule file.
        progress: show a bar.
        agent: an SB3 algorithm that goes on where Gauss-Newton stops, instead of CMA-ES.

    Raises:
        ValueError: for a number of steps, a solver or an agent that is none, or a file that cannot be written.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        name: str,
        num_steps: int,
        solver: str,
        budget: Budget,
        out: Path,
        seed: int = 0,
        progress: bool = True,
        agent: str | None = None,
    ) -> None:
        check_request(num_steps, solver, seed, out, agent)
        self.model, self.name, self.num_steps, self.solver = denoiser, name, num_steps, get_solver(solver)
        self.denoiser = Metered(denoiser, budget, self._advance)
        self.trial = Trial(denoiser, self.denoiser, self.solver)
        self.out, self.seed, self.agent = out, seed, agent
        self.history: list[Found] = []
        self.beside: dict[str, np.ndarray] = {}  # levels that the learned ones are compared with, beside hand-made ones
        self.stages: list[tuple[str, float]] = []  # and when each began
        self.bar = tqdm(total=100, desc="learn", unit="%", disable=not progress, bar_format="{l_bar}{bar}|")

    @isolated()
    def run(self) -> str:
        """Learn until the budget is spent or Ctrl-C; returns the report, which is written beside the schedule.

        Raises:
            ValueError: for a model that fails, such as one that gives NaN; the message says what is kept.
        """
        try:
            return self._run()
        except Exception as error:
            if not self.history:
                raise
            best = self.history[-1]
            proven = f", error {best.error:.4f} on the noises chosen on" if np.isfinite(best.error) else ""
            kept = f"{self.out} holds the best schedule so far ({best.method}{proven}), without a report"
            if isinstance(error, ValueError):
                raise ValueError(f"{error}; {kept}") from None
            error.add_note(kept)  # of the model's own code, which the traceback is about
            raise
        except KeyboardInterrupt:  # a second one, while the report was made
            raise KeyboardInterrupt(f"{self.out} holds the best schedule so far, without a report") from None

    def _run(self) -> str:
        stopped, sets = SPENT, None
        try:
            self._closed_form()
            sets = self._noises()
            self._compare(sets[0], sets[1])
            self._improve(sets[0], sets[1])
        except BudgetSpent:
            pass
        except KeyboardInterrupt:
            stopped = "it was interrupted"
        except Diverged as error:
            stopped = str(error)
        finally:
            self.bar.close()
        if not self.history:
            spent = f"{self.denoiser.evaluations} evaluations took {self.denoiser.seconds:.0f} s"
            remedy = "give it ten times as much" if stopped == SPENT else "nothing was written"
            raise ValueError(f"{stopped} before the closed form was found ({spent}): {remedy}")
        return self._report(sets and sets[2], stopped)

    def _closed_form(self) -> None:
        self._stage("closed form")
        check_call_once(self.model)
        rng = np.random.default_rng([self.seed, 0])
        probe = self._draw(2, rng)
        # These calls tell how fast the model is, and whether it gives numbers at all: the meter looks.
        for sigma in (self.model.sigma_max, self.model.data_std, self.model.sigma_min):
            self.denoiser(probe, np.full(2, sigma, np.float32))
        _choose_threads(lambda: self.denoiser(probe, np.full(2, self.model.data_std, np.float32)))
        count = int(np.clip(self.denoiser.affordable(CLOSED_FORM_SHARE) / ART_NODES, 2, 64))
        self._keep("ART closed form", np.nan, art(self.denoiser, self.num_steps, self._draw(count, rng)))

    def _noises(self) -> tuple[Noises, Noises, Noises]:
        """Precise endpoints, chunk by chunk while the next one fits into its share: the speed of batches shows then."""
        self._stage("precise endpoints")
        rng = np.random.default_rng([self.seed, 1])
        chunks: list[Noises] = []
        until, last = self.denoiser.share + REFERENCE_SHARE, 0.0
        while not chunks or (len(chunks) * CHUNK < MOST_NOISES and self.denoiser.share + last < until):
            before, start = self.denoiser.share, self._draw(CHUNK, rng)
            chunks.append(Noises(start, self.trial.solve(start)))
            last = self.denoiser.share - before
            self._tick()
        starts, ends = (np.concatenate([getattr(chunk, part) for chunk in chunks]) for part in ("start", "endpoints"))
        cuts = np.cumsum([round(share * len(starts)) for share in SPLIT[:2]])
        fitted, chosen, reported = (
            Noises(a, b) for a, b in zip(np.split(starts, cuts), np.split(ends, cuts), strict=True)
        )
        return fitted, chosen, reported

    def _compare(self, fitted: Noises, chosen: Noises) -> None:
        self._stage("hand-made grids")
        closed_form = self.history.pop()
        self.beside[closed_form.method] = closed_form.levels
        error = self.trial.error(closed_form.levels, chosen)
        self.history.append(replace(closed_form, error=error))  # found then, though it is measured now
        for name in HAND_MADE:
            self._offer(label(name), make_grid(name, self.num_steps, self.model), chosen)
            self._tick()
        count = int(min(self.denoiser.affordable(TUNING_SHARE) / (TUNING * self.num_steps), len(fitted.start)))
        if count >= FEWEST_TUNED:
            noises = fitted.start[:count], fitted.endpoints[:count]
            levels, _ = tuned("edm", self.num_steps, self.denoiser, self.solver, *noises)
            self.beside[tuned_label("edm")] = levels
            self._offer(tuned_label("edm"), levels, chosen)
        self._stage("closed forms")
        for name, form in DUAL_FORMS.items():
            count = int(min(self.denoiser.affordable(CLOSED_FORM_SHARE) / DUAL_EVALUATIONS, DUAL_NOISES[1]))
            if min(count, len(fitted.start)) >= DUAL_NOISES[0]:
                self.beside[name] = form(self.denoiser, self.num_steps, fitted.start[:count])
                self._offer(name, self.beside[name], chosen)
            self._tick()

    def _improve(self, fitted: Noises, chosen: Noises) -> None:
        self._stage("Gauss-Newton")

        def accepted(_: float, logits: np.ndarray) -> None:
            self._offer("Gauss-Newton", levels_from_logits(logits, self.model), chosen)
            self._tick()

        # The search of `defect`: many starts on few latents, from coarse to fine, then the best on many.
        least = np.inf

        def screened(error: float, logits: np.ndarray) -> None:
            nonlocal least
            self._tick()
            if len(logits) == self.num_steps - 1 and error < least:  # others are of fewer steps
                least = error
                accepted(error, logits)

        share = self.denoiser.affordable(SCREEN_SHARE)
        few = self._fit(fitted, SCREEN_SHARE / 2, SCREENING, budget=self.denoiser.evaluations + share, found=screened)
        pool = candidates(few, self.history[-1].levels, self.num_steps, share, self.seed)
        fit = self._fit(fitted, FIT_SHARE, len(fitted.start), found=accepted)
        for _, logits in pool[:FINALISTS]:
            self._offer("Gauss-Newton", levels_from_logits(logits, self.model), chosen)  # it may have been a start
            if self.agent is None or self.denoiser.share < AGENT_FROM:
                fit.improve(logits, STEPS)
        if self.agent is not None:
            self._train_agent(fitted, chosen)
            return
        self._stage("CMA-ES")
        for restart in range(1, 1000):  # until the meter stops it
            first = logits_from_levels(self.history[-1].levels, self.model)
            search = evolve(
                self.denoiser,
                self.num_steps,
                self.solver,
                fitted.start,
                fitted.endpoints,
                generations=40 + 10 * self.num_steps,
                batch=min(len(fitted.start), MOST_JUDGED),  # drawn with replacement: more are no others
                seed=self.seed + restart,
                first=first,
                spread=0.3,
            )
            for generation, levels in enumerate(search, start=1):
                if generation % 10 == 0:
                    self._offer("CMA-ES", levels, chosen)
                self._tick()

    def _fit(self, fitted: Noises, share: float, most: int, **options: Any) -> GaussNewton:
        """Gauss-Newton on as many latents as a share of the budget pays for, from one start: Jacobians are dear."""
        per_latent = STEPS * jacobian_cost(self.solver, self.num_steps)
        count = int(np.clip(self.denoiser.affordable(share) / per_latent, FEWEST_FITTED, most))
        return GaussNewton(self.denoiser, self.solver, fitted.start[:count], fitted.endpoints[:count], **options)

    def _train_agent(self, fitted: Noises, chosen: Noises) -> None:
        from .learn_agent import train_agent  # stable-baselines3

        agent = self.agent or ""
        self._stage(agent)

        def offered(levels: np.ndarray) -> None:
            self._offer(agent, levels, chosen)
            self._tick()

        left = self.denoiser.affordable(1 - self.denoiser.share)
        best, noises = self.history[-1].levels, (fitted.start, fitted.endpoints)
        train_agent(self.denoiser, best, self.solver.name, agent, self.seed, noises, left, offered)

    def _draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        return np.float32(self.model.sigma_max) * rng.standard_normal((count, *self.model.shape), np.float32)

    def _offer(self, method: str, levels: np.ndarray, chosen: Noises) -> None:
        """Keep a schedule if it is the best so far on the noises that are chosen on."""
        error = self.trial.error(levels, chosen)
        if not self.history or error < self.history[-1].error:
            self._keep(method, error, levels)

    def _keep(self, method: str, error: float, levels: np.ndarray) -> None:
        self.history.append(Found(self.denoiser.seconds, self.denoiser.evaluations, method, error, levels))
        self._schedule(None).save(self.out)
        self._tick()

    def _schedule(self, error: float | None) -> Schedule:
        best = self.history[-1]
        # "model:" keeps a model from being taken for a task of its name when the schedule is evaluated.
        task = self.name if self.name.partition("?")[0] in task_names() else f"model:{self.name}"
        flow = getattr(self.model, "flow", False)
        return Schedule(tuple(best.levels), best.method, task, self.solver.name, self.seed, error, flow)

    def _stage(self, label: str) -> None:
        self.stage = label
        self.stages.append((label, self.denoiser.seconds))
        self._tick()

    def _advance(self) -> None:
        """Move the bar after a call of the model, of which a slow one makes few between what is said of them."""
        self.bar.update(min(round(100 * self.denoiser.share), 100) - self.bar.n)

    def _tick(self) -> None:
        self._advance()
        best = f", error {self.history[-1].error:.4f}" if self.history and np.isfinite(self.history[-1].error) else ""
        self.bar.set_description_str(f"learn, {self.stage}{best}")

    def _report(self, reported: Noises | None, stopped: str) -> str:
        """Measure the schedule on noises that nothing was fitted or chosen on, and write that down."""
        self.denoiser.enforced = False  # the proof belongs to the result, whatever was spent
        seconds = self.denoiser.seconds
        spent = f"{seconds:.0f} s and {self.denoiser.evaluations:,} denoiser evaluations"
        grids = {label(name): make_grid(name, self.num_steps, self.model) for name in HAND_MADE} | self.beside
        grids[LEARNED] = self.history[-1].levels
        proof = None
        if reported is not None:
            proof = Proof(self.trial, reported, grids)
            self._schedule(proof.error).save(self.out)
        title = f"A schedule of {self.num_steps} steps for {self.name}, {self.solver.name}"
        ends = [begun for _, begun in self.stages[1:]] + [seconds]
        stages = [f"{stage} until {end:.1f} s" for (stage, _), end in zip(self.stages, ends, strict=True)]
        spent += f" ({', '.join(stages)})"
        if proof is None and stopped == SPENT:
            wanted = CHUNK * get_solver("rk4").evaluations(REFERENCE_STEPS) / REFERENCE_SHARE
            took = wanted * seconds / max(self.denoiser.evaluations, 1)
            stopped = f"{SPENT}. Give at least {wanted:,.0f} evaluations, which take about {took:.0f} s at this speed"
        return write_report(self.out, title, grids, self.history, proof, spent, stopped, seconds)


def check_request(num_steps: int, solver: str, seed: int, out: Path, agent: str | None) -> None:
    """Raise a ValueError for what cannot be learned or written: now, before a large model is loaded."""
    if not 2 <= num_steps <= MAX_STEPS:
        raise ValueError(
            f"a schedule to learn has from 2 to {MAX_STEPS} steps, got {num_steps}: one step has nothing to learn"
        )
    if seed < 0:
        raise ValueError(f"a seed is a whole number of at least 0, got {seed}")
    get_solver(solver)
    check_new(out)
    check_agent(agent)


def check_new(out: Path) -> None:
    """Raise a ValueError for a file that cannot be written, or where a schedule or the report of one stands already."""
    check_writable(out)
    for file in (out, out.parent / f"{out.stem}_report.md"):
        if file.exists():
            raise ValueError(f"{file} exists already, and may hold what cost more: remove it, or name another with -o")


def check_agent(name: str | None) -> None:
    """Raise a ValueError for a name that is no agent which could train: now, not when its turn comes."""
    if name in RIVALS:
        raise ValueError(f"{name!r} is no RL agent: leave --agent out, CMA-ES follows by itself")
    if name is not None:
        algorithm_class(name)


def _choose_threads(call: Callable[[], object]) -> None:
    """Make a call with all of torch's threads and with one, and go on with what was faster.

    On cores that other programs use too, threads wait for each other: a small model took a thousand times as long.
    """
    import torch

    seconds = {}
    for threads in dict.fromkeys((torch.get_num_threads(), 1)):
        torch.set_num_threads(threads)
        began = time.perf_counter()
        call()
        seconds[threads] = time.perf_counter() - began
    torch.set_num_threads(min(seconds, key=lambda threads: seconds[threads]))
