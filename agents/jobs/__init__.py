"""The work of the commands, as functions: train and report, evaluate, plot, export."""
