"""Suites of the benchmark: what is sampled, in how many steps, and on which noises. A suite never changes."""
