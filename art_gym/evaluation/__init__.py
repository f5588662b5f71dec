"""Evaluation on held-out noise, sampling with schedules and policies, and the scores."""

from art_gym.common.lazy import exports

__all__, __getattr__, __dir__ = exports(
    __name__,
    heldout="Evaluation evaluate_plan evaluate_policy",
    policies="AdaptivePolicy Policy",
    sampling="sample",
    edm_curve="EdmCurve",
)
