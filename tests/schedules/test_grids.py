"""Hand-made grids keep their invariants, and the main ones match their published formulas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from art_gym import sample
from art_gym.denoisers import FunctionDenoiser
from art_gym.schedules import GRIDS, make_grid
from art_gym.schedules.grids.base import edm_grid
from art_gym.tasks.registry import get_task

denoisers = st.builds(
    FunctionDenoiser,
    function=st.just(lambda x, sigma: x),
    shape=st.just((1,)),
    sigma_min=st.floats(1e-4, 0.05),
    sigma_max=st.floats(2.0, 1000.0),
    data_std=st.floats(0.1, 5.0),
)


@pytest.mark.parametrize("name", GRIDS)
@settings(max_examples=60, deadline=None)
@given(num_steps=st.integers(1, 40), denoiser=denoisers)
def test_every_grid_is_a_schedule(name: str, num_steps: int, denoiser: FunctionDenoiser) -> None:
    levels = make_grid(name, num_steps, denoiser)
    assert levels.shape == (num_steps + 1,)
    assert levels[0] == denoiser.sigma_max
    assert levels[-1] == 0
    assert (np.diff(levels) < 0).all()
    assert levels[-2] >= denoiser.sigma_min * (1 - 1e-9)


@pytest.mark.parametrize("name", [name for name in GRIDS if name != "log_normal"])
@settings(max_examples=30, deadline=None)
@given(num_steps=st.integers(2, 40), denoiser=denoisers, last=st.floats(1e-3, 1.0))
def test_last_positive_level_is_a_parameter(name: str, num_steps: int, denoiser: FunctionDenoiser, last: float) -> None:
    levels = make_grid(name, num_steps, denoiser, last, GRIDS[name].published(denoiser)[1])
    assert levels[-2] == last
    assert levels[0] == denoiser.sigma_max


def test_none_is_as_published() -> None:
    denoiser = get_task("digits")
    np.testing.assert_array_equal(make_grid("edm", 7, denoiser, None, None), make_grid("edm", 7, denoiser))
    np.testing.assert_array_equal(make_grid("edm", 7, denoiser, 0.01, None), make_grid("edm", 7, denoiser, 0.01, 7.0))
    np.testing.assert_array_equal(make_grid("laplace", 7, denoiser, None, 0.5), make_grid("laplace", 7, denoiser))


def test_curves_to_zero_stay_in_the_noise_range() -> None:
    denoiser = get_task("gaussian_1d")
    assert GRIDS["quadratic"].levels(1000, denoiser.sigma_max, None, 2.0)[-2] < denoiser.sigma_min
    levels = make_grid("quadratic", 1000, denoiser)
    assert levels[-2] == denoiser.sigma_min
    assert (np.diff(levels) < 0).all()
    sample(denoiser, levels, np.ones((1, 1), np.float32), "euler")  # it refuses levels outside the range


def test_edm_is_equation_5_of_karras() -> None:
    step = np.arange(18)
    expected = (80 ** (1 / 7) + step / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    levels = edm_grid(18, get_task("digits"))
    np.testing.assert_allclose(levels, [*expected, 0], rtol=1e-12)


def test_arctan_has_equal_angles() -> None:
    denoiser = get_task("ring_2d")
    levels = make_grid("arctan", 9, denoiser)
    steps = np.arange(10)
    expected = denoiser.data_std * np.tan(np.arctan(80 / denoiser.data_std) * (1 - steps / 9))
    np.testing.assert_allclose(levels, expected, rtol=1e-9, atol=1e-12)


def test_cosine_is_that_of_iddpm_without_its_offset() -> None:
    levels = make_grid("cosine", 8, get_task("digits"))
    time = np.arctan(levels) * 2 / np.pi  # ᾱ = cos²(π/2 · t) is σ = tan(π/2 · t)
    np.testing.assert_allclose(np.diff(time), np.diff(time)[0], rtol=1e-9)
    np.testing.assert_allclose(np.cos(np.pi / 2 * time) ** 2, 1 / (1 + levels**2), rtol=1e-9)


def test_sigmoid_signal_is_that_of_jabri() -> None:
    levels = make_grid("sigmoid", 7, get_task("digits"))
    signal = 1 / (1 + levels**2)
    edge = 1 / (1 + np.exp(-3))
    time = -np.log(1 / (edge - signal * (2 * edge - 1)) - 1)  # logit
    np.testing.assert_allclose(np.diff(time), np.diff(time)[0], rtol=1e-6)


def test_simple_spacings() -> None:
    denoiser = get_task("digits")
    np.testing.assert_allclose(np.diff(make_grid("uniform", 8, denoiser)), -10)
    np.testing.assert_allclose(np.diff(np.sqrt(make_grid("quadratic", 8, denoiser))), -np.sqrt(80) / 8)
    np.testing.assert_allclose(np.diff(np.log(make_grid("log_snr", 8, denoiser)[:-1])), np.log(0.002 / 80) / 7)


def test_quantile_grids_against_scipy() -> None:
    denoiser = get_task("digits")
    inner = make_grid("log_normal", 6, denoiser, np.exp(-1.2), 1.2)[1:-1]
    np.testing.assert_allclose(stats.lognorm(s=1.2, scale=np.exp(-1.2)).sf(inner), np.arange(1, 6) / 6, rtol=1e-9)

    quantile = stats.beta(0.6, 0.6).cdf(np.log(make_grid("beta", 7, denoiser)[:-1] / 80) / np.log(0.002 / 80))
    np.testing.assert_allclose(quantile, np.linspace(0, 1, 7), atol=1e-9)

    probability = stats.laplace(scale=0.5).cdf(2 * np.log(make_grid("laplace", 7, denoiser)[1:-2]))
    np.testing.assert_allclose(probability, 1 - np.arange(1, 6) / 6, atol=1e-6)


def test_linear_quadratic_has_equal_steps_of_flow_time_first() -> None:
    levels = make_grid("linear_quadratic", 8, get_task("digits"))
    time = 1 / (1 + levels)  # 1 − s, from 1/81 to 1
    np.testing.assert_allclose(np.diff(time)[:4], 0.025 / 4 * (1 - 1 / 81), rtol=1e-6)
    assert (np.diff(time, n=2)[4:] > 0).all()


def test_errors_name_the_grid() -> None:
    denoiser = get_task("digits")
    with pytest.raises(ValueError, match="unknown grid 'karras': choose one of arctan, beta"):
        make_grid("karras", 5, denoiser)
    for num_steps in (0, 7.0, True):
        with pytest.raises(ValueError, match=rf"whole number from 1 to 1000, got {num_steps}"):
            make_grid("edm", num_steps, denoiser)
    with pytest.raises(ValueError, match=r"needs the denoiser itself, got 'digits': pass art_gym.get_task\('digits'\)"):
        make_grid("edm", 5, "digits")
    with pytest.raises(ValueError, match=r"two parameters, None for the published value, got \(0.01,\)"):
        make_grid("edm", 5, denoiser, 0.01)
    with pytest.raises(ValueError, match=r"grid 'edm' cannot have the parameters \(0.01, 0.0\): "):
        make_grid("edm", 5, denoiser, 0.01, 0.0)
    with pytest.raises(ValueError, match=r"'edm'.*does not decrease"):
        make_grid("edm", 5, denoiser, 100.0, 7.0)
