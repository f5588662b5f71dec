"""ART-RL, the continuous-time actor-critic of ART (arXiv:2607.02137), and its critic for other agents."""

from .algorithm import ARTRL
from .clock import Clock
from .critic import CRITICS, LinearCritic

__all__ = ["ARTRL", "CRITICS", "Clock", "LinearCritic"]
