"""Published samplers of one call a step, as functions of the denoiser, the levels and the first latents.

`art_gym.samplers.traced.traced` turns each of them into coefficients.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from art_gym.denoisers.base import Array
from art_gym.samplers.traced import Method
from art_gym.solvers.base import Denoise
from art_gym.solvers.loop import integrate


def euler(denoise: Denoise, levels: np.ndarray, x: Array) -> Array:
    """Euler in σ, which is DDIM (Song et al. 2021)."""
    return integrate(denoise, levels, x, "euler")


def dpmpp_2m(denoise: Denoise, levels: np.ndarray, x: Array) -> Array:
    """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2)."""
    return integrate(denoise, levels, x, "dpmpp_2m")


def dpmpp_3m(denoise: Denoise, levels: np.ndarray, x: Array) -> Array:
    """DPM-Solver++(3M) (Lu et al. 2022, appendix), of lower order in the last two steps as in diffusers."""
    logs = -np.log(levels[:-1])  # λ
    known: list[Array] = []  # estimates, the latest first
    for k, (sigma, sigma_next) in enumerate(pairwise(levels)):
        known = [denoise(x, _full(x, sigma)), *known]
        order = min(k + 1, len(levels) - 1 - k, 3)
        mixed = known[0]
        if order > 1:
            h, h0 = logs[k + 1] - logs[k], logs[k] - logs[k - 1]
            first = (known[0] - known[1]) / (h0 / h)
            slope, curvature = first, 0.0 * first
            if order > 2:
                r0, r1 = h0 / h, (logs[k - 1] - logs[k - 2]) / h
                second = (known[1] - known[2]) / r1
                slope = first + r0 / (r0 + r1) * (first - second)
                curvature = (first - second) / (r0 + r1)
            # x = r x + (1 − r) D + …, with 1 − r = −expm1(−h)
            part = -np.expm1(-h)
            mixed = mixed + ((1 - part / h) * slope if order > 2 else part / 2 * slope) / part
            mixed = mixed + (0.5 - (h - part) / h**2) * curvature / part
        x = mixed + sigma_next / sigma * (x - mixed)
    return x


def deis(denoise: Denoise, levels: np.ndarray, x: Array) -> Array:
    """DEIS-tAB3 (Zhang & Chen 2023): ε as a polynomial in log σ through three estimates, integrated over σ."""
    slopes: list[Array] = []
    for k, (sigma, sigma_next) in enumerate(pairwise(levels)):
        denoised = denoise(x, _full(x, sigma))
        if sigma_next == 0:
            return denoised
        slopes = [(x - denoised) / sigma, *slopes][:3]
        order = min(k + 1, 3, len(levels) - 1 - k)  # lower in the last steps, as in diffusers
        nodes = np.log(levels[k - order + 1 : k + 1])[::-1]  # of the estimates, the latest first
        x = x + sum(_integral(nodes, i, sigma, sigma_next) * slope for i, slope in enumerate(slopes[:order]))
    return x


def ipndm(denoise: Denoise, levels: np.ndarray, x: Array) -> Array:
    """Improved PNDM (iPNDM) of order 4 (Zhang & Chen 2023): the weights of Adams and Bashforth for equal steps."""
    slopes: list[Array] = []
    weights = {1: (1,), 2: (3 / 2, -1 / 2), 3: (23 / 12, -16 / 12, 5 / 12), 4: (55 / 24, -59 / 24, 37 / 24, -9 / 24)}
    for sigma, sigma_next in pairwise(levels):
        denoised = denoise(x, _full(x, sigma))
        if sigma_next == 0:
            return denoised
        slopes = [(x - denoised) / sigma, *slopes][:4]
        x = x + (sigma_next - sigma) * sum(w * d for w, d in zip(weights[len(slopes)], slopes, strict=True))
    return x


def unipc(order: int) -> Method:
    """UniPC of order 2 or 3 with B₂(h) (Zhao et al. 2023), which corrects each latent by the call that follows it."""

    def sample(denoise: Denoise, levels: np.ndarray, x: Array) -> Array:
        logs = -np.log(levels[:-1])  # λ
        known: list[Array] = []  # estimates, the latest first
        base, predicted, used = x, x, 1
        for k, sigma in enumerate(levels[:-1]):
            known = [denoise(predicted, _full(x, sigma)), *known]
            x = _unipc_step(base, known[1:], logs[: k + 1], used, known[0]) if k else predicted
            used = min(order, k + 1, len(levels) - 1 - k)
            base = x
            if k + 2 == len(levels):
                return known[0]  # the step to 0
            predicted = _unipc_step(base, known, logs[: k + 2], used, None)
        return x

    return sample


def _unipc_step(x: Array, known: list[Array], logs: np.ndarray, order: int, now: Array | None) -> Array:
    """Step from logs[-2] to logs[-1]; with the estimate there, ``now``, it is the corrector."""
    h = logs[-1] - logs[-2]
    nodes = [(logs[-2 - i] - logs[-2]) / h for i in range(1, order)]  # r_i of the earlier estimates
    differences = [(known[i] - known[0]) / node for i, node in zip(range(1, order), nodes, strict=True)]
    if now is not None:
        nodes, differences = [*nodes, 1.0], [*differences, now - known[0]]
    ratio = np.exp(-h)
    moved = ratio * x + (1 - ratio) * known[0]
    if not nodes:
        return moved
    b = -np.expm1(-h)  # −B₂(−h)
    rows, rhs, phi, factorial = [], [], np.expm1(-h) / -h - 1, 1.0
    for i in range(1, len(nodes) + 1):
        factorial *= i
        rows.append(np.power(nodes, i - 1))
        rhs.append(phi * factorial / -b)
        phi = phi / -h - 1 / (factorial * (i + 1))
    weights = np.linalg.solve(np.array(rows), np.array(rhs))
    if len(nodes) == 1:  # the published exception, also for the predictor of order 2
        weights = np.array([0.5])
    return moved + b * sum(w * d for w, d in zip(weights, differences, strict=True))


def _integral(nodes: np.ndarray, i: int, start: float, stop: float) -> float:
    """∫ of the i-th Lagrange polynomial in log σ over σ, in closed form."""
    others = np.delete(nodes, i)
    polynomial = np.atleast_1d(np.poly(others)) / np.prod(nodes[i] - others)  # highest power of log σ first

    def primitive(sigma: float) -> float:
        log, total, power = np.log(sigma), 0.0, 1.0  # ∫ logⁿ = σ logⁿ − n ∫ logⁿ⁻¹
        for n, coefficient in enumerate(polynomial[::-1]):
            power = sigma if n == 0 else sigma * log**n - n * power
            total += coefficient * power
        return total

    return primitive(stop) - primitive(start)


def _full(x: Array, sigma: float) -> Array:
    return 0 * x.reshape(len(x), -1)[:, 0] + sigma  # (B,), in the library of x
