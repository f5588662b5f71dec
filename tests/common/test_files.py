"""Files are replaced as a whole, links are followed, and only files are replaced."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from art_gym.common.files import check_writable, write_text


def test_a_link_is_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "elsewhere" / "target.json", tmp_path / "link.json"
    target.parent.mkdir()
    target.write_text("before")
    link.symlink_to(target)
    write_text(link, "after")
    assert link.is_symlink()
    assert target.read_text() == "after"
    assert [file.name for file in target.parent.iterdir()] == ["target.json"]


def test_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="a device or a pipe stands in place of the file"):
        write_text(pipe, "text")
    with pytest.raises(ValueError, match="is a device or a pipe: name a file"):
        check_writable(pipe)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert [file.name for file in tmp_path.iterdir()] == ["pipe"]


def test_a_writer_that_fails_leaves_the_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    write_text(file, "before")
    with pytest.raises(TypeError):
        write_text(file, 3)  # type: ignore[arg-type]
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]
