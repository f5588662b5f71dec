"""Named parts: one mechanism for all that has a name, in this package or in another one.

A part registers itself by a decorator where it is defined, and nothing else has to know of it: its file lies in the
package of its kind, or another distribution names its module as an entry point::

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

T = TypeVar("T")
Made = TypeVar("Made", bound=type)


class Registry(Mapping[str, T]):
    """Objects of one kind by name.

    Args:
        kind: what one of them is called: "solver".
        room: the package whose modules register ours, which are imported at the first look: "art_gym.solvers". Entry
            points of other distributions are a group of the same name.
    """

    def __init__(self, kind: str, room: str) -> None:
        self.kind, self.room = kind, room
        self._entries: dict[str, T] = {}
        self._complete = False

    def add(self, name: str, entry: T) -> None:
        """Register an object.

        Raises:
            ValueError: for a name that is no identifier, or that is taken.
        """
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError(f"the name of a {self.kind} must be an identifier such as 'my_name', got {name!r}")
        if name in self._entries:
            raise ValueError(f"there is a {self.kind} {name!r} already: choose another name")
        self._entries[name] = entry

    def presets(self, **named: Mapping[str, Any]) -> Callable[[Made], Made]:
        """Register objects of a class, each name with the values of its fields: ``@REWARDS.presets(linear={})``."""

        def decorate(made: Made) -> Made:
            for name, values in named.items():
                self.add(name, made(**values))
            return made

        return decorate

    def find(self, name: object) -> T:
        """The object of that name. Raises a ValueError that lists the names, with the nearest one first."""
        if isinstance(name, str) and name in self:
            return self[name]
        raise ValueError(f"unknown {self.kind} {name!r}: {nearest(name, self)}choose one of {', '.join(self)}")

    def loaded(self) -> dict[str, T]:
        """Ours, and those of other distributions that have been used: what an object at hand can be one of."""
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
            self._complete = True  # first: what is imported may look here
            for name in modules_in(self.room):
                import_module(name)


class ModuleRegistry(Registry[T]):
    """Objects of which each is registered by a module of its own name: names are known before anything is imported.

    Args:
        kind, room: as for `Registry`.
        packages: in which the modules lie; the room itself by default. A module called "base" is none of them.
    """

    def __init__(self, kind: str, room: str, packages: tuple[str, ...] = ()) -> None:
        super().__init__(kind, room)
        self._complete = True  # each is imported by itself
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
    """Import a module that registers this name. Raises a ValueError if it cannot be imported, or does not."""
    try:
        import_module(module.partition(":")[0])
    except Exception as error:  # of another distribution's code
        raise ValueError(f"the {registry.kind} {name!r} of {module} cannot be loaded: {error}") from error
    if name not in registry._entries:
        raise ValueError(
            f"{module} is named as the {registry.kind} {name!r} by its distribution, and registers none of it"
        )


def modules_in(package: str) -> list[str]:
    """The modules of a package, by name; none is imported but the package itself."""
    return [module.name for module in pkgutil.iter_modules(import_module(package).__path__, f"{package}.")]


@cache
def modules_of(group: str) -> dict[str, str]:
    """Modules of other distributions by the names that they register in a group of entry points."""
    return {entry.name: entry.value for entry in entry_points(group=group)}


def nearest(name: object, known: Mapping[str, Any]) -> str:
    """A question for a message: "did you mean …? ", or nothing."""
    near = difflib.get_close_matches(str(name).lower(), known, n=1)
    return f"did you mean {near[0]!r}? " if near else ""
