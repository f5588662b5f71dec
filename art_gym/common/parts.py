"""Parts as text for specs, such as "linear", "log_ratio?power=2" or "my_module:MyReward?scale=3"."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from art_gym.common.registry import Registry

T = TypeVar("T")
Plain = str | int | float | bool | None


def import_module(module: str, name: str) -> Any:
    """Import the module of "module:name". The import may register parts.

    Raises:
        ValueError: if the module cannot be imported, or is given as a file.
    """
    if module.endswith(".py") or module.startswith(".") or "/" in module:
        stem = Path(module.lstrip(".")).stem
        raise ValueError(f"{module!r} is not a module name: write {stem}:{name}, and put its folder on PYTHONPATH")
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ValueError(f"cannot import {module!r} ({error}): put its folder on PYTHONPATH") from None


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
    name, _, query = text.partition("?")
    options = _options(query)
    if ":" not in name:
        part = known[name]
        return _changed(part, options, text) if options else part
    module_name, _, path = name.partition(":")
    part = import_module(module_name, path)
    for attribute in path.split("."):
        if not hasattr(part, attribute):
            raise ValueError(f"there is no {attribute!r} in {module_name!r}: {text!r} names it")
        part = getattr(part, attribute)
    if not isinstance(part, type):
        return _changed(part, options, text) if options else part
    try:
        return part(**options)
    except (TypeError, ValueError) as error:
        raise ValueError(f"cannot make {text!r}: {error}") from None


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


def _options(query: str) -> dict[str, Plain]:
    options: dict[str, Plain] = {}
    for part in query.split("&") if query else ():
        key, equals, value = part.partition("=")
        if not equals:
            raise ValueError(f"expected name=value after the question mark, got {part!r}")
        try:
            options[key] = json.loads(value)
        except json.JSONDecodeError:
            options[key] = value  # text needs no quotation marks
    return options


def _changed(part: Any, options: Mapping[str, Plain], text: str) -> Any:
    if not is_dataclass(part) or isinstance(part, type):
        raise ValueError(f"{text!r} sets {', '.join(options)}, but that part has no options: leave them out")
    names = [field.name for field in fields(part) if field.init]
    for key in options:
        if key not in names:
            raise ValueError(f"unknown option {key!r} in {text!r}: choose one of {', '.join(names) or 'none'}")
    return replace(part, **options)


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
        raise ValueError(f"{part!r} is not a {known.kind}: it cannot be called as one")
    return found
