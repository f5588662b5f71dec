"""What comes from strangers: a canary that code would leave, and a guard around whatever is tried."""

from __future__ import annotations

import contextlib
import io
import os
import re
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from art_gym.common.messages import short

SECONDS, BYTES = 10, 2 * 2**30
MARK = "the code of a stranger ran"


class Canary:
    """A file that exists once any of the code below has run."""

    def __init__(self, folder: Path) -> None:
        self.mark = folder / "mark"
        self.code = f"import pathlib; pathlib.Path({str(self.mark)!r}).write_text({MARK!r})\n"

    def module(self, file: Path) -> None:
        """Write a module that leaves the mark on import, and has a class and a function of any use."""
        file.write_text(f"{self.code}import diffusers\nclass Mine(diffusers.UNet2DModel): pass\ndef mine(*_): pass\n")

    def __reduce__(self) -> tuple[Any, ...]:  # a pickle of this object runs the code
        return exec, (self.code,)

    @property
    def sang(self) -> bool:
        return self.mark.exists()


def label(value: object) -> str:
    """The value as the name of a test, which is the same in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", short(value))


class Unbounded(AssertionError):
    """More time or memory than anything may take."""


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """End what takes more than ten seconds, or two GiB more than this process has now."""

    def late(*_: object) -> None:
        raise Unbounded(f"more than {SECONDS} seconds")

    pages = int(Path("/proc/self/statm").read_text().split()[0]) if sys.platform == "linux" else 0
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    if pages:
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + BYTES, hard))
    try:
        yield
    except MemoryError:
        raise Unbounded(f"more than {BYTES} bytes") from None
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def refusal(call: Callable[[], object]) -> str | None:
    """What was said against the input, in one line; None if it was taken. Any other error is raised."""
    try:
        with bounded():
            call()
    except (ValueError, TypeError, OSError) as error:
        said = str(error)
        assert said, "a refusal without a word"
        assert "\n" not in said, f"more than one line: {said}"
        assert len(said) < 1500, f"too long: {said}"
        assert "weights_only" not in said, f"dangerous advice: {said}"
        return said
    return None


def answer(arguments: list[str]) -> tuple[int, str]:
    """The exit code of a command, and its one line on stderr."""
    from art_gym.agents.cli.main import main

    said, out = io.StringIO(), io.StringIO()
    with bounded(), contextlib.redirect_stderr(said), contextlib.redirect_stdout(out):
        try:
            code = main(arguments)
        except SystemExit as stop:  # the command line's own parser
            return int(stop.code or 0), ""
    assert code in (0, 2), (code, said.getvalue())
    if code == 2:
        assert said.getvalue().count("\n") == 1, said.getvalue()
    return code, said.getvalue()


def content(folder: Path) -> dict[str, bytes | None]:
    """All files below a folder, to see that none has changed. Pipes are not read."""
    return {
        str(file.relative_to(folder)): file.read_bytes() if file.is_file() else None
        for file in sorted(folder.rglob("*"))
        if not (file.is_symlink() and not file.exists())
    }


def pipe(file: Path) -> None:
    """Put a named pipe in place of a file."""
    file.unlink(missing_ok=True)
    os.mkfifo(file)
