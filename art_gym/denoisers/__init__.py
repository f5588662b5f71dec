"""Denoisers D(x, σ) = E[x₀ | x_σ = x]: the only model that the rest of the suite knows.

Exact ones (`mixture`, `dataset`), networks (`torch_denoiser`, `networks`), and adapters of other libraries
(`diffusers_models`, `edm`, `function`).
"""

from art_gym.common.lazy import exports

__all__, __getattr__, __dir__ = exports(
    __name__,
    base="Counted Denoiser",
    function="FunctionDenoiser",
    mixture="GaussianMixture",
    dataset="ExactDataset",
    torch_denoiser="TorchDenoiser from_callable",
    diffusers_models="from_diffusers",
    edm="from_edm",
)
