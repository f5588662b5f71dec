"""Read files that come from strangers: regular ones of a bounded size, as JSON or YAML of a bounded depth."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from art_gym.common.messages import one_line

MOST_BYTES = 16 * 2**20
MOST_WEIGHTS = 2**30  # of a network of ours
MOST_YAML = 2**17  # PyYAML reads some 100 KB a second
DEEPEST = 32  # lists and dictionaries inside each other


def check_regular(file: str | Path, most: int | None = None) -> None:
    """Raise an OSError unless this is a regular file, of at most so many bytes.

    Reading a pipe or a device could wait, or never end.
    """
    found = os.stat(file)
    mode = found.st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a file", str(file))
    if most is not None and found.st_size > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(file))


def read_bytes(file: str | Path, most: int = MOST_BYTES) -> bytes:
    """Return the content of a regular file.

    Raises:
        OSError: if it cannot be read, or is a folder, a pipe or a device.
        ValueError: if it has more than ``most`` bytes.
    """
    check_regular(file)
    with open(file, "rb") as opened:
        content = opened.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it has more than {most:,} bytes, the most that such a file may have")
    return content


def read_text(file: str | Path, most: int = MOST_BYTES) -> str:
    """Return the text of a regular file, without a byte order mark. Raises as `read_bytes`, and for other encodings."""
    try:
        return read_bytes(file, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"not text in UTF-8 ({error.reason} at byte {error.start})") from None


def read_json(file: str | Path, most: int = MOST_BYTES, finite: bool = True) -> Any:
    """Return the content of a JSON file.

    Args:
        file: to read.
        most: largest size in bytes.
        finite: refuse NaN and Infinity, which JSON does not know.

    Raises:
        OSError: as `read_bytes`.
        ValueError: for a file that is too large, not JSON, or nested too deeply. The message does not name the file.
    """
    return parse_json(read_text(file, most), finite)


def parse_json(text: str, finite: bool = True) -> Any:
    """Return the content of JSON. Raises a ValueError as `read_json`."""
    constant: Callable[[str], float] = _no_number if finite else float
    try:
        content = json.loads(text, parse_constant=constant)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except ValueError as error:
        raise ValueError(f"not JSON ({error})") from None
    _check_depth(content)
    return content


def read_yaml(file: str | Path, most: int = MOST_YAML) -> Any:
    """Return the content of a YAML file without aliases, by which a small file can mean a huge one.

    Raises:
        OSError: as `read_bytes`.
        ValueError: for a file that is too large, not YAML, has aliases, or is nested too deeply. The message does not
            name the file.
    """
    return parse_yaml(read_text(file, most))


def parse_yaml(text: str) -> Any:
    """Return the content of YAML. Raises a ValueError as `read_yaml`."""
    import yaml  # takes a quarter of `import art_gym`

    depth = 0
    try:
        for event in yaml.parse(text, yaml.SafeLoader):  # event by event, so that nothing is built and nothing recurses
            if isinstance(event, yaml.AliasEvent):
                raise ValueError(f"it has an alias, *{event.anchor}, which such a file may not have")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise ValueError(_TOO_DEEP)
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML ({one_line(error, 200)})") from None
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:  # from values such as !!bool 5
        raise ValueError(f"not YAML ({type(error).__name__}: {one_line(error, 200)})") from None


_TOO_DEEP = f"lists or dictionaries in it lie more than {DEEPEST} deep in each other"


def _check_depth(content: Any) -> None:
    level = [content]
    for _ in range(DEEPEST + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, list | dict)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise ValueError(_TOO_DEEP)


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number in JSON")
