"""Configurations of environments, a YAML file for each task or variant that differs from the defaults."""
