"""Grids from the stiffness of the ODE alone, without optimisation through the solver (DESIGN §2).

Along the flow d²x/dσ² = −(dD/dσ)/σ, so an Euler step of length h in log σ has the local error ½ h² q with
q = dD/d log σ. All three forms follow q along one precise solution, but weigh it differently. They are made for Euler.
With other solvers they are a good start.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from art_gym.denoisers.base import Array, Checked, Denoiser
from art_gym.schedules.fine import reference_grid
from art_gym.solvers.base import SOLVERS, Previous
from art_gym.solvers.loop import integrate

ART_NODES = 256  # nodes of the fine trajectory; each costs one denoiser call
DUAL_NODES = 64  # each costs one solution from the node to the end


def art(denoiser: Denoiser, num_steps: int, start: np.ndarray) -> np.ndarray:
    """The ART closed form θ* ∝ (E|Q|)^{−1/2}: equal ∫ √(E‖dD/d log σ‖) d log σ between the points.

    Args:
        denoiser: D.
        num_steps: K.
        start: (B, *shape) latents at σ_max.

    Returns:
        (K+1,) levels with a trailing 0.

    Raises:
        ValueError: for values of D that are not finite; the message names σ.
    """
    nodes, _, stiffness = stiffness_profile(denoiser, start)
    return equidistribute(nodes, np.sqrt(stiffness), num_steps)


def stiffness_profile(denoiser: Denoiser, start: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (M,) noise levels of a fine trajectory, their (M,) lengths in log σ, and (M,) E‖dD/d log σ‖ there."""
    nodes = reference_grid(denoiser, ART_NODES)[:-1]
    stiffness = np.array([norms(slope).mean() for _, _, slope in trajectory(denoiser, nodes, start)])
    return nodes, _widths(nodes), stiffness


def dual_weighted(denoiser: Denoiser, num_steps: int, start: np.ndarray) -> np.ndarray:
    """As `art`, but weigh each defect by its effect at the end: √(E‖Φ q‖), Φ the propagator to σ = 0. DESIGN §2 (a)."""
    nodes, effects, _ = _terminal_effects(denoiser, start)
    stiffness = np.array([norms(effect).mean() for effect in effects])
    return equidistribute(nodes, np.sqrt(stiffness), num_steps)


def cancellation_aware(denoiser: Denoiser, num_steps: int, start: np.ndarray) -> np.ndarray:
    """Minimise E‖∫ Φ q h d log σ‖², where errors of different steps can cancel. DESIGN §2 (b).

    h(log σ) is the local step length, with ∫ d log σ / h = K. With the density e^u = 1/h at the nodes and
    S = Σ e^{u_i} Δ_i, the objective is S² Σ_ij e^{−u_i} e^{−u_j} G_ij, G the Gram matrix of the Φ q Δ.
    """
    nodes, density, _ = _cancelling_density(denoiser, start)
    return equidistribute(nodes, density, num_steps)


def dual_weights(denoiser: Denoiser, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the cost at the end of a unit of stiffness |Q|, by noise level. With it, a running cost learns form (b).

    At the optimum of (b), with v = ∫ Φ q h, E⟨Φ q, v⟩ h² is the same at every node. So the additive cost with the
    stiffness E⟨Φ q, v⟩ ∝ h⁻² has the same optimum. The weight is this stiffness over E‖q‖, clipped to a factor 100
    around its median.

    Returns:
        (M,) decreasing noise levels and (M,) weights of median 1.
    """
    nodes, density, stiffness = _cancelling_density(denoiser, start)
    weights = density**2 / np.maximum(stiffness, 1e-9 * stiffness.max())
    weights = weights / np.median(weights)
    return nodes, np.clip(weights, 1e-2, 1e2)


def _cancelling_density(denoiser: Denoiser, start: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (M,) nodes, (M,) optimal density 1/h of form (b), and (M,) E‖q‖."""
    from scipy import optimize  # the import takes a fifth of the time to an environment's first reset

    nodes, effects, stiffness = _terminal_effects(denoiser, start)
    widths = _widths(nodes)
    vectors = effects.reshape(len(nodes), -1) * widths[:, None]  # (M, B·d)
    gram = vectors @ vectors.T / len(start)  # (M, M)

    def objective(u: np.ndarray) -> tuple[float, np.ndarray]:
        density, step = np.exp(u), np.exp(-u)
        total, pull = density @ widths, gram @ step
        energy = max(step @ pull, 1e-15 * (step**2 @ gram.diagonal()))  # with few trajectories it may vanish
        # log of the objective, because its scale does not matter and its gradient is of order one
        return float(2 * np.log(total) + np.log(energy)), 2 * density * widths / total - 2 * step * pull / energy

    sizes = np.array([norms(effect).mean() for effect in effects])
    first = np.log(np.sqrt(sizes) + 1e-6 * np.sqrt(sizes.max()))
    bounds = optimize.Bounds(first - 10, first + 10)  # with few trajectories the minimum may lie at infinity
    found = optimize.minimize(objective, first, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500})
    return nodes, np.exp(found.x), stiffness


