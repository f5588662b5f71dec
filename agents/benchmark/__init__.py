"""The benchmark: suites of tasks, methods by name, results as lines, and honest statistics of them."""
