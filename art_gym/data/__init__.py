"""Data that ships with the package: the digit images, and the references that scores are read against."""
