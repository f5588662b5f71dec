"""Task names on the command line."""

from __future__ import annotations

import re


def names_a_module(command: object) -> bool:
    """Whether an option of a command names a module of the user's, as in my_tasks:mine. What it works on does not."""
    options = [value for name, value in vars(command).items() if name != "what"]
    texts = [text for value in options for text in (value if isinstance(value, tuple) else [value])]
    return any(isinstance(text, str) and re.match(r"(?!model:)[A-Za-z_][\w.]*:[A-Za-z_]", text) for text in texts)


def imported_task(task: str) -> tuple[str, str]:
    """The module and the name in "my_module:name", or "" and the name. It imports the module."""
    from ..runs.config import imported

    return ("", task) if task.startswith("model:") else imported(task)  # "model:" marks a model, not a module
