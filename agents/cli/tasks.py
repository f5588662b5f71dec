"""Task names on the command line."""

from __future__ import annotations


def imported_task(task: str) -> tuple[str, str]:
    """The module and the name in "my_module:name", or "" and the name. It imports the module."""
    from ..runs.config import imported

    return ("", task) if task.startswith("model:") else imported(task)  # "model:" marks a model, not a module
