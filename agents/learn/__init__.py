"""`art-gym learn`: a better schedule for your own model, within a budget."""
