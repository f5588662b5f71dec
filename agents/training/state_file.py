"""Files of tensors, as torch writes them. Their form is checked before anything in them is unpickled."""

from __future__ import annotations

import io
import pickletools
import re
import zipfile
from pathlib import Path
from typing import Any

import torch

from art_gym.common.reading import check_regular

MOST_PICKLED = 4 * 2**20  # bytes of the part without the numbers
# What torch.save names for dictionaries, numbers, texts and tensors. Everything else could run code.
NAMES = re.compile(r"collections OrderedDict|torch\._utils _rebuild_(tensor_v2|parameter)|torch \w+Storage")
OTHER_NAMES = ("INST", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4", "OBJ", "NEWOBJ", "NEWOBJ_EX")  # torch.save writes none


def write_state(content: dict[str, Any], file: Path) -> None:
    """Write a file for `read_state`. Raises an OSError if the disk is full, where torch alone raises its own errors."""
    made = io.BytesIO()
    torch.save(content, made)
    file.write_bytes(made.getbuffer())


def read_state(file: Path) -> dict[str, Any]:
    """Return the dictionary of numbers, texts and tensors in a file.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: for anything but a file of ours. The message does not name the file.
    """
    try:
        check_regular(file)
        with zipfile.ZipFile(file) as archive:
            _check_form(archive, file.stat().st_size)
        content = torch.load(file, weights_only=True, map_location="cpu")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(f"it cannot be read ({error.strerror})") from None
    except zipfile.BadZipFile:
        raise ValueError("it is empty, damaged or no file of ours") from None
    except _AnotherForm as error:
        raise ValueError(str(error)) from None
    except Exception as error:  # torch raises many kinds for a damaged file, and its advice must not be followed
        raise ValueError(f"it is damaged ({type(error).__name__})") from None
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__} and not our dictionary")
    return content


class _AnotherForm(Exception):
    """The file is not of our form."""


def _check_form(archive: zipfile.ZipFile, size: int) -> None:
    entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or sum(e.file_size for e in entries) > size:
        raise _AnotherForm("it is compressed, and ours are not")
    pickles = [entry for entry in entries if re.search(r"\.(pkl|pickle)$", entry.filename)]
    if [Path(entry.filename).name for entry in pickles] != ["data.pkl"] or pickles[0].file_size > MOST_PICKLED:
        raise _AnotherForm("it is no file of ours: stable-baselines3's own files, for instance, can run code")
    for code, argument, _ in pickletools.genops(archive.read(pickles[0])):
        if code.name in OTHER_NAMES or (code.name == "GLOBAL" and not NAMES.fullmatch(str(argument))):
            raise _AnotherForm("it names functions or classes that ours do not, so it could run code")
