"""The methods of the benchmark, a file for each class."""
