"""Import the names of a package at first use, so that one import does not load all modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def exports(package: str, **modules: str) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__all__``, ``__getattr__`` and ``__dir__`` for a package's ``__init__``.

    Args:
        package: its ``__name__``.
        modules: the package's modules, each with the names that it exports, separated by spaces.
    """
    places: Mapping[str, str] = {name: module for module, names in modules.items() for name in names.split()}

    def getter(name: str) -> Any:
        if name in places:
            return getattr(import_module(f"{package}.{places[name]}"), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return sorted(places), getter, lambda: sorted(places)
