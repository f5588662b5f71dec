"""Code that learns, compares and reports schedules, installed as art_gym.agents."""
