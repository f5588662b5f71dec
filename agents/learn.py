"""`art-gym learn`: from a model to a better schedule for it, with proof, within a budget.

The closed form comes first and is written at once; then noises get precise endpoints, hand-made grids are compared, and
Gauss-Newton and CMA-ES improve on the best until the budget is spent. Three sets of noises keep apart what is fitted,
what is chosen and what is reported. Whatever stops it, the best schedule so far is in the file.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from art_gym.config import MAX_STEPS
from art_gym.denoisers.base import Denoiser, visible
from art_gym.files import write_text
from art_gym.quality import endpoint_error, image_error
from art_gym.sampling import integrate
from art_gym.schedules.closed_forms import ART_NODES, DUAL_NODES, art, cancellation_aware, dual_weighted
from art_gym.schedules.defect import FINALISTS, SCREENING, STEPS, GaussNewton, candidates, jacobian_cost
from art_gym.schedules.evolution import evolve
from art_gym.schedules.fine import reference_grid
from art_gym.schedules.fractions import levels_from_logits, logits_from_levels
from art_gym.schedules.grids import edm_grid, make_grid
from art_gym.schedules.schedule import Schedule
from art_gym.schedules.tuned import EVALUATIONS as TUNING
from art_gym.schedules.tuned import tuned
from art_gym.solvers import get_solver
from art_gym.tasks import task_names

from . import pictures
from .budget import Budget, BudgetSpent, Metered
from .edm_curve import steps_reaching
from .hyperparams import algorithm_class
from .runs import RIVALS

HAND_MADE = ("edm", "log_snr", "cosine", "arctan", "sigmoid")
EDM_TUNED = "edm, tuned"
TUNING_SHARE = 0.03  # of the budget, for EDM's grid with its two parameters fitted
FEWEST_TUNED = 8  # noises that it is fitted on
# Steps of RK4, 189 calls, to the precise endpoints: 2e-5 to 8e-5 off on Ring2D, Mixture1D, Digits and DigitsNet, where
# 96 steps of DPM-Solver++(2M) were 3e-4 to 3e-3 off, which is what a good schedule with many steps has itself.
REFERENCE_STEPS = 48
CHECKED = 4  # of the reported endpoints are solved again, with twice the steps
SAYS_LITTLE = 0.2  # of the learned schedule's error, from which on that of the endpoints is warned of
REFERENCE_SHARE = 0.3  # of the budget, for the precise endpoints of all three sets
CLOSED_FORM_SHARE = 0.05  # of the budget, for each closed form
DUAL_FORMS = {"dual-weighted closed form": dual_weighted, "cancellation-aware closed form": cancellation_aware}
DUAL_EVALUATIONS = DUAL_NODES * (DUAL_NODES + 2)  # of a noise: two solutions from each node to the end
DUAL_NOISES = (8, 64)  # with fewer it is not tried; more are not needed
SCREEN_SHARE = 0.2  # of the budget, for candidates on few latents
FIT_SHARE = 0.25  # of the budget, for Gauss-Newton from one start
FEWEST_FITTED = 16  # latents of it
AGENT_FROM = 0.5  # of the budget: where an agent is asked for, it has what is left then
SPLIT = (0.6, 0.15, 0.25)  # of the noises: fitted on, chosen on, reported on
CHUNK = 32  # noises that get precise endpoints at a time, and the fewest
MOST_NOISES = 1024
MORE_STEPS = (1.0, 1.25, 1.5, 2.0, 3.0, 4.0)  # times K, at which EDM's grid is tried for "steps saved"


@dataclass(frozen=True)
class Noises:
    """(B, *shape) latents at σ_max and their precise endpoints."""

    start: np.ndarray
    endpoints: np.ndarray


@dataclass(frozen=True)
class Found:
    """An improvement: when, by what, and its error on the noises that are chosen on."""

    seconds: float
    evaluations: int
    method: str
    error: float
    levels: np.ndarray


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
        if not 2 <= num_steps <= MAX_STEPS:
            raise ValueError(
                f"a schedule to learn has from 2 to {MAX_STEPS} steps, got {num_steps}: one step has nothing to learn"
            )
        check_writable(out)
        if agent in RIVALS:
            raise ValueError(f"{agent!r} is no RL agent: leave --agent out, CMA-ES follows by itself")
        if agent is not None:
            algorithm_class(agent)  # an unknown name is said now, not when its turn comes
        self.model, self.name, self.num_steps, self.solver = denoiser, name, num_steps, get_solver(solver)
        self.denoiser = Metered(denoiser, budget)
        self.out, self.seed, self.agent = out, seed, agent
        self.history: list[Found] = []
        self.beside: dict[str, np.ndarray] = {}  # levels that the learned ones are compared with, beside hand-made ones
        self.bar = tqdm(total=100, desc="learn", unit="%", disable=not progress, bar_format="{l_bar}{bar}| {postfix}")

    def run(self) -> str:
        """Learn until the budget is spent or Ctrl-C; returns the report, which is written beside the schedule."""
        interrupted, sets = False, None
        try:
            self._closed_form()
            sets = self._noises()
            self._compare(sets[0], sets[1])
            self._improve(sets[0], sets[1])
        except BudgetSpent:
            pass
        except KeyboardInterrupt:
            interrupted = True
        finally:
            self.bar.close()
        if not self.history:
            spent = f"{self.denoiser.evaluations} evaluations took {self.denoiser.seconds:.0f} s"
            reason = "it was interrupted" if interrupted else "the budget was spent"
            remedy = "nothing was written" if interrupted else "give it ten times as much"
            raise ValueError(f"{reason} before the closed form was found ({spent}): {remedy}")
        return self._report(sets, "it was interrupted" if interrupted else "the budget was spent")

    def _closed_form(self) -> None:
        self._stage("closed form")
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
        rng, grid = np.random.default_rng([self.seed, 1]), reference_grid(self.model, REFERENCE_STEPS)
        chunks: list[Noises] = []
        until, last = self.denoiser.share + REFERENCE_SHARE, 0.0
        while not chunks or (len(chunks) * CHUNK < MOST_NOISES and self.denoiser.share + last < until):
            before, start = self.denoiser.share, self._draw(CHUNK, rng)
            chunks.append(Noises(start, integrate(self.denoiser, grid, start, "rk4")))
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
        error = self._error(closed_form.levels, chosen)
        self.history.append(replace(closed_form, error=error))  # found then, though it is measured now
        for name in HAND_MADE:
            self._offer(name, make_grid(name, self.num_steps, self.model), chosen)
            self._tick()
        count = int(min(self.denoiser.affordable(TUNING_SHARE) / (TUNING * self.num_steps), len(fitted.start)))
        if count >= FEWEST_TUNED:
            noises = fitted.start[:count], fitted.endpoints[:count]
            lowest = self.model.sigma_min
            self.beside[EDM_TUNED] = tuned("edm", self.num_steps, self.denoiser, self.solver, *noises, lowest)[0]
            self._offer(EDM_TUNED, self.beside[EDM_TUNED], chosen)
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

    def _errors(self, samples: np.ndarray, noises: Noises) -> np.ndarray:
        """(B,) endpoint errors, without channels that carry a condition."""
        return endpoint_error(visible(samples, self.model), visible(noises.endpoints, self.model))

    def _error(self, levels: np.ndarray, noises: Noises) -> float:
        return float(self._errors(self._sample(levels, noises), noises).mean())

    def _sample(self, levels: np.ndarray, noises: Noises) -> np.ndarray:
        return integrate(self.denoiser, levels, noises.start, self.solver)

    def _offer(self, method: str, levels: np.ndarray, chosen: Noises) -> None:
        """Keep a schedule if it is the best so far on the noises that are chosen on."""
        error = self._error(levels, chosen)
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
        self._tick()

    def _tick(self) -> None:
        self.bar.n = min(round(100 * self.denoiser.share), 100)
        best = f", error {self.history[-1].error:.4f}" if self.history and np.isfinite(self.history[-1].error) else ""
        self.bar.set_postfix_str(f"{self.stage}{best}")

    def _report(self, sets: tuple[Noises, Noises, Noises] | None, stopped: str) -> str:
        """The table on noises that nothing was fitted or chosen on; the pictures; what each second bought."""
        best, folder = self.history[-1], self.out.parent
        files = {kind: folder / f"{self.out.stem}_{kind}.png" for kind in ("schedules", "progress")}
        grids = {name: make_grid(name, self.num_steps, self.model) for name in HAND_MADE} | self.beside
        lines = [f"# A schedule of {self.num_steps} steps for {self.name}, {self.solver.name}", ""]
        self.denoiser.enforced = False  # the proof belongs to the result, whatever was spent
        spent = f"{self.denoiser.seconds:.0f} s and {self.denoiser.evaluations:,} denoiser evaluations"
        if sets is None:
            lines += [f"After {spent} {stopped}: this is the closed form alone, and nothing was compared.", ""]
        else:
            lines += self._proof(sets[2], {**grids, "learned": best.levels})
            lines += [f"Learning took {spent}; {stopped}.", "", "| seconds | evaluations | by | error |"]
            lines += ["|---:|---:|:---|---:|"]
            compared = [found for found in self.history if np.isfinite(found.error)]
            lines += [f"| {f.seconds:.1f} | {f.evaluations:,} | {f.method} | {f.error:.4f} |" for f in compared]
            lines += ["", "(errors here are on the noises that were chosen on)", ""]
            if len(compared) > 1:
                seconds, errors = [f.seconds for f in compared], [f.error for f in compared]
                y_label = "mean endpoint error on the noises that were chosen on"
                pictures.training_curve(files["progress"], seconds, errors, {}, x_label="seconds", y_label=y_label)
        pictures.schedules(files["schedules"], {**grids, "learned": best.levels}, highlight="learned")
        lines += [f"![{kind}]({file.name})" for kind, file in files.items() if file.exists()]
        text = "\n".join(lines) + "\n"
        write_text(folder / f"{self.out.stem}_report.md", text)
        return text

    def _proof(self, reported: Noises, grids: dict[str, np.ndarray]) -> Iterator[str]:
        samples = {name: self._sample(levels, reported) for name, levels in grids.items()}
        errors = {name: self._errors(found, reported) for name, found in samples.items()}
        learned = errors["learned"]
        self._schedule(float(learned.mean())).save(self.out)
        yield f"Mean endpoint error on {len(reported.start)} noises that nothing was fitted or chosen on:"
        decoded = getattr(self.model, "decode", None) is not None
        heads = ["schedule", "error ± 95 %", *(["image error ± 95 %"] if decoded else []), "learned is better on"]
        yield from ("", f"| {' | '.join(heads)} |", f"|:---{'|---:' * (len(heads) - 1)}|")
        for name, found in sorted(errors.items(), key=lambda entry: -entry[1].mean()):
            shown = [visible(x, self.model) for x in (samples[name], reported.endpoints)]
            images = [_interval(image_error(self.model, *shown))] if decoded else []
            wins = "–" if name == "learned" else f"{100 * float((learned < found).mean()):.0f} % of them"
            label = f"**{name}**" if name == "learned" else name
            yield f"| {' | '.join([label, _interval(found), *images, wins])} |"
        yield from ("", self._steps_saved(reported, float(learned.mean())), "")
        yield from (self._precision(reported, float(learned.mean())), "")

    def _precision(self, reported: Noises, error: float) -> str:
        few = Noises(reported.start[:CHECKED], reported.endpoints[:CHECKED])
        solved_again = integrate(self.denoiser, reference_grid(self.model, 2 * REFERENCE_STEPS), few.start, "rk4")
        off = float(self._errors(solved_again, few).mean())
        said = f"The precise endpoints themselves are {off:.1g} off (mean of {len(few.start)})"
        if off < SAYS_LITTLE * error:
            return f"{said}."
        return f"{said}: errors that are not much larger say little. Is the model smooth in σ down to its sigma_min?"

    def _steps_saved(self, reported: Noises, error: float) -> str:
        steps = [round(factor * self.num_steps) for factor in MORE_STEPS]
        curve = [self._error(edm_grid(k, self.model), reported) for k in steps]
        needed = steps_reaching(error, steps, curve)
        if not np.isfinite(needed):
            return f"EDM does not reach in {steps[-1]} steps what the learned schedule does in {self.num_steps}."
        if needed <= self.num_steps:
            return f"EDM's grid is as good in {self.num_steps} steps: nothing was gained."
        saved = 100 * (1 - self.num_steps / needed)
        return f"EDM needs about {needed:.1f} steps for what it does in {self.num_steps}: {saved:.0f} % fewer."


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


def _interval(errors: np.ndarray) -> str:
    return f"{errors.mean():.4f} ± {1.96 * errors.std() / np.sqrt(len(errors)):.4f}"


def check_writable(out: Path) -> None:
    """Make the folder of a file that is to be written at the end. Raises a ValueError if it will not be possible."""
    if out.is_dir():
        raise ValueError(f"{out} is a folder: name a file in it, as with -o {out / 'schedule.json'}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise ValueError(f"cannot write to {out.parent} ({error.strerror}): name another file with -o") from None


def load_model(
    path: Path,
    scheduler: Path | None,
    data_std: float,
    device: str,
    max_batch: int,
    dtype: str = "float32",
    variant: str | None = None,
) -> Denoiser:
    """The denoiser of a local diffusers folder. Raises a ValueError that says what is wrong with it."""
    import torch

    from art_gym.denoisers.adapters import from_diffusers

    if path.suffix in (".pkl", ".pt", ".pth", ".ckpt", ".bin"):
        raise ValueError(
            f"{path} is a pickle, which can run any code when it is loaded: save the model as a diffusers folder with "
            f"safetensors, or load it in Python with art_gym.denoisers.from_edm(path, trust_pickle=True)"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what model libraries say on import and on loading
        return from_diffusers(
            path,
            scheduler,
            dtype=getattr(torch, dtype),
            variant=variant,
            data_std=data_std,
            device=device,
            max_batch=max_batch,
        )
