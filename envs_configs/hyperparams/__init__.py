"""Hyperparameters of the agents, a YAML an algorithm."""
