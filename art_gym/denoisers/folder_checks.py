"""Look at a folder of a diffusers model before diffusers does: nothing in it may run code, hang or fill the memory."""

from __future__ import annotations

import math
import re
import stat
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from art_gym.common.messages import short
from art_gym.common.reading import read_json

INDEX = "model_index.json"
CODE = (".py", ".pyc", ".so", ".pyd")
LIBRARIES = ("diffusers", "transformers")
UNKNOWN = "which is no class of the installed diffusers or transformers"
REMEDY = "it could run any code: pass trust_remote_code=True (--trust-remote-code) if you trust its author"
LARGEST = 2**20  # whole number in the configuration of a network or a scheduler
NO_BOUND = "lambda_min_clipped"  # may be −∞, which is diffusers' default
MOST_LAYERS = 1024  # of a kind
MOST_SIZE = 2048  # height or width of a latent
_BOUNDS = ((re.compile(r"layers|blocks|depth"), MOST_LAYERS), (re.compile(r"sample_size|height|width"), MOST_SIZE))


def check_folder(folder: Path, trust_remote_code: bool = False) -> None:
    """Check the files of a model's folder and of its components, and the names and numbers in their configurations.

    Args:
        folder: of a pipeline, a model or a scheduler.
        trust_remote_code: let it hold and name code of its own.

    Raises:
        ValueError: for code or a class that is neither diffusers' nor transformers' own, unless it is trusted; for a
            pipe or a device, for a configuration that cannot be read, and for numbers beyond `LARGEST`. The message
            names the file.
    """
    named: dict[str, str] = {}
    components = [folder]
    if (index := folder / INDEX).exists():
        named = _components(index, trust_remote_code)
        components += [folder / name for name in named if (folder / name).is_dir()]
    for component in components:
        for file in sorted(component.iterdir()):
            _check_kind(file, trust_remote_code)
            if re.fullmatch(r".*config.*\.json|model_index\.json", file.name):
                _check_config(file, named.get(component.name), trust_remote_code)


def read_config(file: Path) -> dict[str, Any]:
    """The content of a configuration. Raises a ValueError if it cannot be read, or is no dictionary."""
    try:
        content = read_json(file, finite=False)
    except OSError as error:
        raise ValueError(f"cannot read {file}: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{file} is no configuration of a model: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{file} is no configuration of a model: it holds {short(content)}")
    return content


def _check_kind(file: Path, trusted: bool) -> None:
    try:
        mode = file.stat().st_mode
    except OSError:  # a link that leads nowhere: nobody can read it
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise ValueError(f"{file} is a pipe or a device, which could be read for ever: remove it")
    if file.suffix in CODE and not trusted:
        raise ValueError(f"{file} is code in the folder of a model, and {REMEDY}")


def _components(index: Path, trusted: bool) -> dict[str, str]:
    """The components that a pipeline names, each with the name of its class."""
    found = {}
    for name, entry in read_config(index).items():
        if not isinstance(entry, list) or name == "_class_name":
            continue
        if entry == [None, None]:
            continue
        if not (len(entry) == 2 and all(isinstance(part, str) for part in entry) and name.isidentifier()):
            raise ValueError(f"{index} names the component {short(name)} as {short(entry)}, not by library and class")
        library, kind = entry
        if not trusted and not _own(library, kind):
            named = short(f"{library}.{kind}")
            raise ValueError(f"{index} names {named} as its {name}, {UNKNOWN}, and {REMEDY}")
        found[name] = kind
    return found


def _own(library: str, kind: str) -> bool:
    """Whether a class belongs to diffusers or transformers. Diffusers' pipelines also have classes of their own."""
    if not kind.isidentifier():
        return False
    if library in LIBRARIES:  # without transformers, diffusers says that it is missing
        return find_spec(library) is None or _is_class(library, kind)
    return library.isidentifier() and _is_class(f"diffusers.pipelines.{library}", kind)


def _is_class(module: str, name: str) -> bool:
    try:
        found = getattr(import_module(module), name)
    except Exception:  # no such module or name; or a library that it needs is missing, and then it cannot be loaded
        return False
    return isinstance(found, type) and found.__module__.partition(".")[0] in LIBRARIES


def _check_config(file: Path, of_index: str | None, trusted: bool) -> None:
    content = read_config(file)
    if not trusted:
        if "auto_map" in content:
            raise ValueError(f"{file} has an auto_map, which names code of its own, and {REMEDY}")
        known = content.get("architectures")
        names = [content.get("_class_name"), *(known if isinstance(known, list) else [known])]
        for name in names:
            if name in (None, of_index) or (
                isinstance(name, str) and any(_own(library, name) for library in LIBRARIES)
            ):
                continue
            raise ValueError(f"{file} names the class {short(name)}, {UNKNOWN}, and {REMEDY}")
    if "_class_name" in content:
        for key, value in _numbers("", content):
            most = next((bound for pattern, bound in _BOUNDS if pattern.search(key)), LARGEST)
            if abs(value) > most and not (key == NO_BOUND and value == -math.inf):
                raise ValueError(f"{file} sets {key} to {short(value)}, and at most {most} makes sense")


def _numbers(key: str, value: Any) -> Iterator[tuple[str, float]]:
    """All numbers in a configuration but its version, each with its key."""
    if isinstance(value, bool):
        return
    if isinstance(value, int | float):
        yield key, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _numbers(name, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers(key, inner)
