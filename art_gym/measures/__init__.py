"""How far samples are from their precise endpoints, and from data."""

from art_gym.common.lazy import exports

__all__, __getattr__, __dir__ = exports(
    __name__,
    errors="endpoint_error image_error",
    distances="sliced_wasserstein energy_distance",
    frechet="frechet_distance precision_recall",
    features="features_of",
)
