"""Hand-made grids, one file per family."""

from art_gym.common.lazy import exports

__all__, __getattr__, __dir__ = exports(
    __name__,
    base="GRIDS Grid get_grid grid make_grid edm_grid",
)
