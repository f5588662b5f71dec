"""Tasks that are typed."""

from __future__ import annotations


def imported_task(task: str) -> tuple[str, str]:
    """The module and the name of a task that was typed, "my_module:name", after the module is imported."""
    from ..runs.config import imported

    return ("", task) if task.startswith("model:") else imported(task)  # "model:" stands before what is no task
