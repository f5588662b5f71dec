"""Hypothesis strategies that begin with valid input and break it: types, ranges, nesting, encodings, truncation."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import yaml
from hypothesis import strategies as st

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(
        [
            *(0, 1, -1, 10**9, 10**15, 10**400, 0.5, "1", "nan", "canary_module:mine", "canary_module", "../.."),
            *("/dev/zero", "", "\0", "a\nb", "x" * 5000, "digits?", "model:x", "[*a]", "lin_1e400", "9K"),
        ]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def places(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """All places in lists and dictionaries inside each other, as keys from the outside in."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [before, *(place for key, entry in inner for place in places(entry, (*before, key)))]


@st.composite
def broken(draw: st.DrawFn, valid: Any) -> Any:
    """Valid content with up to three changes: a value replaced, left out, doubled, or nested."""
    content = copy.deepcopy(valid)
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.sampled_from(places(content)))
        if not place:
            content = draw(VALUES | st.just(content))
            continue
        *outer, key = place
        holder = content
        for one in outer:
            holder = holder[one]
        kind = draw(st.sampled_from(["replace", "leave out", "nest", "rename", "grow"]))
        if kind == "leave out":
            del holder[key]
        elif kind == "nest":
            for _ in range(draw(st.sampled_from([1, 2, 50]))):
                holder[key] = [holder[key]]
        elif kind == "rename" and isinstance(holder, dict):
            holder[draw(st.text(max_size=8))] = holder.pop(key)
        elif kind == "grow" and isinstance(holder[key], list):
            holder[key] = holder[key] * draw(st.sampled_from([2, 3000]))
        else:
            holder[key] = draw(VALUES)
    return content


def as_json(content: Any) -> bytes:
    return json.dumps(content, default=repr).encode()


def as_yaml(content: Any) -> bytes:
    return yaml.safe_dump(content, allow_unicode=True).encode()


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes cut, changed, repeated, in another encoding, or as they are."""
    kind = draw(st.sampled_from(["whole", "whole", "cut", "byte", "insert", "encoding", "twice", "nothing"]))
    at = draw(st.integers(0, max(len(content) - 1, 0)))
    if kind == "cut":
        return content[:at]
    if kind == "byte" and content:
        return content[:at] + bytes([draw(st.integers(0, 255))]) + content[at + 1 :]
    if kind == "insert":
        return content[:at] + draw(st.binary(max_size=16)) + content[at:]
    if kind == "encoding":
        return content.decode("utf-8", "replace").encode(draw(st.sampled_from(["utf-16", "utf-8-sig", "utf-32"])))
    if kind == "twice":
        return content + content
    return b"" if kind == "nothing" else content


def files(valid: Any, write: Callable[[Any], bytes]) -> st.SearchStrategy[bytes]:
    """Files of valid content, broken as content or as bytes."""
    return broken(valid).map(_or_text(write)).flatmap(damaged)


def _or_text(write: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    def written(content: Any) -> bytes:
        try:
            return write(content)
        except (ValueError, yaml.YAMLError):  # a number of too many digits, which no file holds either
            return b"{}"

    return written
