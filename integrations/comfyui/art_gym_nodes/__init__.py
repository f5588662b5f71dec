"""Nodes that sample with the sampler and schedule files of art_gym. They do not need art_gym."""

from .nodes import ARTSampler, ARTSchedule

NODE_CLASS_MAPPINGS = {"ARTSampler": ARTSampler, "ARTSchedule": ARTSchedule}
NODE_DISPLAY_NAME_MAPPINGS = {"ARTSampler": "ART Sampler", "ARTSchedule": "ART Schedule"}

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
