"""Training: agents of stable-baselines3, searches, and the shipped networks."""

from .policies import load_policy
from .run import train

__all__ = ["load_policy", "train"]
