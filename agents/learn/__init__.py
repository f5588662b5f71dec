"""`art-gym learn`: a better schedule for a model of one's own, within a budget."""
