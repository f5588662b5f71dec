"""Digits with one half given, by a network."""

from __future__ import annotations

from functools import partial

import torch

from art_gym.denoisers.networks import Preconditioned
from art_gym.tasks.images import split_digits
from art_gym.tasks.network_task import NetworkTask, draw_digits, load_shipped, uniform
from art_gym.tasks.registry import task

KNOWN_COLUMNS = 4  # of an inpainted digit: its left half


@task
def digits_inpaint() -> NetworkTask:
    """The left half of a held-out digit is given. Its pixels replace the estimate's (replacement, Song et al. 2021).

    Where D is the known pixel c, the flow gives x = c + σ ε, with the ε that the pixel started from. So the network
    sees known pixels at the right noise level, and no noise has to be added to them on the way.
    """
    network, fingerprint = load_shipped("digits")
    known = torch.from_numpy(split_digits(held_out=True)[0])
    function = partial(_inpainted, network, known)
    return NetworkTask(function, (2, 8, 8), f"{fingerprint} inpaint", draw_digits, "digits", carried_channels=1)


def _inpainted(network: Preconditioned, known: torch.Tensor, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    image, carried = x[:, :1], x[:, 1:]
    row = torch.floor(uniform(carried) * len(known)).long().clamp(0, len(known) - 1)
    given = known.to(x)[row]
    estimate = network(image, sigma)
    left, right = given[..., :KNOWN_COLUMNS], estimate[..., KNOWN_COLUMNS:]
    return torch.cat([torch.cat([left, right], dim=3), carried], dim=1)
