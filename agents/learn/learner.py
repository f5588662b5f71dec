"""`art-gym learn`: finds a better schedule and a better sampler for a model, with proof, within a budget.

The closed form comes first and is written at once. Then the learner computes precise endpoints, compares hand-made
grids, and improves the best one by Gauss-Newton. From the best schedule it fits samplers, and it gives the rest of the
budget to CMA-ES. It fits, selects and reports on three separate sets of noises. Whenever it stops, the files hold the
best so far.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path

import numpy as np
from tqdm import tqdm

from art_gym.common.isolation import isolated
from art_gym.common.messages import place_of
from art_gym.denoisers.base import Denoiser, check_single
from art_gym.denoisers.checks import check_call_once
from art_gym.samplers.plans import Plan, is_sampler, levels_of
from art_gym.schedules.grids.base import make_grid
from art_gym.schedules.published import published
from art_gym.solvers.base import get_solver

from ..reports.comparison import label
from ..training.divergence import Diverged
from .book import Book
from .budget import Budget, BudgetSpent, Metered
from .cost import cost_of, least_evaluations
from .metrics import Metric
from .noises import Draws, solved
from .report import LEARNED, SAMPLER, Proof, write_report
from .request import check_request, sampler_file
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
from .trial import Noises, Trial

SCHEDULE_UNTIL = 0.5  # share of the budget after which samplers follow, or an agent if asked for
SAMPLERS_UNTIL = 0.85  # share of the budget after which CMA-ES follows
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
        self.num_steps, self.seed, self.agent, self.metrics = num_steps, seed, agent, metrics or {}
        self.meter = Metered(denoiser, budget, self._advance)
        self.trial = Trial(denoiser, self.meter, get_solver(solver))
        self.draws = Draws.of(denoiser, seed)
        self.book = Book(self.trial, name, seed, out)
        self.samplers = Book(self.trial, name, seed, sampler_file(out))
        self.beside: dict[str, np.ndarray] = {}  # other levels to compare with, in addition to hand-made ones
        self.published: dict[str, np.ndarray] = {}  # grids that are known for the model, once it was called
        self.stages: list[tuple[str, float, int]] = []  # names, and seconds and evaluations at their start
        self.bar = tqdm(total=100, desc="learn", unit="%", disable=not progress, bar_format="{l_bar}{bar}|")

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
            self._closed_form()
            sets = self._noises()
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
        self._stage("closed form")
        model = self.trial.model
        check_single(model)
        check_call_once(model)
        rng = np.random.default_rng([self.seed, 0])
        probe = self.draws.draw(2, rng)
        # These calls show how fast the model is. The meter also checks that its results are finite.
        for sigma in (model.sigma_max, model.data_std, model.sigma_min):
            self.meter(probe, np.full(2, sigma, np.float32))
        _choose_threads(lambda: self.meter(probe, np.full(2, model.data_std, np.float32)))
        self.bar.write(f"art-gym: {cost_of(self.trial, self.draws, self.num_steps, rng)}")
        self.published = published(model, self.num_steps)
        levels = closed_form(self.trial, self.num_steps, lambda count: self.draws.draw(count, rng))
        self.beside[ART] = levels
        self.book.offer(ART, levels)

    def _noises(self) -> tuple[Noises, Noises, Noises]:
        self._stage("precise endpoints")
        return solved(self.trial, self.draws, self.seed, self._tick)

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
        self._stage(stage)
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

        self._stage(agent)

        def offered(levels: np.ndarray) -> None:
            self.book.offer(agent, levels)
            self._tick()

        left = self.meter.affordable(1 - self.meter.share)
        best, noises = self._best_levels(), (fitted.start, fitted.endpoints)
        train_agent(self.meter, best, self.trial.solver.name, agent, self.seed, noises, left, offered)

    def _stage(self, label: str) -> None:
        self.stages.append((label, self.meter.seconds, self.meter.evaluations))
        self._tick()

    def _advance(self) -> None:
        """Move the bar. This runs after each call of the model, because a slow model makes few calls per schedule."""
        self.bar.update(min(round(100 * self.meter.share), 100) - self.bar.n)

    def _tick(self) -> None:
        self._advance()
        history = self.book.history
        best = f", error {history[-1].error:.4f}" if history and np.isfinite(history[-1].error) else ""
        self.bar.set_description_str(f"learn, {self.stages[-1][0]}{best}")

    def _report(self, reported: Noises | None, stopped: str) -> str:
        """Measure the results on noises that no search has used, and write the report."""
        self.meter.enforced = False  # the result needs its proof, even beyond the budget
        seconds, book = self.meter.seconds, self.book
        plans: dict[str, Plan] = {**self._known_grids()}
        plans |= {**self.beside, LEARNED: book.best.plan}
        history, spent = list(book.history), self._spent(seconds)
        if self.samplers.history:
            plans[SAMPLER] = self.samplers.best.plan
            history = sorted(history + self.samplers.history, key=lambda found: found.seconds)
        proof = None
        if reported is not None:
            proof = Proof(
                self.trial, reported, plans, self._cost_of_samplers(seconds), self.metrics, tuple(self.published)
            )
            book.document(proof.error).save(book.out)
            if proof.gains:
                self.samplers.document(proof.error_of(SAMPLER)).save(self.samplers.out)
            elif self.samplers.history:
                self.samplers.out.unlink(missing_ok=True)  # it was best on the selection noises only
        title = f"A schedule of {self.num_steps} steps for {book.name}, {self.trial.solver.name}"
        if proof is None and stopped == SPENT:
            stopped = f"{SPENT}. {self._advice(seconds)}"
        return write_report(book.out, title, plans, history, proof, spent, stopped, seconds)

    def _spent(self, seconds: float) -> str:
        ends = [begun for _, begun, _ in self.stages[1:]] + [seconds]
        stages = [f"{stage} until {end:.1f} s" for (stage, *_), end in zip(self.stages, ends, strict=True)]
        return f"{seconds:.0f} s and {self.meter.evaluations:,} denoiser evaluations ({', '.join(stages)})"

    def _cost_of_samplers(self, seconds: float) -> str:
        """What the stage of samplers took, in words. Empty without it."""
        begun = [place for place, (stage, *_) in enumerate(self.stages) if stage == "samplers"]
        if not begun:
            return ""
        now = ("", seconds, self.meter.evaluations)
        (_, first, before), (_, last, after) = [*self.stages, now][begun[0] : begun[0] + 2]
        return f"{last - first:.0f} s and {after - before:,} evaluations, after {before:,} for the schedule"

    def _advice(self, seconds: float) -> str:
        """The budget that a comparison needs, in words."""
        wanted = least_evaluations()
        took = wanted * seconds / max(self.meter.evaluations, 1)
        return f"Give at least {wanted:,.0f} evaluations, which take about {took:.0f} s at this speed"


def _choose_threads(call: Callable[[], object]) -> None:
    """Make a call with all of torch's threads and with one, and keep the faster setting.

    Threads wait for each other on cores that other programs use. A small model can take a thousand times as long.
    """
    import torch

    seconds = {}
    for threads in dict.fromkeys((torch.get_num_threads(), 1)):
        torch.set_num_threads(threads)
        began = time.perf_counter()
        call()
        seconds[threads] = time.perf_counter() - began
    torch.set_num_threads(min(seconds, key=lambda threads: seconds[threads]))
