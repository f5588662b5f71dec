"""`art-gym list`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class List:
    """List environments, tasks, solvers, grids, fitted grids, rewards, action maps, searches and algorithms."""

    def run(self) -> None:
        """Print them."""
        import gymnasium as gym

        from art_gym.envs.actions.base import ACTIONS
        from art_gym.envs.actions.sampler import SamplerMap
        from art_gym.envs.observations import ALL_GROUPS
        from art_gym.envs.rewards.base import REWARDS
        from art_gym.schedules.fitted.base import FITTED
        from art_gym.schedules.grids.base import GRIDS
        from art_gym.search.base import SEARCHES
        from art_gym.solvers.base import SOLVERS
        from art_gym.tasks.registry import task_names

        from ..algorithms.base import ALGORITHMS

        for_samplers = sorted(name for name, part in ACTIONS.loaded().items() if isinstance(part, SamplerMap))
        entries = {
            "environments": [key for key in gym.registry if key.startswith("ARTDiffusion")],
            "tasks": task_names(),
            "solvers": SOLVERS,
            "grids": GRIDS,
            "fitted grids": FITTED,
            "rewards": REWARDS,
            "action maps": [name for name in ACTIONS if name not in for_samplers],
            "for samplers": for_samplers,
            "observations": ALL_GROUPS,
            "searches": SEARCHES,
            "algorithms": ["ppo", "sac", *ALGORITHMS, "any class of stable-baselines3 or sb3-contrib"],
        }
        for title, names in entries.items():
            print(f"{title + ':':14} {', '.join(names)}")
