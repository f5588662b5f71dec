"""Schedules: noise levels and their file, hand-made grids, closed forms."""

from art_gym.common.lazy import exports

__all__, __getattr__, __dir__ = exports(
    __name__,
    schedule="Schedule",
    grids="GRIDS Grid make_grid",
    closed_forms="art dual_weighted cancellation_aware",
    probe="Probe",
)
