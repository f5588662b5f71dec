"""How good samples of classes are, by a classifier: the share of the right class, and the distance to its data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from art_gym.measures.frechet import Gaussian, gaussian_distance, gaussian_of

WRONG, FRECHET = 2.0, 1.0  # weights of the cost


class Quality(NamedTuple):
    """What a classifier says of samples of one or more classes.

    Attributes:
        accuracy: share of the samples that it takes for the class that was asked for.
        frechet: squared Fréchet distance of their features to those of that class's data, the mean over classes. Its
            bias grows with the number of features over the number of samples.
    """

    accuracy: float
    frechet: float

    @property
    def cost(self) -> float:
        """2 (1 − accuracy) + Fréchet distance: one number to lower."""
        return WRONG * (1 - self.accuracy) + FRECHET * self.frechet


@dataclass(frozen=True)
class ClassQuality:
    """Measures samples against the data of their class.

    Attributes:
        name: of the shipped classifier.
        data: returns images (M, *shape) and their (M,) classes.
    """

    name: str
    data: Callable[[], tuple[np.ndarray, np.ndarray]]

    @cached_property
    def gaussians(self) -> dict[int, Gaussian]:
        """Mean and covariance of the features of each class's data."""
        from art_gym.measures.features import features_of

        images, labels = self.data()
        return {int(each): gaussian_of(features_of(images[labels == each], self.name)) for each in np.unique(labels)}

    def __call__(self, images: np.ndarray, classes: np.ndarray) -> list[Quality]:
        """The quality of each of E sets of samples, (E, N, *shape) images for (E, N) classes."""
        from art_gym.measures.features import classes_of, features_of  # torch takes long to import

        features = features_of(images.reshape(-1, *images.shape[2:]), self.name)
        right = (classes_of(features, self.name) == classes.ravel()).reshape(classes.shape)
        accuracies = right.mean(axis=1)
        features = features.reshape(*classes.shape, -1)  # (E, N, f)
        return [
            Quality(float(accuracy), self._distance(*one))
            for accuracy, *one in zip(accuracies, features, classes, strict=True)
        ]

    def _distance(self, features: np.ndarray, classes: np.ndarray) -> float:
        """The mean distance over the classes of (N, f) features."""
        distances = [
            gaussian_distance(gaussian_of(features[classes == each]), self.gaussians[int(each)])
            for each in np.unique(classes)
        ]
        return float(np.mean(distances))
