"""Files that a reader never sees half of."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A temporary name beside ``file``, which takes its place at the end, or goes away where that fails.

    A link is followed: what it points to is replaced.

    Raises:
        OSError: where it cannot be written, or a folder, a device or a pipe stands there; it names the path.
    """
    file = file.resolve()
    file.parent.mkdir(parents=True, exist_ok=True)
    if taken := _taken(file):
        raise OSError(errno.EINVAL, f"{taken} stands in place of the file to be written", str(file))
    temporary = file.with_name(f".{os.getpid()}.{file.name}")
    try:
        yield temporary
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


def remove_left_overs(folder: Path, patterns: Iterable[str]) -> None:
    """Remove what `replacing` has left of files of these names where it was killed."""
    for file in folder.iterdir():
        of = re.fullmatch(r"\.\d+\.(.+)", file.name)
        if of and any(fnmatch(of[1], pattern) for pattern in patterns):
            file.unlink()


def write_text(file: Path, text: str) -> None:
    """Write a text file by `replacing`. Raises an OSError where it cannot be written."""
    with replacing(file) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _taken(file: Path) -> str | None:
    """What stands there, if it is not to be replaced by a file."""
    if not file.exists() or file.is_file():
        return None
    return "a folder" if file.is_dir() else "a device or a pipe"


def check_writable(out: Path) -> None:
    """Make the folder of a file that is to be written at the end. Raises a ValueError if it will not be possible."""
    if out.is_dir():
        raise ValueError(f"{out} is a folder: name a file in it, as with -o {out / 'schedule.json'}")
    if taken := _taken(out):
        raise ValueError(f"{out} is {taken}: name a file with -o, beside which the report can be written")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise ValueError(f"cannot write to {out.parent} ({error.strerror}): name another file with -o") from None
