"""Noise banks: precise endpoints, separate streams, growth, and the cache on disk."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from art_gym.denoisers import FunctionDenoiser, GaussianMixture
from art_gym.envs.config import load_config
from art_gym.measures.errors import endpoint_error
from art_gym.schedules.fine import reference_grid
from art_gym.schedules.grids.base import edm_grid
from art_gym.solvers.base import get_solver
from art_gym.solvers.loop import integrate
from art_gym.tasks.noise_bank import SPLITS, NoiseBank, get_bank, precise_endpoints
from art_gym.tasks.registry import BUILT_IN, NETWORKS, get_task


class CountedMixture(GaussianMixture):
    """N(0, s²) that counts its calls. Its 256 dimensions keep a chunk small."""

    def __init__(self, std: float = 1.0) -> None:
        super().__init__(np.zeros((1, 256)), std)
        self.calls = 0

    def __call__(self, x: Any, sigma: Any) -> Any:
        self.calls += 1
        return super().__call__(x, sigma)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ART_GYM_CACHE", str(tmp_path))
    return tmp_path


def test_endpoints_of_a_gaussian_are_the_exact_flow() -> None:
    bank = get_bank(get_task("gaussian_1d"), "train", 4096)
    bank.ensure(1)
    np.testing.assert_allclose(bank.endpoints, bank.start / np.sqrt(1 + 80.0**2), rtol=2e-5, atol=1e-6)


def test_paths_of_a_gaussian_are_the_exact_flow() -> None:
    denoiser = get_task("gaussian_1d")
    bank = get_bank(denoiser, "train", 4096)
    grid = reference_grid(denoiser)
    paths = bank.paths(1)
    assert paths.shape == (len(bank.start), len(grid), 1)
    expected = bank.start[:64, None, 0] * np.sqrt((1 + grid**2) / (1 + 80.0**2))
    np.testing.assert_allclose(paths[:64, :, 0], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(paths[:, -1], bank.endpoints[: len(paths)])


@pytest.mark.parametrize("task", BUILT_IN)
def test_reference_is_precise(task: str) -> None:
    """Against 12 times the steps in float64, the error is below the rewards' floor, or far below any score."""
    denoiser = get_task(task)
    bank = get_bank(denoiser, "train", 4096)
    bank.ensure(1)
    count = 8 if task == "digits" else 128
    fine = integrate(denoiser, reference_grid(denoiser, 1152), bank.start[:count].astype(np.float64), "rk4")
    errors = endpoint_error(bank.endpoints[:count], fine)
    assert np.median(errors) < 1e-4 * denoiser.data_std
    assert errors.mean() < 5e-4 * denoiser.data_std


def test_train_and_heldout_never_share() -> None:
    train, heldout = (get_bank(get_task("ring_2d"), split, 4096) for split in ("train", "heldout"))
    for bank in (train, heldout):
        bank.ensure(1)
        assert bank.start.std() == pytest.approx(80, rel=0.02)
    assert not set(map(tuple, train.start)) & set(map(tuple, heldout.start))


def test_growth_keeps_indices(own_cache: Path) -> None:
    small, large = (NoiseBank(CountedMixture(), "train", size) for size in (200, 700))
    assert (small.size, large.size) == (200, 768)  # few noises stay as they are, many come in whole chunks
    small.ensure(1)
    large.ensure(700)
    assert len(small.start) == 200
    np.testing.assert_array_equal(large.start[:200], small.start)
    np.testing.assert_array_equal(large.endpoints[:200], small.endpoints)
    assert len(np.unique(large.start[:, 0])) == 768  # no chunk repeats another

    heun = get_solver("heun")
    first = small.reference_errors(heun, 5, 10)
    grown = NoiseBank(CountedMixture(), "train", 700)
    grown.reference_errors(heun, 5, 10)
    np.testing.assert_array_equal(grown.reference_errors(heun, 5, 700)[: len(first)], first)


def test_reference_errors_are_those_of_edm(own_cache: Path) -> None:
    bank = NoiseBank(CountedMixture(), "heldout", 256)
    euler = get_solver("euler")
    errors = bank.reference_errors(euler, 6, 256)
    expected = endpoint_error(integrate(bank.denoiser, edm_grid(6, bank.denoiser), bank.start, euler), bank.endpoints)
    np.testing.assert_allclose(errors, expected, rtol=1e-6)


def test_threads_grow_it_once(own_cache: Path) -> None:
    class Slow(GaussianMixture):
        def __call__(self, x: Any, sigma: Any) -> Any:
            time.sleep(0.001)  # let another thread run
            return super().__call__(x, sigma)

    denoiser = Slow(np.zeros((1, 256)), 1.0)
    with ThreadPoolExecutor(4) as pool:
        banks = list(pool.map(lambda _: get_bank(denoiser, "train", 512), range(4)))
        list(pool.map(banks[0].ensure, [1, 1, 512, 1]))
        errors = list(pool.map(lambda rows: banks[0].reference_errors(get_solver("euler"), 5, rows), [512, 512]))
    alone = NoiseBank(denoiser, "train", 512)
    assert all(bank is banks[0] for bank in banks)
    np.testing.assert_array_equal(banks[0].start, alone.first(512)[0])
    np.testing.assert_array_equal(banks[0].endpoints, alone.endpoints)
    assert [len(found) for found in errors] == [512, 512]


