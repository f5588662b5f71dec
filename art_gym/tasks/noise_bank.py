"""Noises and the precise endpoints that the ODE takes them to, made lazily and kept in the user's cache folder."""

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
from art_gym.denoisers.base import Denoiser, checked, visible
from art_gym.denoisers.checks import check_call_once
from art_gym.measures.errors import endpoint_error, image_error
from art_gym.schedules.fine import REFERENCE_STEPS, reference_grid
from art_gym.schedules.grids.base import edm_grid
from art_gym.solvers.base import Solver
from art_gym.solvers.loop import integrate, path

SPLITS = {"train": 0, "heldout": 1}  # the stream of the random generator: the two never share a noise
LARGE = 512  # elements of a latent from which on its denoiser is taken to be slow: chunks are smaller
FEW = 256  # noises that are not rounded up to a whole chunk
SHIPPED = "data/endpoints.npz"
GROWING = threading.RLock()  # environments in threads share banks: one at a time makes what is missing
CHUNK_ELEMENTS = 16384  # a chunk has about this many elements of x, so that the first is ready within seconds


def default_cache_folder() -> Path:
    """The user's cache folder; the environment variable ART_GYM_CACHE names another one."""
    return Path(os.environ.get("ART_GYM_CACHE") or platformdirs.user_cache_dir("art_gym"))


