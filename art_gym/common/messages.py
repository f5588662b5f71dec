"""Values, errors and places in messages: one line, and short."""

from __future__ import annotations

import reprlib
import sysconfig
import traceback

LONGEST = 60  # characters of a value

_REPR = reprlib.Repr()
_REPR.maxdict = _REPR.maxlist = _REPR.maxtuple = _REPR.maxset = _REPR.maxfrozenset = _REPR.maxdeque = 12
_REPR.maxstring = _REPR.maxlong = _REPR.maxother = 400

_LIBRARIES = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def short(value: object, most: int = LONGEST) -> str:
    """The beginning of the value's repr, in one line."""
    try:
        text = _REPR.repr(value)
    except Exception:  # a user's __repr__ can raise anything, and a whole number may have too many digits for Python
        text = f"<{type(value).__name__}>"
    return one_line(text, most)


def one_line(said: object, most: int = 1000) -> str:
    """The text of an error or a value in one line, cut where it gets long."""
    text = " ".join(str(said).split())
    return text if len(text) <= most else f"{text[:most]}…"


def place_of(error: BaseException) -> str | None:
    """The file and line of a user's own code where an error was raised, as "mine.py, line 3". None if it was elsewhere.

    For a file that does not parse, it is the line that is wrong.
    """
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f"{error.filename}, line {error.lineno}"
    theirs = [
        f"{frame.f_code.co_filename}, line {line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if not frame.f_code.co_filename.startswith(("<", *_LIBRARIES))
        and frame.f_globals.get("__name__", "").partition(".")[0] != "art_gym"
    ]
    return theirs[-1] if theirs else None


def told(error: BaseException) -> str:
    """What a user's own code raised, and where: "ZeroDivisionError: division by zero, in mine.py, line 3"."""
    said, place = one_line(error, 300), place_of(error)
    what = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return what if place is None else f"{what}, in {place}"
