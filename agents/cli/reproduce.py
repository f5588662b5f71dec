"""`art-gym reproduce`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class Reproduce:
    """Run a study of docs/results and write its table, its plot and its records. It keeps existing records.

    Attributes:
        study: theory (ART's theory, measured), table1 (the paper's Table 1), table4 (its Table 4, on
            MNIST), dual (dual-weighted stiffness),
            defect (measured defects, for solvers other than Euler too), per_sample (policies that see the latents),
            headroom (such policies, trained by gradients through the solver), transfer (to other K and tasks),
            networks (the shipped networks), discount (discounts by clock time, for PPO and SAC), choices (ART-RL's
            actors, advantages and critics compared), floors (scores without any learning),instant (schedules from
            one probe), peers (all grids that need no search, published or ours), samplers (weights and told levels
            chosen too, beside published samplers), sampler_agents (agents that choose them), sampler_sight (such
            agents that see a sample), guidance (guidance of each step as an action, judged by a classifier), contexts
            (what it is worth to know a context).
        seeds: seeds of the training runs.
        out: output folder.
        quick: use a fraction of the training, to check that everything works.
    """

    study: Annotated[
        Literal[
            "theory",
            "table1",
            "table4",
            "dual",
            "defect",
            "per_sample",
            "headroom",
            "transfer",
            "networks",
            "discount",
            "choices",
            "floors",
            "instant",
            "calls",
            "peers",
            "procedural",
            "samplers",
            "sampler_agents",
            "sampler_sight",
            "guidance",
            "contexts",
        ],
        tyro.conf.Positional,
    ]
    seeds: tuple[int, ...] = (0, 1, 2)
    out: Path = Path("runs/reproduce")
    quick: bool = False

    def run(self) -> None:
        """Run it and print the table."""
        from ..studies import (
            calls,
            choices,
            contexts,
            discount,
            floors,
            grids,
            guidance,
            headroom,
            instant,
            networks,
            peer_grids,
            per_sample,
            procedural,
            sampler_agents,
            sampler_sight,
            samplers,
            table1,
            table4,
            theory,
            transfer,
        )

        studies = {
            "theory": theory.theory,
            "table1": table1.table1,
            "table4": table4.table4,
            "dual": grids.dual,
            "defect": grids.defects,
            "per_sample": per_sample.per_sample,
            "headroom": headroom.headroom,
            "transfer": transfer.transfer,
            "networks": networks.networks,
            "discount": discount.discount,
            "choices": choices.choices,
            "floors": floors.floor_scores,
            "instant": instant.instant_schedules,
            "calls": calls.calls,
            "peers": peer_grids.peer_grids,
            "procedural": procedural.procedural,
            "samplers": samplers.samplers,
            "sampler_agents": sampler_agents.sampler_agents,
            "sampler_sight": sampler_sight.sampler_sight,
            "guidance": guidance.guidance,
            "contexts": contexts.contexts,
        }
        print(studies[self.study](self.out, self.seeds, self.quick))
