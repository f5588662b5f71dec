"""Networks of diffusers' EDM schedulers: our Euler is that of `EDMEulerScheduler`."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch

from art_gym import sample
from art_gym.denoisers import from_diffusers, from_pipeline
from helpers.diffusion import CLOSE, SIZE, run, start

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # from diffusers and its imports
    import diffusers

LEVELS = np.array([80.0, 20.0, 5.0, 1.0, 0.3, 0.05, 0.0])


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("data", [0.5, 1.0])
def test_euler(prediction: str, data: float, tiny_model: Any) -> None:
    scheduler = diffusers.EDMEulerScheduler(sigma_data=data, prediction_type=prediction)
    root = LEVELS[:-1] ** (1 / 7)  # it takes places in the range between the seventh roots of its ends
    ends = 80 ** (1 / 7), 0.002 ** (1 / 7)
    scheduler.set_timesteps(sigmas=torch.tensor((ends[0] - root) / (ends[0] - ends[1])))
    np.testing.assert_allclose(scheduler.sigmas, LEVELS, rtol=1e-5)
    x = start(80.0)
    expected = run(scheduler, tiny_model(), x)
    pipe = diffusers.DDPMPipeline(tiny_model(), scheduler)
    for denoiser in (from_diffusers(pipe), from_pipeline(pipe)):
        assert (denoiser.shape, denoiser.data_std) == (SIZE, data)
        assert (denoiser.sigma_min, denoiser.sigma_max) == (0.002, 80.0)
        np.testing.assert_allclose(sample(denoiser, LEVELS, x.numpy() / 80, "euler").samples, expected, **CLOSE)