def test_rows_outside_the_bank_are_an_error(own_cache: Path) -> None:
    with pytest.raises(IndexError, match="noise 256 asked for, but the train bank has 256"):
        NoiseBank(CountedMixture(), "train", 256).ensure(257)


def test_cache_is_written_and_used(own_cache: Path) -> None:
    first, second, other = CountedMixture(), CountedMixture(), CountedMixture(std=0.5)
    banks = [NoiseBank(denoiser, "train", 256) for denoiser in (first, second, other)]
    for bank in banks:
        bank.ensure(256)
    assert first.calls > 300
    assert second.calls == 0
    assert other.calls == first.calls  # other weights have another fingerprint
    np.testing.assert_array_equal(banks[0].endpoints, banks[1].endpoints)
    assert len(list(own_cache.rglob("*.npz"))) == 2
    assert not list(own_cache.rglob("*.tmp"))


@pytest.mark.parametrize(
    "damage", ["truncated", "empty", "text", "other shape", "flipped data", "flipped header", "archive"]
)
def test_damaged_cache_is_rebuilt(own_cache: Path, damage: str) -> None:
    whole = NoiseBank(CountedMixture(), "train", 256)
    whole.ensure(256)
    (file,) = own_cache.rglob("*.npz")
    content = file.read_bytes()
    if damage == "truncated":
        file.write_bytes(content[: len(content) // 2])
    elif damage in ("empty", "text"):
        file.write_bytes(b"" if damage == "empty" else b"nothing that numpy knows")
    elif damage.startswith("flipped"):
        at = len(content) // 2 if damage == "flipped data" else content.index(b"}")
        file.write_bytes(content[:at] + bytes([content[at] ^ 0x5A]) + content[at + 1 :])
    else:
        other = {"other shape": {"endpoints": np.ones((3, 1), np.float32), "checksum": 0}, "archive": {"a": np.ones(3)}}
        with file.open("wb") as handle:
            np.savez(handle, **other[damage])
    again = NoiseBank(CountedMixture(), "train", 256)
    again.ensure(256)
    assert again.denoiser.calls > 300  # type: ignore[attr-defined]
    np.testing.assert_array_equal(again.endpoints, whole.endpoints)
    assert file.read_bytes() == content


def test_folder_that_cannot_be_written_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("ART_GYM_CACHE", str(tmp_path / "file"))
    bank = NoiseBank(CountedMixture(), "train", 256)
    bank.ensure(256)
    assert np.isfinite(bank.endpoints).all()


@pytest.mark.parametrize("task", BUILT_IN)
def test_endpoints_of_exact_tasks_are_shipped(task: str, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them are shipped, so none is computed or cached. The first equal what this machine computes."""
    denoiser = get_task(task)
    banks = [NoiseBank(denoiser, split, 4096) for split in SPLITS]
    expected = [precise_endpoints(denoiser, bank.noises(0)[:64]) for bank in banks]
    monkeypatch.setattr(type(denoiser), "__call__", None)
    for bank, endpoints in zip(banks, expected, strict=True):
        bank.ensure(4096)
        np.testing.assert_allclose(bank.endpoints[:64], endpoints, atol=1e-3)
    assert not list(own_cache.rglob("*"))


@pytest.mark.parametrize("name", NETWORKS)
def test_first_endpoints_of_network_tasks_are_shipped(name: str, own_cache: Path) -> None:
    """Those of the shipped weights come from the file, without a cache, and equal what this machine computes."""
    config = load_config(name)
    denoiser = get_task(config.task)
    for split in SPLITS:
        bank = NoiseBank(denoiser, split, config.noises)
        bank.ensure(1)
        expected = precise_endpoints(denoiser, bank.noises(0)[:1])
        np.testing.assert_allclose(bank.endpoints[:1], expected, atol=1e-3)
    assert not list(own_cache.rglob("*"))


def test_without_fingerprint_nothing_is_cached(own_cache: Path) -> None:
    NoiseBank(FunctionDenoiser(lambda x, sigma: 0 * x, shape=(256,)), "train", 256).ensure(1)
    assert not list(own_cache.rglob("*"))


def test_denoiser_that_is_not_finite_is_named_with_sigma() -> None:
    def broken(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        return np.where(sigma[:, None] < 0.1, np.nan, 0 * x)

    bank = NoiseBank(FunctionDenoiser(broken, shape=(4,)), "train", 256)
    with pytest.raises(
        ValueError, match=r"FunctionDenoiser gave values that are not finite at sigma = (.*): check"
    ) as caught:
        bank.ensure(1)
    sigma = float(str(caught.value).split("sigma = ")[1].split(":")[0].split(",")[0])
    assert 0.05 < sigma < 0.2
