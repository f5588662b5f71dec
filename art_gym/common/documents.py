"""Our JSON files: each names its format, and is checked against a schema."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import numpy as np

from art_gym.common.files import write_text
from art_gym.common.limits import MAX_STEPS
from art_gym.common.messages import LONGEST, one_line, short
from art_gym.common.reading import read_json

if TYPE_CHECKING:
    import jsonschema
    from _typeshed import DataclassInstance

Schema = Mapping[str, Any]
MOST_BYTES = 2**20  # of a file
LEVELS: Schema = {"type": "array", "items": {"type": "number", "minimum": 0}, "minItems": 2, "maxItems": MAX_STEPS + 1}
# The schema's types in Python. A bool is not accepted as a number, although Python's bool is an int.
_TYPES: dict[str, tuple[str, tuple[type, ...]]] = {
    "string": ("text", (str,)),
    "integer": ("a whole number", (int,)),
    "number": ("a number", (int, float)),
    "boolean": ("True or False", (bool,)),
    "null": ("None", (NoneType,)),
}
PROVENANCE: dict[str, Any] = {
    "method": {"type": "string"},
    "task": {"type": ["string", "null"]},
    "solver": {"type": ["string", "null"]},
    "seed": {"type": ["integer", "null"]},
    "heldout_error": {"type": ["number", "null"], "minimum": 0},
    "flow": {"type": "boolean"},
    "version": {"type": ["string", "null"]},
}


def schema(name: str, **content: Schema) -> dict[str, Any]:
    """Return the schema of a file "art_gym.name/1" with this content, which is required, and its provenance."""
    return {
        "type": "object",
        "required": ["format", *content, "method"],
        "additionalProperties": False,
        "properties": {"format": {"const": f"art_gym.{name}/1"}, **content, **PROVENANCE},
    }


def format_of(schema: Schema) -> str:
    """Return the format that a schema is of."""
    return str(schema["properties"]["format"]["const"])


def read_document(file: str | Path, kind: str, schema: Schema) -> dict[str, Any]:
    """Read the content of a file, without its format.

    Raises:
        ValueError: if the file is missing, is not JSON, or does not fit the schema; the message says what is wrong.
    """
    import jsonschema  # slow to import, and only files need it

    try:
        content = read_json(file, MOST_BYTES)
        written = content.get("format") if isinstance(content, dict) else None
        wanted = format_of(schema)
        if isinstance(written, str) and written.startswith("art_gym.") and written != wanted:
            raise jsonschema.ValidationError(_other_format(written, wanted))
        jsonschema.validate(content, schema)
    except OSError as error:
        raise ValueError(f"cannot read the {kind} file {file}: {error.strerror}") from None
    except ValueError as error:  # not JSON, not text, NaN, too large or too deeply nested
        raise ValueError(f"{file} is not a {kind} file: {error}") from None
    except jsonschema.ValidationError as error:
        said = _said(error)
        raise ValueError(f"{file} is not a {kind} file: {one_line(error.json_path, 60)}: {said}") from None
    content.pop("format")
    return {"version": None, **content}


class Saved:
    """A frozen dataclass that one of our files holds.

    Attributes:
        kind: what messages call it.
        file_schema: of its file.
    """

    kind: ClassVar[str]
    file_schema: ClassVar[Schema]

    def to_json(self) -> str:
        """Return the content of its file."""
        content = asdict(cast("DataclassInstance", self))
        return json.dumps({"format": format_of(self.file_schema), **content}, indent=2)

    def save(self, file: str | Path) -> None:
        """Write its file, to a temporary name first."""
        write_text(Path(file), self.to_json() + "\n")

    @classmethod
    def load(cls, file: str | Path) -> Self:
        """Read a file.

        Raises:
            ValueError: if the file is missing, is not JSON, or is none of this kind; the message says what is wrong.
        """
        content = read_document(file, cls.kind, cls.file_schema)
        try:
            return cls(**content)
        except ValueError as error:
            raise ValueError(f"{file} is not a {cls.kind} file: {error}") from None


def check_provenance(document: DataclassInstance, kind: str, schema: Schema) -> None:
    """Make numbers of numpy plain ones, and check the provenance of a frozen dataclass that a file holds.

    Raises:
        ValueError: for a value that does not have its type in the schema, or an error that is negative or not finite.
    """
    for field in fields(document):
        value = getattr(document, field.name)
        if isinstance(value, np.generic):  # JSON does not know numpy's numbers
            object.__setattr__(document, field.name, value.item())
    seed = getattr(document, "seed", None)
    if isinstance(seed, float) and seed.is_integer():  # from a program that has only floats
        object.__setattr__(document, "seed", int(seed))
    for name in PROVENANCE:
        wanted, value = schema["properties"][name]["type"], getattr(document, name)
        kinds = [_TYPES[one] for one in ([wanted] if isinstance(wanted, str) else wanted)]
        types = tuple(one for _, several in kinds for one in several)
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise ValueError(
                f"{name} of a {kind} must be {' or '.join(words for words, _ in kinds)}, got {short(value)}"
            )
    error = getattr(document, "heldout_error", None)
    if error is not None and not 0 <= error < math.inf:
        raise ValueError(f"heldout_error must be finite and at least 0, or None, got {short(error)}")


def _other_format(written: str, wanted: str) -> str:
    name = written.removeprefix("art_gym.").partition("/")[0]
    if name != wanted.removeprefix("art_gym.").partition("/")[0]:
        return f"it is a {name} file"
    return f"its format {short(written)} is that of another version of art_gym: this one reads {wanted!r}"


def _said(error: jsonschema.ValidationError) -> str:
    """The error's message, with the value cut short."""
    whole = repr(error.instance)
    return one_line(error.message.replace(whole, short(error.instance)) if len(whole) > LONGEST else error.message, 200)
