"""Digits with one half given, by a network."""

from __future__ import annotations

from functools import partial

import torch

from art_gym.tasks.conditions import inpainted
from art_gym.tasks.images import split_digits
from art_gym.tasks.network_task import SIGMA_MAX, NetworkTask, draw_digits, load_shipped
from art_gym.tasks.registry import task


@task
def digits_inpaint() -> NetworkTask:
    """The left half of a held-out digit is given. Its pixels replace the estimate's (replacement, Song et al. 2021)."""
    network, fingerprint = load_shipped("digits")
    known = torch.from_numpy(split_digits(held_out=True)[0])
    function = partial(inpainted, network, known, SIGMA_MAX)
    return NetworkTask(function, (2, 8, 8), f"{fingerprint} inpaint", draw_digits, "digits", carried_channels=1)
