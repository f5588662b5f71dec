"""The protocol of a method: (task, solver, K, budget of calls) → a schedule, a sampler or a policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, get_args

import numpy as np

from art_gym.common.registry import Registry
from art_gym.denoisers.base import Counted, Denoiser
from art_gym.samplers.plans import Plan
from art_gym.schedules.fine import reference_grid
from art_gym.solvers.base import Solver, get_solver

from .suite import SAMPLER, Cell, Group

Kind = Literal["hand-made", "closed form", "probe", "gradient-free search", "gradient", "RL", "floor"]
KINDS: tuple[Kind, ...] = get_args(Kind)
GRID: Final = "grid"
FEWEST = 2  # noises with precise endpoints


@dataclass
class Problem:
    """What a method is given.

    Attributes:
        cell: what to sample, with which solver, in how many steps.
        denoiser: the model. Its evaluations are the method's cost.
        solver: of the cell; DPM-Solver++(2M), with which searches begin, where the method chooses all of a step.
        seed: of everything random. It has other training noises first.
        budget: evaluations that a search may spend, those for precise endpoints included.
        training: how many training noises there are.
        bank: gives the first (count, *shape) training noises at σ_max, and their precise endpoints if asked.
        with_endpoints: for how many noises the method has asked for endpoints.
    """

    cell: Cell
    denoiser: Counted
    solver: Solver
    seed: int
    budget: int
    training: int
    bank: Callable[[int, bool], tuple[np.ndarray, np.ndarray]]
    with_endpoints: int = 0

    @property
    def num_steps(self) -> int:
        """K."""
        return self.cell.num_steps

    def start(self, count: int) -> np.ndarray:
        """(≤ count, *shape) training noises at σ_max, which cost nothing."""
        return self.bank(min(count, self.training), False)[0]

    def noises(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """(≤ count, *shape) training noises and their precise endpoints, which cost `endpoint_cost` each."""
        count = min(count, self.training)
        self.with_endpoints = max(self.with_endpoints, count)
        return self.bank(count, True)

    def affordable(self) -> tuple[np.ndarray, np.ndarray]:
        """Noises and endpoints for half of the budget."""
        return self.noises(max(self.budget // 2 // endpoint_cost(self.denoiser), FEWEST))

    @property
    def left(self) -> int:
        """Evaluations of the budget that remain."""
        return max(self.budget - self.calls, 1)

    @property
    def calls(self) -> int:
        """Evaluations so far, those for precise endpoints included."""
        return self.denoiser.evaluations + self.with_endpoints * endpoint_cost(self.denoiser)


class Found(NamedTuple):
    """What a method found.

    Attributes:
        plan: a schedule or a sampler; None for a policy that follows the sample.
        error: the mean endpoint error of a policy on so many held-out noises from a row on. None for a plan.
        steps: of an environment that were played.
        calls: evaluations of the denoiser beside those that the problem counted.
    """

    plan: Plan | None
    error: Callable[[int, int], float] | None = None
    steps: int = 0
    calls: int = 0


def _no_settings(cell: Cell, group: Group) -> dict[str, Any]:
    return {}


def with_budget(cell: Cell, group: Group) -> dict[str, Any]:
    """The settings of a search: its budget and its noises."""
    return {"budget": group.budget, "training": group.training}


@dataclass(frozen=True)
class Method:
    """A registered method.

    Attributes:
        kind: its class.
        source: paper and equation or part, and what is followed.
        make: the method.
        free: its free parameters, in words.
        actions: "grid" for levels, "sampler" for all of a step.
        settings: the hyperparameters in a cell, all that a result depends on beside the seed.
        fits: whether it is defined for a cell of its actions.
    """

    kind: Kind
    source: str
    make: Callable[[Problem], Found]
    free: str = "none"
    actions: Literal["grid", "sampler"] = GRID
    settings: Callable[[Cell, Group], Mapping[str, Any]] = _no_settings
    fits: Callable[[Cell], bool] = field(default=lambda cell: True)

    def takes(self, cell: Cell) -> bool:
        """Whether it has a result in a cell."""
        return (self.actions == SAMPLER) == (cell.solver == SAMPLER) and self.fits(cell)


METHODS: Registry[Method] = Registry("method", "art_gym.agents.benchmark.methods")


def solver_of(cell: Cell) -> Solver:
    """The solver of a cell; see `Problem`."""
    return get_solver("dpmpp_2m" if cell.solver == SAMPLER else cell.solver)


def endpoint_cost(denoiser: Denoiser) -> int:
    """Evaluations for one precise endpoint."""
    return get_solver("rk4").evaluations(len(reference_grid(denoiser)) - 1)
