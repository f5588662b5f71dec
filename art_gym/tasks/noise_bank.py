"""Noises and their precise endpoints under the ODE, made lazily and kept in the user's cache folder."""

from __future__ import annotations

import hashlib
import os
import threading
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from art_gym.common.files import replacing
from art_gym.common.messages import short
from art_gym.common.reading import MOST_WEIGHTS, check_regular
from art_gym.denoisers.base import LARGE, Array, Checked, Denoiser, visible
from art_gym.denoisers.checks import check_call_once
from art_gym.denoisers.devices import run_there
from art_gym.measures.errors import endpoint_error, image_error
from art_gym.schedules.fine import REFERENCE_STEPS, reference_grid
from art_gym.schedules.grids.base import edm_grid
from art_gym.solvers.base import Solver
from art_gym.solvers.loop import integrate, path

SPLITS = {"train": 0, "heldout": 1}  # the stream of the random generator: the two never share a noise
FEW = 256  # up to this many noises are not rounded up to a whole chunk
SHIPPED = "data/endpoints.npz"
GROWING = threading.RLock()  # environments in threads share banks, and one thread at a time makes missing noises
CHUNK_ELEMENTS = 16384  # a chunk has about this many elements of x, so that the first is ready within seconds


def default_cache_folder() -> Path:
    """Return the user's cache folder, or the folder in the environment variable ART_GYM_CACHE."""
    return Path(os.environ.get("ART_GYM_CACHE") or platformdirs.user_cache_dir("art_gym"))


