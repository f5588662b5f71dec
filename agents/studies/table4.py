"""The paper's Table 4: Fréchet distance on MNIST with RK4 against NFE = 4K − 3, and the same with other solvers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from art_gym.samplers.plans import draw
from art_gym.tasks.target import Target

from ..reports import pictures
from ..reports.method_pictures import image_rows
from .mnist_grids import (
    ART_RL,
    CLOSED,
    DPM,
    EDM,
    EDM_TUNED,
    LEARNED,
    NFE,
    QUICK,
    SAMPLER,
    SAMPLER_EVALUATIONS,
    UNIFORM,
    Methods,
    Sizes,
)
from .mnist_measures import TASK, of_data, of_endpoints
from .mnist_saved import saved
from .network_measures import jackknife
from .study import Record, Study, markdown

_ROWS = {  # arXiv:2607.02137, Table 4
    UNIFORM: (981.13, 953.74, 876.58, 783.65, 632.26, 290.46),
    DPM: (523.60, 334.44, 2.01, 1.97, 1.20, 1.12),
    EDM: (523.60, 59.36, 2.66, 1.23, 1.14, 1.12),
    ART_RL: (102.13, 3.62, 1.25, 1.09, 1.03, 0.98),
}
PAPER = {name: dict(zip(NFE, row, strict=True)) for name, row in _ROWS.items()}
GRIDS = (UNIFORM, DPM, EDM, EDM_TUNED, CLOSED, ART_RL, LEARNED)
MOST = 25  # calls up to which EDM's grid is tuned, and other solvers than RK4 are measured
SHOWN = 8  # noises in the picture of samples
Rows = dict[str, dict[int, Record]]  # by method and NFE


def table4(out: Path, seeds: tuple[int, ...], quick: bool) -> str:
    """A table for each solver, RK4's beside the paper's figures, and the calls that are saved. One seed is enough."""
    methods = Methods(Study("table4", out), QUICK if quick else Sizes(), seeds[0])
    rk4 = _rows(methods, "rk4")
    pictures.error_curves(
        methods.study.folder / "table4.png",
        _values(rk4),
        highlight=LEARNED,
        y_label="Fréchet distance in features of a LeNet",
        x_label="denoiser calls for a sample (NFE), RK4",
    )
    parts = [_beside(methods, rk4), f"### 2M\n\n{_tables(_rows(methods, 'dpmpp_2m'))}", saved(methods)]
    _draw_samples(methods)
    parts.append(f"### Heun\n\n{_tables(_rows(methods, 'heun'))}")
    return methods.study.finish("The paper's Table 4", "\n\n".join(parts))


def _rows(methods: Methods, solver: str) -> Rows:
    rows: Rows = {}
    for method in (*GRIDS, *([SAMPLER] if solver == "dpmpp_2m" else [])):
        for nfe in (n for n in methods.sizes.nfe if _is_measured(method, solver, n)):
            rows.setdefault(method, {})[nfe] = methods.measures(method, solver, nfe)
    return rows


def _is_measured(method: str, solver: str, nfe: int) -> bool:
    """What costs much is left out where all methods come to the same."""
    if method == SAMPLER:
        return nfe in SAMPLER_EVALUATIONS
    if method == EDM_TUNED:
        return nfe <= MOST and solver != "heun"
    return solver == "rk4" or nfe <= MOST


def _values(rows: Rows) -> dict[str, dict[int, float]]:
    return {method: {nfe: record["frechet"] for nfe, record in row.items()} for method, row in rows.items()}


def _beside(methods: Methods, rows: Rows) -> str:
    """RK4's rows beside the paper's, and both as shares of EDM's."""
    sizes, study = methods.sizes, methods.study
    data = study.once({"data": TASK, "noises": sizes.noises}, lambda: of_data(sizes.noises))
    ends = study.once({"endpoints": TASK, "noises": sizes.with_endpoints}, lambda: of_endpoints(sizes.with_endpoints))
    heads, ours = ["RK4, NFE", *map(str, sizes.nfe)], _values(rows)
    known = [[f"{name}, the paper's", *(f"{row[nfe]:.2f}" for nfe in sizes.nfe)] for name, row in PAPER.items()]
    shares = [[f"{name}, the paper's", *_shares(row, PAPER[EDM], sizes.nfe)] for name, row in PAPER.items()]
    shares += [[name, *_shares(row, ours[EDM], sizes.nfe)] for name, row in ours.items()]
    return "\n\n".join(
        [
            f"Fréchet distance of {sizes.noises} samples to 9000 training images, ± half the 95 % "
            f"interval over noises (jackknife). As many held-out digits have {_cell(data, 'frechet')}, and "
            f"{sizes.with_endpoints} precise endpoints {_cell(ends, 'frechet')}. Errors are those of the first "
            f"{sizes.with_endpoints} noises.",
            markdown(heads, known),
            _tables(rows),
            "As a share of EDM's at the same NFE:",
            markdown(heads, shares),
        ]
    )


def _shares(row: Mapping[int, float], edm: Mapping[int, float], counts: tuple[int, ...]) -> list[str]:
    return [f"{row[nfe] / edm[nfe]:.2f}" if nfe in row else "–" for nfe in counts]


def _tables(rows: Rows) -> str:
    columns = sorted({nfe for row in rows.values() for nfe in row})
    parts = []
    for key, name in (("frechet", "Fréchet distance"), ("error", "mean endpoint error")):
        lines = [
            [method, *(_cell(row[nfe], key) if nfe in row else "–" for nfe in columns)] for method, row in rows.items()
        ]
        parts.append(markdown([f"{name}, NFE", *map(str, columns)], lines))
    return "\n\n".join(parts)


def _cell(record: Record, key: str) -> str:
    value, half = record[key], jackknife(np.array(record[f"{key}_left_out"]))
    return f"{value:#.3g} ± {half:.2g}"


def _draw_samples(methods: Methods) -> None:
    """Samples of the same noises: 2M with EDM's grid and the learned one, the learned sampler, and precise ones."""
    target = Target.of(TASK, "dpmpp_2m")
    start, endpoints = target.noises("heldout", SHOWN)
    blocks = {}
    for nfe in SAMPLER_EVALUATIONS:
        plans = {name: methods.plan(name, "dpmpp_2m", nfe) for name in (EDM, LEARNED, SAMPLER)}
        drawn = {name: draw(target.denoiser, plan, start, target.solver) for name, plan in plans.items()}
        blocks[f"{nfe} calls"] = drawn | {"exact": endpoints}
    image_rows(methods.study.folder / "samples.png", blocks)
