"""Write files so that a reader never sees a partial one."""

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
    """Give a temporary name beside ``file``, and move it to ``file`` at the end of the block.

    If the block fails, the temporary file is removed. A link is followed, so its target is replaced.

    Raises:
        OSError: if the file cannot be written, or the path is a folder, a device or a pipe. The error names the path.
    """
    file = Path(os.path.realpath(file))  # `resolve` fails for a loop of links
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
    """Remove temporary files that killed processes left in a folder, for file names that match ``patterns``."""
    for file in folder.iterdir():
        of = re.fullmatch(r"\.\d+\.(.+)", file.name)
        if of and any(fnmatch(of[1], pattern) for pattern in patterns):
            file.unlink()


def write_text(file: Path, text: str) -> None:
    """Write a text file with `replacing`. Raises an OSError if that fails."""
    with replacing(file) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _taken(file: Path) -> str | None:
    """Return what exists at the path if a file must not replace it, else None."""
    if not file.exists() or file.is_file():
        return None
    return "a folder" if file.is_dir() else "a device or a pipe"


def check_writable(out: Path) -> None:
    """Create the folder of an output file in advance. Raises a ValueError if the file cannot be written."""
    if out.is_dir():
        raise ValueError(f"{out} is a folder: name a file in it, such as -o {out / 'schedule.json'}")
    if taken := _taken(out):
        raise ValueError(f"{out} is {taken}: name a file with -o, so that the report can be written beside it")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise ValueError(f"cannot write to {out.parent} ({error.strerror}): name another file with -o") from None
