"""The tables of the study of instant schedules."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .study import Record, markdown

FLOOR = 0.01  # of errors on random models, in units of their data


def tables(records: Sequence[Record], tasks: Sequence[str], methods: Sequence[str], sampler: str) -> str:
    """All tables: errors on tasks, of samplers, ratios on random models, and errors against evaluations.

    Args:
        records: of the study.
        tasks, methods: in the order of the rows and columns.
        sampler: the name of the method that chooses weights too.
    """
    of_tasks = sorted(
        (record for record in records if "task" in record), key=lambda r: (tasks.index(r["task"]), r["solver"])
    )
    of_models = [record for record in records if "known" in record and "models" in record]
    heads, compared = ["task", "solver", "K"], ("without correction", "instant", sampler)
    return "\n\n".join(
        [
            f"Mean endpoint error on held-out noise, at most {max(r['evaluations'] for r in of_tasks)} evaluations.",
            markdown([*heads, *methods, "instant / best"], [_task_row(record, methods) for record in of_tasks]),
            "Samplers, with 2M's as their start:",
            markdown(
                [*heads[::2], "best grid", sampler, "ratio"],
                [_sampler_row(record, sampler) for record in of_tasks if sampler in record["errors"]],
            ),
            f"Random models that training never saw: geometric mean of the ratio of errors. Those below {FLOOR:.0%} of "
            "a model's deviation count as that much; in brackets the mean without this floor.",
            markdown(
                [
                    *heads[1:],
                    "to the closed form",
                    "better than it",
                    *(f"{name} to the best grid" for name in compared),
                ],
                [_ratios(record, compared) for record in of_models],
            ),
            "Random models, 2M, K = 7, without correction, from other probes: geometric mean of the error, with the "
            "floor, over that of the finest.",
            _against_cost([record for record in records if "noises" in record], ["noises", "levels"]),
            "And with correction, by what may be spent in all:",
            _against_cost([record for record in records if "budget" in record], ["budget"]),
        ]
    )


def _task_row(record: Record, methods: Sequence[str]) -> list[str]:
    errors = record["errors"]
    rivals = {name: error for name, error in errors.items() if name in methods and name not in ("instant", "best grid")}
    least = min(errors["instant"], *rivals.values())
    cells = [f"**{errors[name]:.4f}**" if errors[name] == least else f"{errors[name]:.4f}" for name in methods]
    return [record["task"], record["solver"], str(record["num_steps"]), *cells, _ratio(errors, "instant")]


def _sampler_row(record: Record, sampler: str) -> list[str]:
    errors = record["errors"]
    cells = [f"{errors[name]:.4f}" for name in ("best grid", sampler)]
    return [record["task"], str(record["num_steps"]), *cells, _ratio(errors, sampler)]


def _ratio(errors: dict[str, float], name: str) -> str:
    return f"{errors[name] / errors['best grid']:.2f}"


def _ratios(record: Record, compared: Sequence[str]) -> list[str]:
    errors = {name: np.array(values) for name, values in record["errors"].items()}

    def to(name: str, other: str) -> str:
        if name not in errors:
            return "–"
        floored = [np.log(np.maximum(errors[each], FLOOR)) for each in (name, other)]
        plain = np.log(errors[name] / errors[other]).mean()
        return f"{np.exp((floored[0] - floored[1]).mean()):.2f} ({np.exp(plain):.2f})"

    better = f"{(errors['instant'] < errors['closed form']).mean():.0%}"
    best = [to(name, "best grid") for name in compared]
    return [record["solver"], str(record["num_steps"]), to("instant", "closed form"), better, *best]


def _against_cost(records: Sequence[Record], names: Sequence[str]) -> str:
    means = [float(np.log(np.maximum(record["errors"], FLOOR)).mean()) for record in records]
    rows = [
        [*(f"{record[name]:,}" for name in names), f"{record['evaluations']:,}", f"{np.exp(mean - means[-1]):.3f}"]
        for record, mean in zip(records, means, strict=True)
    ]
    return markdown([*names, "evaluations", "error"], rows)
