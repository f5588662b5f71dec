"""Our docstrings explain arguments that belong together in one line: "task, solver: what they were found for"."""

from __future__ import annotations

import re
from typing import Any

import griffe

JOINED = re.compile(r"^( +)(\w+(?:, \w+)+): ", re.MULTILINE)


class JoinedNames(griffe.Extension):
    """Give each of them a row of its own, as griffe expects it."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of whatever griffe has found."""
        if obj.docstring is not None:
            obj.docstring.value = JOINED.sub(self._apart, obj.docstring.value)

    def _apart(self, match: re.Match[str]) -> str:
        indent, names = match[1], match[2].split(", ")
        rows = [f"{indent}{name}: as {names[-1]}.\n" for name in names[:-1]]
        return "".join(rows) + f"{indent}{names[-1]}: ({', '.join(names)}) "
