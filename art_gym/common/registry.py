"""One registry for all named parts, of this package and of other distributions.

A decorator registers a part where it is defined, and no other code changes. The part's file lies in the package of its
kind, or another distribution declares its module as an entry point::

    [project.entry-points."art_gym.solvers"]
    my_solver = "my_package.my_solver"
"""

from __future__ import annotations

import difflib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, TypeVar

from art_gym.common.messages import short

T = TypeVar("T")
Made = TypeVar("Made", bound=type)


class Registry(Mapping[str, T]):
    """Objects of one kind by name.

    Args:
        kind: what one object is called, such as "solver".
        room: package of our own parts, such as "art_gym.solvers". The first lookup imports its modules. Other
            distributions use an entry point group of the same name.
    """

    def __init__(self, kind: str, room: str) -> None:
        self.kind, self.room = kind, room
        self._entries: dict[str, T] = {}
        self._complete = False

    def add(self, name: str, entry: T) -> None:
        """Register an object.

        Raises:
            ValueError: if the name is not an identifier, or is taken.
        """
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError(f"the name of a {self.kind} must be an identifier such as 'my_name', got {short(name)}")
        if name in self._entries:
            raise ValueError(f"there is a {self.kind} {name!r} already: choose another name")
        self._entries[name] = entry

    def named(self, name: str) -> Callable[[T], T]:
        """Register an object where it is defined: ``@SEARCHES.named("cma")``."""

        def decorate(entry: T) -> T:
            self.add(name, entry)
            return entry

        return decorate

    def presets(self, **named: Mapping[str, Any]) -> Callable[[Made], Made]:
        """Register objects of a class by name, each with its field values: ``@REWARDS.presets(linear={})``."""

        def decorate(made: Made) -> Made:
            for name, values in named.items():
                self.add(name, made(**values))
            return made

        return decorate

    def find(self, name: object) -> T:
        """Return the object of that name. Raises a ValueError that lists the names, the nearest first."""
        if isinstance(name, str) and name in self:
            return self[name]
        raise ValueError(f"unknown {self.kind} {short(name)}: {nearest(name, self)}choose one of {', '.join(self)}")

    def loaded(self) -> dict[str, T]:
        """Return the objects imported so far: all of ours, and those of other distributions that were looked up."""
        self._discover()
        return dict(self._entries)

    def __getitem__(self, name: str) -> T:
        self._discover()
        if name not in self._entries:
            register_from(modules_of(self.room)[name], name, self)
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        self._discover()
        return iter(sorted({*self._entries, *modules_of(self.room)}))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        self._discover()
        return name in self._entries or name in modules_of(self.room)

    def _discover(self) -> None:
        if not self._complete:
            self._complete = True  # set first, because an imported module may look up a part here
            for name in modules_in(self.room):
                import_module(name)


class ModuleRegistry(Registry[T]):
    """Objects that are each registered by a module of the same name, so names are known before any import.

    Args:
        kind, room: as for `Registry`.
        packages: packages that hold the modules, by default ``room``. Modules called "base" are skipped.
    """

    def __init__(self, kind: str, room: str, packages: tuple[str, ...] = ()) -> None:
        super().__init__(kind, room)
        self._complete = True  # each module is imported when its name is looked up
        found = [module for package in packages or (room,) for module in modules_in(package)]
        self.modules = {name: module for module in found if (name := module.rpartition(".")[2]) != "base"}

    def __getitem__(self, name: str) -> T:
        if name in self.modules and name not in self._entries:
            register_from(self.modules[name], name, self)
        return super().__getitem__(name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self.modules, *super().__iter__())))

    def __contains__(self, name: object) -> bool:
        return name in self.modules or super().__contains__(name)


def register_from(module: str, name: str, registry: Registry[Any]) -> None:
    """Import the module that registers a name. Raises a ValueError if the import fails or the name is missing."""
    try:
        import_module(module.partition(":")[0])
    except Exception as error:  # another distribution's code can raise anything
        raise ValueError(f"the {registry.kind} {short(name)} of {module} cannot be loaded: {error}") from error
    if name not in registry._entries:
        raise ValueError(
            f"the distribution of {module} declares it as the {registry.kind} {name!r}, but it registers no such name"
        )


def modules_in(package: str) -> list[str]:
    """Return the names of a package's modules. Only the package itself is imported."""
    return [module.name for module in pkgutil.iter_modules(import_module(package).__path__, f"{package}.")]


@cache
def modules_of(group: str) -> dict[str, str]:
    """Return the names in a group of entry points, and the modules of other distributions that register them."""
    return {entry.name: entry.value for entry in entry_points(group=group)}


def nearest(name: object, known: Mapping[str, Any]) -> str:
    """Return "did you mean …? " for a message, or an empty text."""
    near = difflib.get_close_matches(str(name).lower(), known, n=1)
    return f"did you mean {near[0]!r}? " if near else ""
