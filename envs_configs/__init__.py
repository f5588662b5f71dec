"""Shipped configurations: one YAML a task, and the agents' hyperparameters."""
