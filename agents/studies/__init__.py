"""The studies behind the results pages, the demo and the benchmark of speed."""
