"""Algorithms by name: our own, those of other packages, and every class of stable-baselines3 and sb3-contrib."""