class NoiseBank:
    """Noises x = σ_max ε of one split, with precise endpoints, made chunk by chunk when they are needed.

    Index i is always the same noise. It depends only on the split, the chunk and the shape.

    Args:
        denoiser: makes the endpoints.
        split: "train" or "heldout".
        size: number of noises. More than 256 are rounded up to whole chunks.
    """

    def __init__(self, denoiser: Denoiser, split: str, size: int) -> None:
        if split not in SPLITS:
            raise ValueError(f"unknown split {short(split)}: choose one of {', '.join(SPLITS)}")
        if size < 1:
            raise ValueError(f"a noise bank needs at least one noise, got size={size}")
        self.denoiser, self.split = denoiser, split
        elements = int(np.prod(denoiser.shape))
        chunk = max(32 if elements >= LARGE else 256, CHUNK_ELEMENTS // elements)
        # Few noises suggest a slow denoiser, so only these are made. They are the first of a whole chunk.
        self.chunk = min(size, chunk) if size <= FEW else chunk
        self.size = -(-size // self.chunk) * self.chunk
        self.start = np.empty((0, *denoiser.shape), np.float32)  # (rows, *shape): x at σ_max
        self.endpoints = np.empty((0, *denoiser.shape), np.float32)  # (rows, *shape): x at 0
        self._paths: np.ndarray | None = None
        self._reference_errors: dict[tuple[str, int, bool], np.ndarray] = {}
        self._conditions = np.empty(0, np.int64)

    def adopt(self, start: np.ndarray, endpoints: np.ndarray) -> None:
        """Hold only these noises and their precise endpoints, (B, *shape) each."""
        self.start, self.endpoints = start, endpoints
        self.size = self.chunk = len(start)
        self._conditions = np.empty(0, np.int64)

    def ensure(self, rows: int) -> None:
        """Make sure that at least this many rows exist.

        Raises:
            IndexError: if the bank is smaller.
            ValueError: if the denoiser gives values that are not finite; the message names σ.
        """
        if rows > self.size:
            raise IndexError(f"noise {rows - 1} asked for, but the {self.split} bank has {self.size}")
        if rows > len(self.endpoints):
            with GROWING:
                self._grow(rows)

    def _grow(self, rows: int) -> None:
        from tqdm import tqdm  # seldom needed, so `import art_gym` does not import it

        chunks = range(len(self.start) // self.chunk, -(-rows // self.chunk))
        total = len(chunks) * (len(reference_grid(self.denoiser)) - 1)
        # Shown only on a terminal and if it takes long. With a slow denoiser a first reset takes 10 s.
        with tqdm(total=total, desc="precise endpoints", unit="step", delay=2, disable=None, leave=False) as bar:
            for chunk in chunks:
                start, endpoints = self._make_chunk(chunk, bar.update)
                self.start = np.concatenate([self.start, start])
                self.endpoints = np.concatenate([self.endpoints, endpoints])

    def first(self, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the first noises at σ_max and their precise endpoints, (rows, *shape) each. Raises as `ensure`."""
        self.ensure(rows)
        return self.start[:rows], self.endpoints[:rows]

    def conditions(self, rows: int) -> np.ndarray | None:
        """Return the condition of each noise, (≥ rows,), or None if an episode may mix conditions.

        Raises:
            ValueError: if the denoiser's ``condition`` does not give a whole number for each noise.
        """
        of = getattr(self.denoiser, "condition", None)
        if of is None:
            return None
        with GROWING:
            while len(self._conditions) < rows:
                done = len(self._conditions)
                made = done < len(self.start)
                noises = self.start[done : done + self.chunk] if made else self.noises(done // self.chunk)
                found = np.asarray(of(noises))
                if found.shape != (len(noises),) or not np.issubdtype(found.dtype, np.integer):
                    raise ValueError(
                        f"condition must give a whole number for each noise, an array of shape ({len(noises)},), got "
                        f"{found.dtype} of shape {found.shape}"
                    )
                self._conditions = np.concatenate([self._conditions, found])
            return self._conditions

    def reference_errors(self, solver: Solver, num_steps: int, rows: int, images: bool = False) -> np.ndarray:
        """Return (≥ rows,) endpoint errors of EDM's grid of that many steps. ``images`` means errors in image space."""
        key = (solver.name, num_steps, images)
        with GROWING:
            known = self._reference_errors.get(key, np.empty(0, np.float32))
            if len(known) < rows:
                self.ensure(rows)
                todo = slice(len(known), len(self.start))
                samples = integrate(self.denoiser, edm_grid(num_steps, self.denoiser), self.start[todo], solver)
                shown = [visible(x, self.denoiser) for x in (samples, self.endpoints[todo])]
                errors = image_error(self.denoiser, *shown) if images else endpoint_error(*shown)
                known = np.concatenate([known, errors])
                self._reference_errors[key] = known
            return known

    def paths(self, rows: int) -> np.ndarray:
        """Return the precise solution at the M+1 levels of `reference_grid`, (≥ rows, M+1, *shape)."""
        with GROWING:
            done = 0 if self._paths is None else len(self._paths)
            if self._paths is None or done < rows:
                self.ensure(rows)
                start = self.start[done:]
                grid = reference_grid(self.denoiser)
                new = np.stack([start, *path(self.denoiser, grid, start, "rk4")], axis=1)
                self._paths = new if self._paths is None else np.concatenate([self._paths, new])
            return self._paths

    def _make_chunk(self, chunk: int, tick: Callable[[], object]) -> tuple[np.ndarray, np.ndarray]:
        start, key = self.noises(chunk), self.key(chunk)
        if key is None:
            return start, precise_endpoints(self.denoiser, start, tick)
        file = default_cache_folder() / "endpoints" / f"{key}.npz"
        endpoints = _shipped(key)
        if endpoints is None:
            endpoints = load_endpoints(file, start.shape)
        if endpoints is None:
            endpoints = precise_endpoints(self.denoiser, start, tick)
            save_endpoints(file, endpoints)
        return start, endpoints

    def noises(self, chunk: int) -> np.ndarray:
        """Return the (chunk, *shape) noises at σ_max."""
        # The first two numbers keep this stream apart from those of environments and estimators.
        rng = np.random.default_rng([2607, 2137, SPLITS[self.split], chunk])
        noise = rng.standard_normal((self.chunk, *self.denoiser.shape), dtype=np.float32)
        start = np.float32(self.denoiser.sigma_max) * noise
        arrange = getattr(self.denoiser, "arrange", None)
        return start if arrange is None else arrange(start, chunk * self.chunk)

    def key(self, chunk: int) -> str | None:
        """Return a hash of all that a chunk's endpoints depend on, or None for a denoiser without a fingerprint."""
        fingerprint = getattr(self.denoiser, "fingerprint", None)
        if fingerprint is None:
            return None
        ends = self.denoiser.sigma_min, self.denoiser.sigma_max, self.denoiser.data_std  # set the reference grid
        rounded = tuple(f"{end:.6g}" for end in ends)  # another processor's sums may differ in the last digit
        key = repr((3, fingerprint, self.denoiser.shape, rounded, REFERENCE_STEPS, self.split, chunk, self.chunk))
        return hashlib.sha256(key.encode()).hexdigest()[:32]


def precise_endpoints(denoiser: Denoiser, start: np.ndarray, tick: Callable[[], object] = lambda: None) -> np.ndarray:
    """Solve the ODE from (B, *shape) noises to endpoints, by RK4 on `reference_grid`. Calls ``tick`` at each step.

    Raises:
        ValueError: if the denoiser gives values that are not finite; the message names σ.
    """

    def run(x: Array) -> Array:
        for after in path(Checked(denoiser), reference_grid(denoiser), x, "rk4"):
            x = after
            tick()
        return x

    endpoints: np.ndarray = run_there(run, start, denoiser)
    return endpoints


def _shipped(key: str) -> np.ndarray | None:
    """Return shipped endpoints, or None. Exact tasks have them, to save half a minute (benchmarks/endpoints.py)."""
    with resources.files("art_gym").joinpath(SHIPPED).open("rb") as file, np.load(file, allow_pickle=False) as stored:
        found: np.ndarray | None = stored.get(key)
        return found


def load_endpoints(file: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return the cached array, or None if it is missing or damaged. Then it is made again."""
    try:
        check_regular(file, MOST_WEIGHTS)
        with file.open("rb") as handle, np.load(handle, allow_pickle=False) as stored:
            array, checksum = stored["endpoints"], int(stored["checksum"])
    except Exception:  # for a damaged file, numpy and zipfile raise errors of a dozen kinds
        return None
    usable = array.shape == shape and array.dtype == np.float32 and zlib.crc32(array.tobytes()) == checksum
    return array if usable else None


def save_endpoints(file: Path, array: np.ndarray) -> None:
    """Write to a temporary name, then rename. A cache that cannot be written is ignored."""
    with suppress(OSError), replacing(file) as temporary:
        np.savez(temporary, endpoints=array, checksum=zlib.crc32(array.tobytes()))


@dataclass(frozen=True, eq=False)
class Same:
    """A key that compares a user's object by identity, because it may define its own equality and have no hash."""

    one: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.one is self.one

    def __hash__(self) -> int:
        return id(self.one)


@lru_cache(maxsize=16)
def _cached_bank(same: Same, split: str, size: int) -> NoiseBank:
    check_call_once(same.one)
    return NoiseBank(same.one, split, size)


def get_bank(denoiser: Denoiser, split: str, size: int) -> NoiseBank:
    """Return the bank of this denoiser object. All environments of a process share it.

    Raises:
        ValueError: if the denoiser cannot be called as one.
    """
    with GROWING:
        return _cached_bank(Same(denoiser), split, size)
