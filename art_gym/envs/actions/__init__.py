"""Action maps: from an action to the next noise level, one file each."""

from art_gym.common.lazy import exports

__all__, __getattr__, __dir__ = exports(
    __name__,
    base="ACTIONS ActionMap action_map get_action",
)
