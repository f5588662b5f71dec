"""The studies of docs/results.md, one module each; `art-gym reproduce` runs them."""