def trajectory(
    denoiser: Denoiser, nodes: np.ndarray, start: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield x, D and dD/d log σ at each node. The slope is the difference to the next node, repeated at the last."""
    x, batch, denoise = start, len(start), Checked(denoiser)
    levels = [np.full(batch, node, start.dtype) for node in nodes]
    previous = Previous(np.zeros_like(x), np.full(batch, np.inf, start.dtype))
    denoised = denoise(x, levels[0])
    slope = np.zeros_like(x)
    for sigma, sigma_next in pairwise(levels):
        moved = SOLVERS["dpmpp_2m"].step(denoise, x, denoised, sigma, sigma_next, previous)
        denoised_next = denoise(moved, sigma_next)
        slope = (denoised_next - denoised) / np.log(sigma_next[0] / sigma[0])
        yield x, denoised, slope
        previous = Previous(denoised, sigma)
        x, denoised = moved, denoised_next
    yield x, denoised, slope


def _terminal_effects(denoiser: Denoiser, start: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (M,) nodes, (M, B, *shape) Φ q (change at σ = 0 per small defect along q at a node), and (M,) E‖q‖."""
    nodes = reference_grid(denoiser, DUAL_NODES)[:-1]
    precise = start.astype(np.float64)  # float64 for finite differences of two solutions
    effects, stiffness = [], []
    for k, (x, _, slope) in enumerate(trajectory(denoiser, nodes, precise)):
        stiffness.append(float(norms(slope).mean()))
        size = 1e-3 * denoiser.data_std / max(stiffness[-1], 1e-12)
        rest = np.append(nodes[k:], 0.0)
        ends = integrate(denoiser, rest, np.concatenate([x, x + size * slope]), "dpmpp_2m")
        effects.append((ends[len(x) :] - ends[: len(x)]) / size)
    return nodes, np.stack(effects), np.array(stiffness)


def norms(vectors: Array) -> np.ndarray:
    """(B,) root mean squares over the elements."""
    flat = vectors.reshape(len(vectors), -1)
    rms: np.ndarray = np.sqrt((flat**2).mean(axis=1))
    return rms


def equidistribute(nodes: np.ndarray, density: np.ndarray, num_steps: int) -> np.ndarray:
    """Return (K+1,) levels with equal ∫ density d log σ between them. The last interval reaches down to σ = 0.

    The density of a node holds up to the next node, as its finite difference does.
    """
    cumulative = np.concatenate([[0.0], np.cumsum(density * _widths(nodes))])  # (M+1,)
    targets = cumulative[-1] * np.arange(num_steps) / num_steps
    levels = np.exp(np.interp(targets, cumulative[:-1], np.log(nodes)))
    # Neighbouring levels coincide where the density vanishes and below the last node. Keep them apart.
    floor = nodes[-1] * 1.0001 ** np.arange(num_steps - 1, -1, -1)
    levels = np.maximum(levels, floor)
    return np.append(levels * 0.99999 ** np.arange(num_steps), 0.0)


def _widths(nodes: np.ndarray) -> np.ndarray:
    """(M,) lengths in log σ from each node to the next.

    The last node stands for all levels below it. There q falls as σ² (D is smooth at 0), so √q integrates to its
    value × 1.
    """
    return np.append(np.log(nodes[:-1] / nodes[1:]), 1.0)
