"""Parts as text for specs, such as "linear", "log_ratio?power=2" or "my_module:MyReward?scale=3"."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Collection, Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from art_gym.common.messages import one_line, short, told
from art_gym.common.reading import parse_json
from art_gym.common.registry import Registry

T = TypeVar("T")
Plain = str | int | float | bool | None


def import_module(module: str, name: str) -> Any:
    """Import the module of "module:name". The import may register parts.

    Raises:
        ValueError: if the module cannot be imported, or is given as a file. For an error in the module, the message
            says in which line.
    """
    if module.endswith(".py") or module.startswith(".") or "/" in module:
        stem = Path(module.lstrip(".")).stem
        raise ValueError(f"{short(module)} is not a module name: write {stem}:{name}, and put its folder on PYTHONPATH")
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ValueError(f"cannot import {short(module)} ({one_line(error)}): put its folder on PYTHONPATH") from None
    except (Exception, SystemExit) as error:  # the user's module can raise anything
        raise ValueError(f"cannot import {short(module)}: {told(error)}") from None


def part_of(text: str, known: Mapping[str, Any]) -> Any:
    """Return the object that a text names.

    Args:
        text: a key of ``known``, or "module:name" of your own function or class. Fields to set can follow a question
            mark, as in "log_ratio?power=2&images=true".
        known: objects by name.

    Raises:
        KeyError: if the name is unknown.
        ValueError: for an invalid module, name in it, field or value.
    """
    name, options = split_options(text)
    if ":" not in name:
        part = known[name]
        return _changed(part, options, text) if options else part
    module_name, _, path = name.partition(":")
    part = import_module(module_name, path)
    for attribute in path.split("."):
        if not hasattr(part, attribute):
            raise ValueError(f"there is no {short(attribute)} in {short(module_name)}: {short(text)} names it")
        part = getattr(part, attribute)
    if not isinstance(part, type):
        return _changed(part, options, text) if options else part
    try:
        return part(**options)
    except Exception as error:  # the user's class can raise anything
        raise ValueError(f"cannot make {short(text)}: {told(error)}") from None


def unnamed(module: str) -> ValueError:
    """The error for a module that only a file names."""
    return ValueError(
        f"it names the module {short(module)}, whose code would run: if you trust it, name it yourself, as in --task "
        f"{one_line(module, 60)}:NAME (in Python modules=[{short(module)}])"
    )


def check_stored(text: str, known: Registry[Any], modules: Collection[str]) -> None:
    """Check a text from a file before `part_of` sees it.

    Args:
        text: names a part.
        known: the registry of such parts.
        modules: modules of the user's own that it may name, beside those of our own parts.

    Raises:
        ValueError: if it names another module, or anything that is not defined in that module.
    """
    module, colon, path = text.partition("?")[0].partition(":")
    if not colon:
        return
    if module not in modules and not module.startswith(f"{known.room}."):
        raise unnamed(module)
    found = getattr(import_module(module, path), path, None) if path.isidentifier() else None
    if getattr(found, "__module__", None) != module:
        raise ValueError(f"it names {short(text)}, and {short(module)} defines no such {known.kind}")


def text_of(part: Any, known: Registry[Any]) -> str | None:
    """Return a text from which `part_of` makes this object or an equal one. None if there is none.

    Only frozen dataclasses can be replaced by an equal object, because other objects may hold state.
    """
    candidates = [name for name, other in known.loaded().items() if other is part]
    frozen = is_dataclass(part) and not isinstance(part, type) and part.__dataclass_params__.frozen  # type: ignore[attr-defined]
    if frozen:
        candidates += _of_dataclass(part, known)
    elif hasattr(part, "__qualname__"):
        candidates.append(f"{part.__module__}:{part.__qualname__}")
    for text in sorted(candidates, key=len):
        try:
            again = part_of(text, known)
            same = again is part or (frozen and type(again) is type(part) and bool(again == part))
        except Exception:  # a user's class or __eq__ can raise anything
            continue
        if same:
            return text
    return None


def _of_dataclass(part: Any, known: Registry[Any]) -> list[str]:
    """Return texts to try: a known object of this class with changed fields, or the class with its fields."""
    values = {field.name: getattr(part, field.name) for field in fields(part) if field.init}
    found = []
    for name, other in known.loaded().items():
        if type(other) is type(part):
            changes = {key: value for key, value in values.items() if not _same(value, getattr(other, key))}
            found.append(_written(name, changes))
    defaults = {field.name: field.default for field in fields(part)}
    changes = {k: v for k, v in values.items() if defaults[k] is MISSING or not _same(v, defaults[k])}
    found.append(_written(f"{type(part).__module__}:{type(part).__qualname__}", changes))
    return [text for text in found if text is not None]


def _same(first: Any, second: Any) -> bool:
    return type(first) is type(second) and isinstance(first, Plain) and first == second


def _written(name: str, changes: Mapping[str, Any]) -> str | None:
    if not all(isinstance(value, Plain) for value in changes.values()):
        return None
    options = "&".join(f"{key}={_value(value)}" for key, value in changes.items())
    return f"{name}?{options}" if options else name


def _value(value: Plain) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def split_options(text: str) -> tuple[str, dict[str, Any]]:
    """The name in a text such as "log_ratio?power=2", and the options after the question mark.

    Raises:
        ValueError: for a question mark without options, an option without a name or a value, or one given twice.
    """
    name, asks, query = text.partition("?")
    options: dict[str, Any] = {}
    for part in query.split("&") if asks else ():
        key, equals, value = part.partition("=")
        if not key or not equals:
            raise ValueError(f"expected name=value after the question mark, got {short(part)}")
        if key in options:
            raise ValueError(f"{short(text)} gives {short(key)} twice: leave one out")
        try:
            options[key] = parse_json(value)
        except ValueError:
            options[key] = value  # text needs no quotation marks
    return name, options


def _changed(part: Any, options: Mapping[str, Plain], text: str) -> Any:
    if not is_dataclass(part) or isinstance(part, type):
        raise ValueError(f"{short(text)} sets {', '.join(options)}, but that part has no options: leave them out")
    names = [field.name for field in fields(part) if field.init]
    for key, value in options.items():
        if key not in names:
            known = ", ".join(names) or "none"
            raise ValueError(f"unknown option {short(key)} in {short(text)}: choose one of {known}")
        _check_like(getattr(part, key), value, key, text)
    try:
        return replace(part, **options)
    except (TypeError, ValueError) as error:
        raise ValueError(f"cannot make {short(text)}: {one_line(error)}") from None


def _check_like(before: object, value: object, key: str, text: str) -> None:
    """Raise a ValueError for an option of another type than the part has now. A whole number may stand for another."""
    kind = type(before)
    if kind is float and type(value) is int:
        return
    if (kind in (bool, int, float, str) and type(value) is not kind) or value in (math.inf, -math.inf):
        raise ValueError(f"{short(text)} sets {key} to {short(value)}: give a value like {short(before)}")


def get_part(key: str, part: str | T, known: Registry[T]) -> T:
    """Return the part that a text names, or a callable object unchanged.

    Args:
        key: configuration key of the part, such as "action". Messages name it.
        part: text or object.
        known: the registry of such parts.

    Raises:
        ValueError: if it is neither. The message lists the names.
    """
    if isinstance(part, type):
        raise ValueError(f"{key} is the class {part.__name__}: give an object of it, {part.__name__}()")
    if callable(part):
        return part
    if not isinstance(part, str) or not (":" in part.partition("?")[0] or part.partition("?")[0] in known):
        return known.find(part)  # raises an error that lists the names
    found: T = part_of(part, known)
    if not callable(found):
        raise ValueError(f"{short(part)} is not a {known.kind}: it cannot be called as one")
    return found
