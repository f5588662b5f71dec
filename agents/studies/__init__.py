"""The studies of the results pages, the demo and the benchmark of speed."""
