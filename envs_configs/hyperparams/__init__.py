"""Hyperparameters, a YAML file for each algorithm."""
