"""`art-gym learn`: finds a better schedule and a better sampler for a model, with proof, within a budget.

The closed form comes first and is written at once. Then the learner computes precise endpoints, compares hand-made
grids, and improves the best one by Gauss-Newton. From the best schedule it fits samplers, and it gives the rest of the
budget to CMA-ES. It fits, selects and reports on three separate sets of noises. Whenever it stops, the files hold the
best so far. After a kill the same command goes on with the stage that it was in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path

import numpy as np
from tqdm import tqdm

from art_gym.common.isolation import isolated
from art_gym.common.messages import place_of
from art_gym.denoisers.base import Denoiser
from art_gym.samplers.plans import Plan, is_sampler, levels_of
from art_gym.schedules.grids.base import make_grid
from art_gym.schedules.published import published
from art_gym.solvers.base import get_solver

from ..reports.comparison import label
from ..training.divergence import Diverged
from .book import Book
from .budget import Budget, BudgetSpent, Metered
from .cost import enough
from .first_calls import first_calls
from .metrics import Metric
from .noises import REFERENCE_SHARE, Draws, solved
from .report import LEARNED, SAMPLER, Proof, write_report
from .request import check_model, check_request, sampler_file
from .samplers import fitted_samplers
from .searches import (
    ART,
    HAND_MADE,
    Quest,
    Tried,
    closed_form,
    dual_forms,
    evolution,
    from_probe,
    gauss_newton,
    hand_made,
)
from .stages import REPORT, Stages
from .trial import Noises, Trial
from .unfinished import Unfinished, request_of, unfinished_file

SCHEDULE_UNTIL = 0.5  # share of the budget after which samplers follow, or an agent if asked for
SAMPLERS_UNTIL = 0.85  # share of the budget after which CMA-ES follows
KEPT_EVERY = 2.0  # seconds, after which a killed run may have lost what it found
ENDPOINTS = "precise endpoints"
SPENT = "the budget was spent"


class Learner:
    """Runs the searches, shows their progress, and reports.

    Args:
        denoiser: the model.
        name: of the model, for the report and the schedule's provenance.
        num_steps, solver, seed: what the schedule is for.
        budget: of time or evaluations.
        out: schedule file. The sampler's is beside it (`sampler_file`).
        progress: show a bar.
        agent: an SB3 algorithm that follows Gauss-Newton, instead of samplers and CMA-ES.
        metrics: functions of images and their prompts, whose scores the report shows.

    Raises:
        ValueError: if the number of steps, the solver or the agent is invalid, or the file cannot be written.
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
        metrics: Mapping[str, Metric] | None = None,
    ) -> None:
        check_request(num_steps, solver, seed, out, agent)
        check_model(denoiser, solver, agent)
        self.num_steps, self.seed, self.agent, self.metrics = num_steps, seed, agent, metrics or {}
        self.meter = Metered(denoiser, budget, self._advance)
        self.trial = Trial(denoiser, self.meter, get_solver(solver))
        self.draws = Draws.of(denoiser, seed)
        self.book = Book(self.trial, name, seed, out)
        self.samplers = Book(self.trial, name, seed, sampler_file(out))
        self.published: dict[str, np.ndarray] = {}  # grids that are known for the model, once it was called
        self._go_on(request_of(denoiser, name, num_steps, solver, seed, agent))
        self.bar = tqdm(total=100, desc="learn", unit="%", disable=not progress, bar_format="{l_bar}{bar}|")

    def _go_on(self, request: str) -> None:
        """Begin, or go on where a run of the same request was killed."""
        before = Unfinished.load(unfinished_file(self.book.out), request) or Unfinished(request, 0.0, 0)
        self.request, self.noises = request, before.noises
        self.meter.go_on(before.seconds, before.evaluations)
        self.book.history, self.samplers.history = list(before.schedules), list(before.samplers)
        self.beside = before.beside  # other levels to compare with, in addition to hand-made ones
        self.stages, self.kept_at = Stages(self.meter, before.stages), -np.inf

    @isolated()
    def run(self) -> str:
        """Learn until the budget is spent or Ctrl-C. Returns the report, which it writes beside the schedule.

        Raises:
            ValueError: if the model fails, for example with NaN. The message says what is kept.
        """
        try:
            sets, stopped = self._learn()
            return self._report(sets and sets[2], stopped)
        except Exception as error:
            if not self.book.history:
                raise
            if isinstance(error, ValueError):
                raise ValueError(f"{error}; {self.book.kept()}") from None
            error.add_note(self.book.kept())  # the model's own code raised it, so its traceback matters
            raise
        except KeyboardInterrupt:  # a second Ctrl-C, during the report
            kept = f"{self.book.out} holds the best schedule so far, without a report"
            raise KeyboardInterrupt(kept) from None

    def _learn(self) -> tuple[tuple[Noises, Noises, Noises] | None, str]:
        """Returns the three sets of noises, or None if it stopped before, and the reason for stopping."""
        stopped, sets = SPENT, None
        try:
            self.meter.enforced = not self.stages.ended(ENDPOINTS)  # to have them again costs next to nothing
            self._closed_form()
            sets = self._noises()
            self.meter.enforced = True
            self._search(*sets[:2])
        except BudgetSpent:
            pass
        except KeyboardInterrupt as error:
            place = place_of(error)
            stopped = f"it was interrupted{f' in {place}' if place else ''}"
            if self.meter.stuck:  # the proof would call the model again
                sets = None
        except Diverged as error:
            stopped = str(error)
        finally:
            self.bar.close()
        if not self.book.history:
            spent = f"{self.meter.evaluations} evaluations took {self.meter.seconds:.0f} s"
            remedy = "give it ten times as much" if stopped == SPENT else "nothing was written"
            raise ValueError(f"{stopped} before the closed form was found ({spent}): {remedy}")
        return sets, stopped

    def _closed_form(self) -> None:
        buys = first_calls(self.trial, self.draws, self.num_steps, self.seed)
        self.bar.write(f"art-gym: {self.stages.before or buys}")
        self.published = published(self.trial.model, self.num_steps)
        if self._stage("closed form"):
            rng = np.random.default_rng([self.seed, 0])
            levels = closed_form(self.trial, self.num_steps, lambda count: self.draws.draw(count, rng))
            self.beside[ART] = levels
            self.book.offer(ART, levels)

    def _noises(self) -> tuple[Noises, Noises, Noises]:
        known = None if self._stage(ENDPOINTS) else self.noises
        until = self.stages.share_at(ENDPOINTS) + REFERENCE_SHARE
        sets = solved(self.trial, self.draws, self.seed, until, self._tick, known)
        self.noises = sum(len(part.start) for part in sets)
        return sets

    def _search(self, fitted: Noises, chosen: Noises) -> None:
        until = SCHEDULE_UNTIL if self.agent is not None or self._may_sample else np.inf
        quest = Quest(self.trial, self.num_steps, self.seed, fitted, self._best_levels, self.published, until)
        for book in (self.book, self.samplers):
            book.choose_on(chosen)
        known = self._known_grids()
        from_probes = chain(from_probe(quest), dual_forms(quest))
        for stage, found in (("hand-made grids", hand_made(quest)), ("closed forms", from_probes)):
            for method, levels in self._watched(stage, found):
                if method not in known:
                    self.beside[method] = levels_of(levels)
        for _ in self._watched("Gauss-Newton", gauss_newton(quest)):
            pass
        if self.agent is not None:
            self._train_agent(self.agent, fitted)
            return
        if self._may_sample:
            for _ in self._watched("samplers", fitted_samplers(quest, SAMPLERS_UNTIL)):
                pass
        for _ in self._watched("CMA-ES", evolution(quest)):
            pass

    @property
    def _may_sample(self) -> bool:
        """Whether the solver is a sampler, so that a better one can be found."""
        return self.trial.solver.calls_per_step == 1

    def _known_grids(self) -> dict[str, np.ndarray]:
        """The (K+1,) levels of grids that need no search, by name."""
        made = {label(name): make_grid(name, self.num_steps, self.trial.model) for name in HAND_MADE}
        return made | self.published

    def _best_levels(self) -> np.ndarray:
        return levels_of(self.book.best.plan)

    def _watched(self, stage: str, search: Iterator[Tried]) -> Iterator[tuple[str, Plan]]:
        """Offer each schedule or sampler that a search finds to its book, and yield it."""
        if not self._stage(stage):
            return
        for method, plan in search:
            if plan is not None:
                if is_sampler(plan):
                    self.samplers.offer(method, plan, below=self.book.best.error)
                else:
                    self.book.offer(method, plan)
                yield method, plan
            self._tick()

    def _train_agent(self, agent: str, fitted: Noises) -> None:
        from .agent import train_agent  # stable-baselines3

        if not self._stage(agent):
            return

        def offered(levels: np.ndarray) -> None:
            self.book.offer(agent, levels)
            self._tick()

        left = self.meter.affordable(1 - self.meter.share)
        best, noises = self._best_levels(), (fitted.start, fitted.endpoints)
        train_agent(self.meter, best, self.trial.solver.name, agent, self.seed, noises, left, offered)

    def _stage(self, name: str) -> bool:
        """Begin a stage. Returns False if an earlier run has finished it."""
        begun = self.stages.begin(name)
        self.kept_at = -np.inf
        self._tick()
        return begun

    def _keep(self) -> None:
        """Write how far the run has come, every now and then."""
        seconds, found = self.meter.seconds, (tuple(self.book.history), tuple(self.samplers.history))
        if self.book.history and seconds >= self.kept_at + KEPT_EVERY:
            spent, begun = (seconds, self.meter.evaluations), tuple(self.stages.begun)
            now = Unfinished(self.request, *spent, self.noises, begun, *found, self.beside)
            now.save(unfinished_file(self.book.out))
            self.kept_at = seconds

    def _advance(self) -> None:
        """Move the bar. This runs after each call of the model, because a slow model makes few calls per schedule."""
        self.bar.update(min(round(100 * self.meter.share), 100) - self.bar.n)
        self._keep()

    def _tick(self) -> None:
        self._advance()
        history = self.book.history
        best = f", error {history[-1].error:.4f}" if history and np.isfinite(history[-1].error) else ""
        self.bar.set_description_str(f"learn, {self.stages.begun[-1].name}{best}")

    def _report(self, reported: Noises | None, stopped: str) -> str:
        """Measure the results on noises that no search has used, and write the report."""
        self._stage(REPORT)
        self.meter.enforced = False  # the result needs its proof, even beyond the budget
        seconds, book = self.meter.seconds, self.book
        plans: dict[str, Plan] = {**self._known_grids()}
        plans |= {**self.beside, LEARNED: book.best.plan}
        history, spent = list(book.history), self.stages.spent(seconds)
        if self.samplers.history:
            plans[SAMPLER] = self.samplers.best.plan
            history = sorted(history + self.samplers.history, key=lambda found: found.seconds)
        proof = None
        if reported is not None:
            proof = Proof(
                self.trial,
                reported,
                plans,
                self.stages.cost_of("samplers", seconds),
                self.metrics,
                tuple(self.published),
            )
            book.document(proof.error).save(book.out)
            if proof.gains:
                self.samplers.document(proof.error_of(SAMPLER)).save(self.samplers.out)
            elif self.samplers.history:
                self.samplers.out.unlink(missing_ok=True)  # it was best on the selection noises only
        title = f"A schedule of {self.num_steps} steps for {book.name}, {self.trial.solver.name}"
        if proof is None and stopped == SPENT:
            stopped = f"{SPENT}. {enough(self.meter, seconds)}"
        text = write_report(book.out, title, plans, history, proof, spent, stopped, seconds)
        unfinished_file(book.out).unlink(missing_ok=True)
        return text
