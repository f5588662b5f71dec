"""Denoisers D(x, σ) = E[x₀ | x_σ = x]: the only model that the rest of the suite knows."""

from art_gym.denoisers.base import Counted, Denoiser, FunctionDenoiser
from art_gym.denoisers.dataset import ExactDataset
from art_gym.denoisers.mixture import GaussianMixture

__all__ = ["Counted", "Denoiser", "ExactDataset", "FunctionDenoiser", "GaussianMixture"]
