"""The ranges of hyperparameters: values that a person can only have meant by mistake are refused."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from art_gym.common.limits import MAX_ENVS, check_whole
from art_gym.common.messages import one_line, short

MOST = 10**12  # any whole number
MOST_ROWS = 10**7  # of a buffer or a batch
WIDEST, DEEPEST, MOST_WEIGHTS = 2**13, 64, 2**24  # networks
# SB3 notices a 0 late, or never. gradient_steps is not here, since it may be −1.
COUNTS = {
    "num_envs": MAX_ENVS,
    "n_timesteps": MOST,
    "n_steps": MOST_ROWS,
    "n_epochs": MOST_ROWS,
    "batch_size": MOST_ROWS,
    "buffer_size": MOST_ROWS,
    "train_freq": MOST_ROWS,
    "policy_delay": MOST_ROWS,
    "target_update_interval": MOST,
    "n_critic_updates": MOST_ROWS,
    "n_critics": DEEPEST,
    "n_quantiles": WIDEST,
    "n_lstm_layers": DEEPEST,
    "lstm_hidden_size": WIDEST,
    "cg_max_steps": MOST_ROWS,
    "line_search_max_iter": MOST_ROWS,
    "sub_sampling_factor": MOST_ROWS,
    "n_delta": MOST_ROWS,
    "n_top": MOST_ROWS,
    "n_eval_episodes": MOST_ROWS,
}
SHARE, POSITIVE = (0.0, 1.0), (0.0, math.inf)
RANGES = {
    "gamma": SHARE,
    "gae_lambda": SHARE,
    "tau": SHARE,
    "line_search_shrinking_factor": SHARE,
    **dict.fromkeys(
        ("learning_rate", "clip_range", "clip_range_vf", "ent_coef", "vf_coef", "max_grad_norm", "target_kl"), POSITIVE
    ),
    **dict.fromkeys(("clock_discount", "learning_starts", "target_policy_noise", "target_noise_clip"), POSITIVE),
    **dict.fromkeys(("stats_window_size", "top_quantiles_to_drop_per_net", "weight_decay"), POSITIVE),
}


def check_values(values: dict[str, Any]) -> None:
    """Check hyperparameters, also those in dictionaries.

    Raises:
        ValueError: for a count that is not a whole number in its range, a value out of `RANGES`, a number that is not
            finite or has no bounds, or a network that is too large.
    """
    for key, value in values.items():
        if isinstance(value, dict):
            check_values(value)
        elif key in COUNTS and not isinstance(value, tuple | None):  # such as train_freq=(1, "episode") or n_top=None
            check_whole(key, value, 1, COUNTS[key], ": leave it out for the default")
        elif key == "net_arch":
            _check_layers(value)
        else:
            _check_number(key, value)


def _check_number(key: str, value: Any) -> None:
    if isinstance(value, list | tuple):
        for one in value:
            _check_number(key, one)
    number = getattr(value, "initial", value)  # of a falling learning rate
    if isinstance(number, bool) or not isinstance(number, int | float):
        return
    low, high = RANGES.get(key, (-math.inf, math.inf))
    if not (low <= number <= high and abs(number) <= MOST):
        expected = "a finite number" if low == -math.inf else f"from {low:g} to {min(high, MOST):g}"
        raise ValueError(f"{one_line(key, 60)} must be {expected}, got {short(number)}: leave it out for the default")


def _check_layers(layers: Any) -> None:
    if isinstance(layers, dict):
        for part in layers.values():
            _check_layers(part)
        return
    if not isinstance(layers, list | tuple) or len(layers) > DEEPEST:
        raise ValueError(f"net_arch must be a list of at most {DEEPEST} widths, such as [64, 64], got {short(layers)}")
    for width in layers:
        if isinstance(width, dict):
            _check_layers(width)
        else:
            check_whole("a width in net_arch", width, 1, WIDEST)
    widths = [width for width in layers if not isinstance(width, dict)]
    if (weights := sum(first * second for first, second in pairwise(widths))) > MOST_WEIGHTS:
        raise ValueError(f"net_arch asks for {weights} weights, at most {MOST_WEIGHTS} make sense: {short(layers)}")
