"""Fixtures for all tests: one cache folder for the whole run, so that each noise bank is computed once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep precise endpoints apart from the user's own cache."""
    folder = tmp_path_factory.mktemp("art_gym_cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ART_GYM_CACHE", str(folder))
        patch.setenv("MPLBACKEND", "Agg")
        yield folder
