"""The quality of samples of a class: perfect for the data themselves, poor for another class's."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from art_gym.measures.class_quality import ClassQuality, Quality
from art_gym.tasks.images import split_digits

IMAGES, LABELS = split_digits(False)
MEASURE = ClassQuality("digits", partial(split_digits, False))


def test_the_data_are_perfect() -> None:
    (found,) = MEASURE(IMAGES[None], LABELS[None])
    assert found.accuracy == 1.0
    assert found.frechet == pytest.approx(0, abs=1e-5)
    assert found.cost == pytest.approx(0, abs=1e-5)


def test_images_of_another_class_are_wrong() -> None:
    threes = IMAGES[LABELS == 3]
    (found,) = MEASURE(threes[None], np.full((1, len(threes)), 8))
    assert found.accuracy == 0.0
    assert found.frechet > 5
    assert found.cost == pytest.approx(2 + found.frechet)


def test_held_out_images_are_nearly_perfect() -> None:
    images, labels = split_digits(True)
    (found,) = MEASURE(images[None], labels[None])
    assert 0.95 < found.accuracy < 1
    assert 0.1 < found.frechet < 3  # 18 images of each class


def test_sets_are_measured_apart() -> None:
    rows = np.stack([np.flatnonzero(each == LABELS)[:40] for each in (2, 7)])  # (2, 40)
    both = MEASURE(IMAGES[rows], LABELS[rows])
    alone = [MEASURE(IMAGES[row][None], LABELS[row][None])[0] for row in rows]
    for one, other in zip(both, alone, strict=True):
        assert one == pytest.approx(other, rel=1e-5)
    assert both[0].frechet != pytest.approx(both[1].frechet, rel=1e-3)


def test_copies_of_one_image_lack_variety() -> None:
    """All of the right class, and yet far from the class's data."""
    sevens = IMAGES[LABELS == 7]
    same = np.repeat(sevens[:1], 64, axis=0)
    (found,) = MEASURE(same[None], np.full((1, 64), 7))
    (varied,) = MEASURE(sevens[None, :64], np.full((1, 64), 7))
    assert found.accuracy == 1.0
    assert found.frechet > 3 * varied.frechet


def test_a_single_image_has_a_cost() -> None:
    (found,) = MEASURE(IMAGES[None, :1], LABELS[None, :1])
    assert np.isfinite(found.cost)


def test_cost_weighs_both() -> None:
    assert Quality(0.75, 0.5).cost == 1.0
