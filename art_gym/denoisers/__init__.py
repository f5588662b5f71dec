"""Denoisers D(x, σ) = E[x₀ | x_σ = x], the only kind of model that the rest of the package uses.

There are exact denoisers (`mixture`, `diagonal`, `dataset`), networks (`torch_denoiser`, `networks`), and adapters for
other models (`diffusers_models`, `pipelines`, `edm`, `function`).
"""

from art_gym.common.lazy import exports

__all__, __getattr__, __dir__ = exports(
    __name__,
    base="Counted Denoiser",
    function="FunctionDenoiser",
    mixture="GaussianMixture",
    diagonal="DiagonalMixture",
    dataset="ExactDataset",
    torch_denoiser="TorchDenoiser from_callable",
    diffusers_models="from_diffusers",
    edm="from_edm",
    pipelines="from_pipeline",
)