class NoiseBank:
    """Noises x = σ_max ε of one split, with precise endpoints, grown chunk by chunk as higher indices are asked for.

    Index i is the same noise for ever: it depends on the split, the chunk and the shape alone.

    Args:
        denoiser: makes the endpoints.
        split: "train" or "heldout".
        size: how many noises there are; more than 256 are rounded up to whole chunks.
    """

    def __init__(self, denoiser: Denoiser, split: str, size: int) -> None:
        if split not in SPLITS:
            raise ValueError(f"unknown split {split!r}: choose one of {', '.join(SPLITS)}")
        if size < 1:
            raise ValueError(f"a noise bank needs at least one noise, got size={size}")
        self.denoiser, self.split = denoiser, split
        elements = int(np.prod(denoiser.shape))
        chunk = max(32 if elements >= LARGE else 256, CHUNK_ELEMENTS // elements)
        # Who asks for few noises has a slow denoiser: these are the first of a whole chunk, and no more are made.
        self.chunk = min(size, chunk) if size <= FEW else chunk
        self.size = -(-size // self.chunk) * self.chunk
        self.start = np.empty((0, *denoiser.shape), np.float32)  # (rows, *shape): x at σ_max
        self.endpoints = np.empty((0, *denoiser.shape), np.float32)  # (rows, *shape): x at 0
        self._paths: np.ndarray | None = None
        self._reference_errors: dict[tuple[str, int, bool], np.ndarray] = {}
        self._conditions = np.empty(0, np.int64)

    def adopt(self, start: np.ndarray, endpoints: np.ndarray) -> None:
        """Hold these noises and their precise endpoints, (B, *shape) each, and no others."""
        self.start, self.endpoints = start, endpoints
        self.size = self.chunk = len(start)
        self._conditions = np.empty(0, np.int64)

    def ensure(self, rows: int) -> None:
        """Have at least this many rows at hand.

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
        from tqdm import tqdm  # seldom needed, and not on the way of `import art_gym`

        chunks = range(len(self.start) // self.chunk, -(-rows // self.chunk))
        total = len(chunks) * (len(reference_grid(self.denoiser)) - 1)
        # On a terminal, and if it takes long: a first reset would be silent for 10 s with a slow denoiser.
        with tqdm(total=total, desc="precise endpoints", unit="step", delay=2, disable=None, leave=False) as bar:
            for chunk in chunks:
                start, endpoints = self._make_chunk(chunk, bar.update)
                self.start = np.concatenate([self.start, start])
                self.endpoints = np.concatenate([self.endpoints, endpoints])

    def first(self, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """(rows, *shape) each: the first noises at σ_max and their precise endpoints. Raises as `ensure`."""
        self.ensure(rows)
        return self.start[:rows], self.endpoints[:rows]

    def conditions(self, rows: int) -> np.ndarray | None:
        """(≥ rows,) condition of each noise, which those of an episode share; None where they may be mixed.

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
        """(≥ rows,) endpoint errors of EDM's grid of that many steps, on the same noises; in image space if asked."""
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
        """(≥ rows, M+1, *shape): the precise solution at the M+1 levels of `reference_grid`."""
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
            endpoints = _load(file, start.shape)
        if endpoints is None:
            endpoints = precise_endpoints(self.denoiser, start, tick)
            _save(file, endpoints)
        return start, endpoints

    def noises(self, chunk: int) -> np.ndarray:
        """(chunk, *shape) noises at σ_max."""
        # The first two numbers keep this stream apart from those of environments and estimators.
        rng = np.random.default_rng([2607, 2137, SPLITS[self.split], chunk])
        noise = rng.standard_normal((self.chunk, *self.denoiser.shape), dtype=np.float32)
        return np.float32(self.denoiser.sigma_max) * noise

    def key(self, chunk: int) -> str | None:
        """Hash of all that the endpoints of a chunk depend on; None for a denoiser without a fingerprint."""
        fingerprint = getattr(self.denoiser, "fingerprint", None)
        if fingerprint is None:
            return None
        ends = self.denoiser.sigma_min, self.denoiser.sigma_max, self.denoiser.data_std  # of the reference grid
        rounded = tuple(f"{end:.6g}" for end in ends)  # another processor's sums may differ in the last digit
        key = repr((3, fingerprint, self.denoiser.shape, rounded, REFERENCE_STEPS, self.split, chunk, self.chunk))
        return hashlib.sha256(key.encode()).hexdigest()[:32]


def precise_endpoints(denoiser: Denoiser, start: np.ndarray, tick: Callable[[], object] = lambda: None) -> np.ndarray:
    """(B, *shape) where the ODE takes (B, *shape) noises, by RK4 on `reference_grid`; ``tick`` is called at each step.

    Raises:
        ValueError: if the denoiser gives values that are not finite; the message names σ.
    """
    x = start
    for after in path(checked(denoiser), reference_grid(denoiser), start, "rk4"):
        x = after
        tick()
    return x


def _shipped(key: str) -> np.ndarray | None:
    """Endpoints of an exact task, which take up to half a minute (by benchmarks/endpoints.py); None for others."""
    with resources.files("art_gym").joinpath(SHIPPED).open("rb") as file, np.load(file, allow_pickle=False) as stored:
        found: np.ndarray | None = stored.get(key)
        return found


def _load(file: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The cached array, or None where there is none or it is damaged (it is made again then)."""
    try:
        with file.open("rb") as handle, np.load(handle, allow_pickle=False) as stored:
            array, checksum = stored["endpoints"], int(stored["checksum"])
    except Exception:  # of a damaged file, numpy and zipfile raise errors of a dozen kinds
        return None
    usable = array.shape == shape and array.dtype == np.float32 and zlib.crc32(array.tobytes()) == checksum
    return array if usable else None


def _save(file: Path, array: np.ndarray) -> None:
    """Write to a temporary name and rename; a cache that cannot be written is done without."""
    with suppress(OSError), replacing(file) as temporary:
        np.savez(temporary, endpoints=array, checksum=zlib.crc32(array.tobytes()))


@dataclass(frozen=True, eq=False)
class Same:
    """A user's object, such as a denoiser, as a key by identity: it may have an equality of its own, and no hash."""

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
    """The bank of this denoiser object, one in a process however many environments use it.

    Raises:
        ValueError: for a denoiser that cannot be called as one.
    """
    with GROWING:
        return _cached_bank(Same(denoiser), split, size)
