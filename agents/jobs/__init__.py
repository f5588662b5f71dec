"""What the commands do, as functions that return text: train and report, evaluate, plot, export."""
