"""The noises of `art-gym learn`: their prompts or classes, their precise endpoints, and the files that keep these."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from art_gym.denoisers.base import Denoiser
from art_gym.tasks.noise_bank import default_cache_folder, load_endpoints, save_endpoints

from .trial import REFERENCE_STEPS, Noises, Trial

REFERENCE_SHARE = 0.3  # share of the budget for the precise endpoints of all three sets
SPLIT = (0.6, 0.15, 0.25)  # shares of the noises to fit, to select and to report on
CHUNK = 32  # noises that get precise endpoints at a time, and the minimum in all
MOST_NOISES = 1024
HELD_OUT = 0.25  # share of the prompts or classes that only the report sees
KEPT_FROM = 1.0  # seconds: endpoints that took longer are kept on disk


@dataclass(frozen=True)
class Draws:
    """Draws noises, with prompts or classes if the model has several to choose from.

    Attributes:
        model: what they are for.
        fitted: indices of the conditions to fit and to select on.
        heldout: indices of the others, on which nothing is fitted. The same ones if there is only one condition.
    """

    model: Denoiser
    fitted: np.ndarray
    heldout: np.ndarray

    @classmethod
    def of(cls, model: Denoiser, seed: int) -> Draws:
        """Split the conditions of a model at random."""
        count = len(getattr(model, "labels", ())) or 1
        order, out = np.random.default_rng([seed, 2]).permutation(count), max(round(HELD_OUT * count), 1)
        return cls(model, np.sort(order[out:]), np.sort(order[:out])) if count > 1 else cls(model, order, order)

    def draw(self, count: int, rng: np.random.Generator, heldout: int = 0) -> np.ndarray:
        """Return (count, *shape) noises at σ_max, the last ``heldout`` of them with held-out conditions."""
        model = self.model
        noises: np.ndarray = np.float32(model.sigma_max) * rng.standard_normal((count, *model.shape), np.float32)
        if not hasattr(model, "choose"):
            return noises
        parts = ((self.fitted, count - heldout), (self.heldout, heldout))
        index = np.concatenate([np.resize(rng.permutation(conditions), rows) for conditions, rows in parts])
        chosen: np.ndarray = model.choose(noises, index)
        return chosen


def solved(
    trial: Trial, draws: Draws, seed: int, until: float, tick: Callable[[], None], known: int | None = None
) -> tuple[Noises, Noises, Noises]:
    """Solve chunks for precise endpoints while one more fits the budget, and split them into the three sets.

    The time of the last chunk predicts the next one, because single samples say nothing about the speed of batches.

    Args:
        trial, draws, seed: what to solve.
        until: share of the budget that may be spent then.
        tick: called after each chunk.
        known: how many noises an earlier run has solved. It stops at these.
    """
    meter, rng = trial.denoiser, np.random.default_rng([seed, 1])
    cuts = np.cumsum([round(share * CHUNK) for share in SPLIT[:2]])
    chunks: list[Noises] = []
    last = 0.0
    most = MOST_NOISES if known is None else known
    while not chunks or (len(chunks) * CHUNK < most and (known is not None or meter.share + last < until)):
        before, start = meter.share, draws.draw(CHUNK, rng, CHUNK - int(cuts[-1]))
        chunks.append(Noises(start, _endpoints(trial, start)))
        last = meter.share - before
        tick()
    starts, ends = (
        [np.split(getattr(chunk, part), cuts) for chunk in chunks] for part in ("start", "endpoints")
    )  # of each chunk, the rows of the three sets
    fitted, chosen, reported = (
        Noises(np.concatenate(start), np.concatenate(end))
        for start, end in zip(zip(*starts, strict=True), zip(*ends, strict=True), strict=True)
    )
    return fitted, chosen, reported


def _endpoints(trial: Trial, start: np.ndarray) -> np.ndarray:
    """The precise endpoints of (B, *shape) noises, from disk if an earlier run has kept them."""
    named = getattr(trial.model, "fingerprint", None)
    if named is None:
        return trial.solve(start)
    digest = hashlib.sha256(f"{named} {REFERENCE_STEPS}".encode() + start.tobytes()).hexdigest()
    file = default_cache_folder() / "learn" / f"{digest}.npz"
    if (kept := load_endpoints(file, start.shape)) is not None:
        return kept
    began = time.perf_counter()
    found = trial.solve(start)
    if time.perf_counter() - began > KEPT_FROM:
        save_endpoints(file, found)
    return found
