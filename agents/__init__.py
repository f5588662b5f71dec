"""Everything that learns, compares and reports; installed as art_gym.agents."""
